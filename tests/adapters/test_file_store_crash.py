"""The folder store when its process is killed, or the power goes."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cryptovol.adapters import files
from cryptovol.adapters.files import FileStore

# Writes without end, and says when it begins.
WRITER = """
import sys
from pathlib import Path
from cryptovol.adapters.files import FileStore
store = FileStore(Path(sys.argv[1]))
print("begun", flush=True)
for i in range(10**9):
    store.put("a/one", bytes(200_000))
    store.put_new(f"a/many/{i}", bytes(200_000))
"""


def test_file_store_removes_what_a_killed_writer_left(tmp_path: Path) -> None:
    """After kills in the middle of writes every object is whole, and the next writer clears the rests away."""
    left = 0
    for turn in range(40):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE)
        assert writer.stdout is not None and writer.stdout.readline() == b"begun\n"
        with pytest.raises(subprocess.TimeoutExpired):
            writer.wait(0.02 + 0.017 * (turn % 6))
        writer.send_signal(signal.SIGKILL)
        writer.communicate()
        left += len(list((tmp_path / ".tmp").glob("*")))
        if turn >= 5 and left:
            break
    store = FileStore(tmp_path)
    store.put("b", b"1")
    assert left and not list((tmp_path / ".tmp").iterdir())
    assert {len(store.get(key).data) for key in store.keys("a/")} == {200_000}


def test_file_store_leaves_alone_what_a_living_writer_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second store that begins to write in the middle of a first one's write takes nothing away from it."""
    first, second = FileStore(tmp_path), FileStore(tmp_path)
    flush = os.fsync

    def interrupted(handle: int) -> None:
        monkeypatch.setattr(os, "fsync", flush)
        second.put_new("second", b"2")
        flush(handle)

    (tmp_path / ".tmp").mkdir()
    monkeypatch.setattr(os, "fsync", interrupted)
    first.put_new("first", b"1")
    assert (first.get("first").data, first.get("second").data) == (b"1", b"2")


def test_file_store_claims_another_file_where_its_own_was_taken_for_a_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A temporary file that is swept between its making and its locking is not used."""
    lock, calls = files._lock, []

    def late(handle: int) -> bool:
        calls.append(handle)
        if len(calls) == 1:
            monkeypatch.setattr(files, "_lock", lock)
            files._sweep(tmp_path / ".tmp")
            monkeypatch.setattr(files, "_lock", late)
        return lock(handle)

    FileStore(tmp_path).put("k", b"0")
    monkeypatch.setattr(files, "_lock", late)
    store = FileStore(tmp_path)
    store.put("k", b"1")
    assert store.get("k").data == b"1" and len(calls) == 2


def test_file_store_flushes_every_folder_it_makes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new folder's entry in the one above it is flushed, up to the first that was there."""
    flushed: list[Path] = []
    monkeypatch.setattr(files, "_flush_folder", flushed.append)
    root = tmp_path / "x" / "root"
    FileStore(root).put_new("a/b/c", b"1")
    assert {tmp_path, root.parent, root, root / "a", root / "a" / "b"} <= set(flushed)
    flushed.clear()
    assert FileStore(root).put_new("a/b/c", b"1") is False
    assert flushed == [root / "a" / "b"]
