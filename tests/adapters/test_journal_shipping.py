"""Records on their way to the store: each there once, whatever stops in between."""

from __future__ import annotations

import gzip
import json
import threading
import time
from pathlib import Path

import pytest

from cryptovol.adapters import shipping
from cryptovol.adapters.shipping import Shipper
from cryptovol.adapters.spool import Spool
from cryptovol.adapters.telemetry import MemoryMeter
from cryptovol.errors import ConflictError, StoreUnavailableError
from tests.forecasters import FaultyStore, eventually


class Bench:
    """A spool, a store that a test breaks, and a shipper between them that works when it is told to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = FaultyStore()
        self.meter = MemoryMeter()
        self.spool = Spool(folder, self.meter)
        self.shipper = Shipper(self.spool, self.store, self.meter)
        self.spool.wake = lambda soon: None

    def record(self, *names: str, date: str = "2025-05-01", market: str = "test") -> None:
        """Record an answer per request id."""
        for name in names:
            self.spool.record({"request_id": name, "served_at": f"{date}T10:00:00Z", "market": market, "v": 0.1})

    def stored(self) -> list[str]:
        """Return the request ids in the store, as often as they are there."""
        keys = [key for key in self.store.objects if key.startswith("served/")]
        texts = [gzip.decompress(self.store.objects[key]).decode() for key in keys]
        return sorted(json.loads(line)["request_id"] for text in texts for line in text.splitlines())

    def files(self) -> list[Path]:
        """Return the files that wait."""
        return sorted(self.folder.iterdir()) if self.folder.exists() else []


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Return a bench with an empty spool."""
    return Bench(tmp_path / "spool")


def test_batch_is_one_object_by_market_and_day_named_by_its_content(bench: Bench) -> None:
    """What was recorded lies in the store as packed lines, and the file is gone."""
    bench.record("a", "b")
    bench.record("c", date="2025-05-02")
    bench.record("d", market="replay-x")
    assert bench.shipper.ship() and bench.files() == []
    folders = sorted(key.rsplit("/", 1)[0] for key in bench.store.objects)
    assert folders == ["served/replay-x/2025-05-01", "served/test/2025-05-01", "served/test/2025-05-02"]
    assert bench.stored() == ["a", "b", "c", "d"]


def test_log_entries_are_written_under_their_keys_unless_they_are_there(bench: Bench) -> None:
    """An order to write an entry is carried out once; the first one of an hour stands."""
    bench.store.put("predictions/old.json", b"first")
    bench.spool.entry("predictions/old.json", {"volatility": 1.0})
    bench.spool.entry("predictions/new.json", {"volatility": 0.5})
    assert bench.shipper.ship()
    assert bench.store.objects == {
        "predictions/old.json": b"first",
        "predictions/new.json": b'{\n "volatility": 0.5\n}\n',
    }


def test_store_that_is_away_costs_no_record_and_makes_no_heap_of_files(bench: Bench) -> None:
    """While nothing can be shipped two files hold all that is recorded; afterwards all of it is stored once."""
    bench.store.away = True
    names = []
    for turn in range(20):
        bench.record(name := f"{turn:02d}")
        names.append(name)
        assert not bench.shipper.ship()
    assert len(bench.files()) == 2
    assert bench.meter.values[-1][0] == "answers_pending_bytes" and bench.meter.values[-1][1] > 1000
    bench.store.away = False
    assert bench.shipper.ship() and bench.files() == [] and bench.stored() == names
    assert bench.meter.values[-1][:2] == ("answers_pending_bytes", 0.0)


