"""ingest: a kill before any write costs nothing but time, and of two writers at once nothing is lost."""

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from cryptovol import history, tables
from cryptovol.adapters.files import FileStore
from cryptovol.bars import Bars
from cryptovol.errors import ConflictError, StoreUnavailableError
from cryptovol.events import StageEvent
from cryptovol.params import Params
from cryptovol.ports import Store, Stored
from cryptovol.testing import FixedSource, MemoryStore, make_bars

from tests.ingests import HEAD, N, at, event, hours, ingested, named, source, stored


class Dying(MemoryStore):
    """A store whose process is killed before the write after the next `left` ones."""

    def __init__(self, left: int) -> None:
        super().__init__()
        self.left = left

    def _spend(self) -> None:
        if self.left <= 0:
            raise StoreUnavailableError("killed")
        self.left -= 1

    def put(self, key: str, data: bytes) -> None:
        self._spend()
        super().put(key, data)

    def put_new(self, key: str, data: bytes) -> bool:
        self._spend()
        return super().put_new(key, data)

    def replace(self, key: str, data: bytes, etag: str) -> None:
        self._spend()
        super().replace(key, data, etag)


def _holed() -> FixedSource:
    """Return a source without some hours here and there."""
    bars = make_bars(N + 6)
    kept = [hour for hour in range(N + 6) if hour % 97 not in (13, 14) and not 300 <= hour < 330]
    return source(bars.take(np.array(kept, dtype=np.int64)))


class Venue(FixedSource):
    """A live venue at one instant: rows are stamped with the clock, not with what was asked for."""

    def pages(self, symbol: str, quote: str, *, start: int, end: int) -> Iterator[Bars]:
        for page in super().pages(symbol, quote, start=start, end=end):
            yield page.stamped(source="other", fetched_at=at(N + 6))


CASES: dict[str, tuple[StageEvent | None, StageEvent]] = {
    "a new pair": (None, event(N + 6)),
    "six hours": (event(N), event(N + 6)),
    "a range": (None, event(N + 6, start=50)),
    "older bars": (event(N, start=N - 100), event(N, start=10)),
    "both ends": (event(N - 100, start=N - 150), event(N + 6, start=10)),
    "a range before all": (event(N, start=N - 100), event(N - 300, start=10)),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("lent", [False, True], ids=["one source", "two sources"])
def test_ingest_killed_before_any_write_resumes_without_loss(name: str, lent: bool, few: Params) -> None:
    """Whatever is fetched, after a kill before any write the next run ends with the same bytes."""
    before, wanted = CASES[name]
    second = (lambda _: Venue(make_bars(N + 6, seed=3))) if lent else (lambda _: None)
    start, whole = MemoryStore(), MemoryStore()
    if before is not None:
        ingested(before, start, _holed(), few)
    whole.objects.update(start.objects)
    expected = ingested(wanted, whole, _holed(), few, second=second)
    assert bool(expected["rows_repaired"]) == lent or name == "six hours"
    for writes in range(100):
        store = Dying(writes)
        store.objects.update(start.objects)
        try:
            ingested(wanted, store, _holed(), few, second=second)
        except StoreUnavailableError:
            store.left = 10**6
            result = ingested(wanted, store, _holed(), few, second=second)
            assert result["raw_sha256"] == expected["raw_sha256"]
            assert named(store, HEAD, result["raw_key"]) == named(whole, HEAD, expected["raw_key"])
        else:
            break
    assert 2 < writes < 100


def test_ingest_resumes_a_killed_backfill_where_it_was(few: Params) -> None:
    """Portions that were committed before the kill are not fetched again, in either direction."""
    store, of = Dying(8), source(make_bars(N))
    with pytest.raises(StoreUnavailableError):
        ingested(event(N), store, of, few)
    store.left = 10**6
    forward = ingested(event(N), store, of, few)
    assert 0 < forward["rows_fetched"] < N - 200
    store, of = Dying(10**6), source(make_bars(N))
    ingested(event(N, start=N - 50), store, of, few)
    store.left = 5
    with pytest.raises(StoreUnavailableError):
        ingested(event(N, start=0), store, of, few)
    store.left = 10**6
    backward = ingested(event(N, start=0), store, of, few)
    assert 0 < backward["rows_fetched"] < N - 200
    assert hours(stored(store, backward)) == list(range(N))


class Meeting(MemoryStore):
    """A store in which the first readers of the head wait for each other, so that both read the same one."""

    def __init__(self) -> None:
        super().__init__()
        self._barrier = threading.Barrier(2)
        self._met = 0

    def get(self, key: str) -> Stored:
        try:
            return super().get(key)
        finally:
            if key == HEAD and self._met < 2:
                self._met += 1
                self._barrier.wait(10)


@pytest.mark.parametrize("kind", [MemoryStore, Meeting, FileStore])
@pytest.mark.parametrize("name", CASES)
def test_ingest_of_two_writers_at_once_ends_like_one(
    name: str, kind: Callable[..., Store], few: Params, tmp_path: Path
) -> None:
    """Two runs of one event race: neither fails, nothing is lost or doubled, and the bytes are those of a single run."""
    store: Store = FileStore(tmp_path) if kind is FileStore else kind()
    before, wanted = CASES[name]
    alone = MemoryStore()
    if before is not None:
        ingested(before, alone, _holed(), few)
        for key in sorted(alone.objects):
            store.put(key, alone.objects[key])
    expected = ingested(wanted, alone, _holed(), few)
    faults: list[Exception] = []

    def work() -> None:
        try:
            ingested(wanted, store, _holed(), few)
        except Exception as error:
            faults.append(error)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not faults
    for key, data in named(alone, HEAD, expected["raw_key"]).items():
        assert store.get(key).data == data


def test_ingest_of_two_instants_at_once_keeps_both_and_the_newer_head(few: Params) -> None:
    """A run as of six hours later races one of now: both states are kept, and the later one is the newest."""
    store, results = Meeting(), {}

    def work(hour: int) -> None:
        results[hour] = ingested(event(hour), store, source(make_bars(N + 6)), few)

    threads = [threading.Thread(target=work, args=(hour,)) for hour in (N, N + 6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert hours(stored(store, results[N]))[-1] == N - 1
    assert hours(stored(store, results[N + 6]))[-1] == N + 5
    head = history.load_manifest(store, HEAD)
    assert head is not None and head.sha256 == results[N + 6]["raw_sha256"]


def test_ingest_gets_to_its_end_however_often_others_win(few: Params) -> None:
    """As long as others get further it tries again, thirty times in a row too."""

    class Overtaken(MemoryStore):
        left = 30

        def replace(self, key: str, data: bytes, etag: str) -> None:
            if key == HEAD and self.left:
                self.left -= 1
                self.put(key, tables.encode_json({**json.loads(self.objects[key]), "another": self.left}))
            super().replace(key, data, etag)

    store = Overtaken()
    assert hours(stored(store, ingested(event(N), store, source(make_bars(N)), few))) == list(range(N))
    assert not store.left


def test_ingest_gives_up_when_nobody_gets_anywhere(few: Params) -> None:
    """A store on which every conditional write loses ends in a conflict, not in an endless loop."""

    class Losing(MemoryStore):
        def put_new(self, key: str, data: bytes) -> bool:
            return False if key == HEAD else super().put_new(key, data)

    with pytest.raises(ConflictError):
        ingested(event(N), Losing(), source(make_bars(N)), few)
