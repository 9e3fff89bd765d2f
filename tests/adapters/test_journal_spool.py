"""The spool of answers' records: whole lines in files of one process each, whatever happens to the disk."""

from __future__ import annotations

import errno
import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cryptovol.adapters import spool
from cryptovol.adapters.spool import Lines, Spool, lock
from cryptovol.adapters.telemetry import MemoryMeter


@pytest.fixture
def meter() -> MemoryMeter:
    """Return a meter in memory."""
    return MemoryMeter()


@pytest.fixture
def made(tmp_path: Path, meter: MemoryMeter) -> Iterator[Spool]:
    """Return a spool in a folder that is not there yet."""
    spooled = Spool(tmp_path / "spool", meter)
    yield spooled
    spooled.close_file()


def lines(made: Spool) -> list[object]:
    """Return what the files hold, oldest file first."""
    texts = [path.read_text() for path in sorted(made.folder.glob("*.jsonl"))]
    return [json.loads(line) for text in texts for line in text.splitlines()]


def test_record_is_in_the_file_when_the_call_returns(made: Spool) -> None:
    """Nothing is kept in memory: what a reader finds is all that was recorded, in order."""
    for number in range(3):
        made.record({"request_id": str(number), "as_of": None, "predictions": [("ab", 0.1, 0.05, 0.2)]})
        assert len(lines(made)) == number + 1
    answer = {"request_id": "2", "as_of": None, "predictions": [["ab", 0.1, 0.05, 0.2]]}
    assert lines(made)[-1] == {"answer": answer}


def test_entry_is_an_order_in_the_same_file_and_wakes_the_shipper(made: Spool) -> None:
    """A log entry is as safe as a record, and is to be shipped at once."""
    woken: list[bool] = []
    made.wake = woken.append
    made.record({"request_id": "1"})
    made.record({"request_id": "2"})
    assert made.entry("predictions/x.json", {"volatility": 0.1})
    assert woken == [False, True]
    assert lines(made)[-1] == {"entry": "predictions/x.json", "body": {"volatility": 0.1}}


def test_records_of_threads_are_whole_lines(made: Spool) -> None:
    """Eight threads that record long answers never mix two of them, across closed files too."""

    def work(thread: int) -> None:
        for number in range(200):
            made.record({"request_id": f"{thread}-{number}", "text": "x" * 900})
            if number % 70 == 69:
                made.close_file()

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = sorted(line["answer"]["request_id"] for line in lines(made))  # type: ignore[index]
    assert found == sorted(f"{thread}-{number}" for thread in range(8) for number in range(200))


def test_file_is_locked_while_it_is_written_and_not_after(made: Spool) -> None:
    """Nobody ships a file that may still grow; once it is closed anybody may."""
    made.record({"request_id": "1"})
    (path,) = made.folder.iterdir()
    with path.open("rb") as file:
        assert not lock(file.fileno())
    made.close_file()
    with path.open("rb") as file:
        assert lock(file.fileno())


def test_file_that_is_large_enough_wakes_the_shipper(made: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy process does not wait for the clock to have its records shipped."""
    monkeypatch.setattr(spool, "SEGMENT_BYTES", 1000)
    woken: list[bool] = []
    made.wake = woken.append
    for _ in range(3):
        made.record({"text": "x" * 400})
    assert woken == [False, True]


def test_full_disk_is_counted_and_leaves_no_torn_line(
    made: Spool, meter: MemoryMeter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record that does not fit is taken back and counted; the next that fits is whole."""
    write, room = os.write, [10**6]

    def scarce(handle: int, data: bytes) -> int:
        if room[0] == 0:
            raise OSError(errno.ENOSPC, "no space left on device")
        written = write(handle, data[: room[0]])
        room[0] -= written
        return written

    monkeypatch.setattr(os, "write", scarce)
    made.record({"request_id": "1"})
    room[0] = 5
    made.record({"request_id": "2"})
    made.record({"request_id": "3"})
    assert not made.entry("k", {})
    room[0] = 10**6
    made.record({"request_id": "4"})
    assert [line["answer"]["request_id"] for line in lines(made)] == ["1", "4"]  # type: ignore[index]
    assert meter.total("answers_unrecorded_total", reason="disk") == 3


def test_folder_that_cannot_be_made_is_counted(tmp_path: Path, meter: MemoryMeter) -> None:
    """A spool that points into a file, or to a read-only place, costs records and no answer."""
    (tmp_path / "file").write_bytes(b"")
    Spool(tmp_path / "file" / "spool", meter).record({"request_id": "1"})
    assert meter.total("answers_unrecorded_total", reason="disk") == 1


def test_spool_takes_so_much_and_no_more(made: Spool, meter: MemoryMeter, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the store is away for long the oldest records are kept, newer ones are counted and dropped."""
    monkeypatch.setattr(spool, "MOST_BYTES", 500)
    for number in range(10):
        made.record({"request_id": str(number), "text": "x" * 100})
    kept = len(lines(made))
    assert 3 <= kept < 10 and meter.total("answers_unrecorded_total", reason="full") == 10 - kept


FORKED = """
import os, sys
from pathlib import Path
from cryptovol.adapters.spool import Spool
from cryptovol.adapters.telemetry import QuietMeter
made = Spool(Path(sys.argv[1]), QuietMeter())
made.record({"request_id": "parent"})
if os.fork() == 0:
    made.record({"request_id": "child"})
    os._exit(0)
os.wait()
made.record({"request_id": "parent again"})
print("ready", flush=True)
sys.stdin.read()
"""


def test_forked_child_writes_a_file_of_its_own(tmp_path: Path) -> None:
    """After a fork each process locks and writes one file; the parent's stays locked when the child ends."""
    with subprocess.Popen(
        [sys.executable, "-c", FORKED, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None and parent.stdout.readline() == b"ready\n"
        first, second = sorted(tmp_path.iterdir())
        with first.open("rb") as file:
            assert not lock(file.fileno()) and file.read().count(b"parent") == 2
        with second.open("rb") as file:
            assert lock(file.fileno()) and file.read().count(b"child") == 1
        parent.communicate()


def test_new_file_that_another_process_swept_away_is_not_used(made: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the making of a file and its lock a shipper may take it for a killed writer's; then another is made."""
    real, taken = spool.lock, list[Path]()

    def late(handle: int) -> bool:
        if not taken:
            (path,) = made.folder.iterdir()
            taken.append(path)
            path.unlink()
        return real(handle)

    monkeypatch.setattr(spool, "lock", late)
    made.record({"request_id": "1"})
    assert taken and len(lines(made)) == 1


def test_lines_go_out_whole_and_entries_do_not() -> None:
    """Without a folder a record is a line in the process's log, and a log entry stays with the caller."""
    stream = io.StringIO()
    printed = Lines(stream)
    printed.record({"request_id": "1", "as_of": None})
    assert stream.getvalue() == '{"answer":{"request_id":"1","as_of":null}}\n'
    assert printed.entry("k", {}) is False