def test_batch_that_was_stored_and_not_removed_is_stored_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill between the write to the store and the removal of the file leaves one copy after the next try."""
    bench.record("a", "b")

    def killed(self: Path) -> None:
        raise StoreUnavailableError("killed here")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", killed)
        assert not bench.shipper.ship()
    assert bench.stored() == ["a", "b"] and len(bench.files()) == 1
    assert bench.shipper.ship() and bench.stored() == ["a", "b"] and bench.files() == []


def test_torn_last_line_is_left_out(bench: Bench) -> None:
    """What a process killed in the middle of a write left holds up nothing: that answer never went out."""
    bench.record("a", "b")
    bench.spool.close_file()
    (path,) = bench.files()
    path.write_bytes(path.read_bytes() + b'{"answer":{"request_id":"c","served_')
    assert bench.shipper.ship() and bench.stored() == ["a", "b"] and bench.files() == []


@pytest.mark.parametrize(
    "line",
    [
        b'{"answer":{"request_id":"x"}}',
        b'{"answer":7}',
        b'{"entry":"k"}',
        b'{"answer":{"market":"../x","served_at":""}}',
    ],
)
def test_file_that_is_not_ours_is_set_aside(bench: Bench, line: bytes) -> None:
    """Lines that no version of this code wrote neither stop the shipping nor are thrown away."""
    bench.folder.mkdir()
    (bench.folder / "0-strange.jsonl").write_bytes(line + b"\n")
    bench.record("a")
    assert bench.shipper.ship() and bench.stored() == ["a"]
    assert [path.name for path in bench.files()] == ["0-strange.unread"]


def test_conflict_of_two_writers_is_tried_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """S3 may refuse both of two writes at the same moment."""
    bench.record("a")

    def raced(key: str, data: bytes) -> bool:
        raise ConflictError("raced")

    with monkeypatch.context() as patch:
        patch.setattr(bench.store, "put_new", raced)
        assert not bench.shipper.ship()
    assert bench.shipper.ship() and bench.stored() == ["a"]


def test_two_shippers_over_one_folder_store_each_record_once(bench: Bench) -> None:
    """Processes that share a spool take each other's closed files, and never one that is written."""
    other = Bench(bench.folder)
    other.store = bench.store
    other.shipper = Shipper(other.spool, bench.store, other.meter)
    benches = (bench, other)
    stop = threading.Event()

    def ship(one: Bench) -> None:
        while not stop.is_set():
            one.shipper.ship()

    threads = [threading.Thread(target=ship, args=(one,)) for one in benches]
    for thread in threads:
        thread.start()
    names = [f"{number:04d}" for number in range(600)]
    for number, name in enumerate(names):
        benches[number % 2].record(name)
    stop.set()
    for thread in threads:
        thread.join()
    assert bench.shipper.ship() and other.shipper.ship() and bench.shipper.ship()
    assert bench.stored() == names and bench.files() == []


def test_thread_ships_by_itself_and_goes_on_after_an_outage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record needs nobody to ship it; an outage is waited out."""
    monkeypatch.setattr(shipping, "SHIP_SECONDS", 0.05)
    bench = Bench(tmp_path)
    bench.shipper = Shipper(bench.spool, bench.store, bench.meter)
    bench.record("a")
    assert eventually(lambda: bench.stored() == ["a"])
    bench.store.away = True
    bench.record("b")
    assert eventually(lambda: bench.meter.total("answers_pending_bytes") > 0)
    bench.store.away = False
    assert eventually(lambda: bench.stored() == ["a", "b"])


def test_start_ships_what_an_earlier_process_left_and_close_what_is_left_now(tmp_path: Path) -> None:
    """Neither a restart nor a stop waits for the next record."""
    before = Bench(tmp_path)
    before.record("left")
    before.spool.close_file()
    bench = Bench(tmp_path)
    bench.shipper = Shipper(bench.spool, bench.store, bench.meter)
    bench.shipper.start()
    assert eventually(lambda: bench.stored() == ["left"])
    bench.record("last")
    bench.spool.close()
    assert bench.stored() == ["last", "left"]


def test_close_does_not_wait_for_a_store_that_is_away(tmp_path: Path) -> None:
    """A process ends in time, and its records wait in the folder."""
    bench = Bench(tmp_path)
    bench.shipper = Shipper(bench.spool, bench.store, bench.meter)
    bench.store.away = True
    bench.record("a")
    began = time.monotonic()
    bench.shipper.close(seconds=0.3)
    assert time.monotonic() - began < 5
    assert len(bench.files()) == 1 and bench.stored() == []
    bench.store.away = False
    bench.spool.close()
