"""Where records of answers go before the answers leave: a file of this process's own, or lines on standard output.

A record is one line in one write to a file that only grows. Written means handed to the operating system: it outlives a
killed process, and not a machine that loses its power within the next seconds. Nothing waits for the disk or the store
on the way of an answer; `adapters.shipping` takes closed files to the store.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

import msgspec

from cryptovol.adapters import telemetry
from cryptovol.ports import Meter

SUFFIX = ".jsonl"
SEGMENT_BYTES = 4_000_000  # a file that has grown to this is closed, and the next record begins another
MOST_BYTES = 256_000_000  # of records not in the store yet; a store that is away for days must not fill the disk

_encode = msgspec.json.Encoder().encode


class Lines:
    """`ports.Journal` on standard output, which on Lambda is the function's log: one line per answer, one write each."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream

    def record(self, answer: Mapping[str, Any]) -> None:
        """Print the record."""
        with suppress(OSError):
            telemetry.write([f'{{"answer":{_encode(answer).decode()}}}\n'], self._stream)

    def entry(self, key: str, body: Mapping[str, Any]) -> bool:
        """Return False: a log is no place from which objects are written later."""
        return False

    def close(self) -> None:
        """Do nothing: each record went out with its call."""


class Spool:
    """`ports.Journal` in a folder that several processes may share. Safe under threads and after a fork.

    Each process writes a file of its own and holds a lock on it, which the system takes away when the process ends,
    however it ends. A file without a lock is whole as it will ever be; whoever ships locks it first.

    Parameters
    ----------
    folder
        Made at the first record.
    meter
        Hears of answers that could not be recorded.

    Attributes
    ----------
    wake
        Called with True when something should be shipped at once, and with False at a file's first record.
    last
        Called by `close`.
    waiting
        Bytes of records in the folder when it was last shipped from.
    """

    def __init__(self, folder: Path, meter: Meter) -> None:
        self.folder = folder
        self.wake: Callable[[bool], None] = lambda soon: None
        self.last: Callable[[], None] = lambda: None
        self._meter = meter
        self._lock = threading.Lock()
        self._handle = -1
        self._process = 0
        self._size = 0
        self.waiting = 0

    def record(self, answer: Mapping[str, Any]) -> None:
        """Write the record; what cannot be written is counted by why, and the answer may leave all the same."""
        self._write(_encode({"answer": answer}) + b"\n")

    def entry(self, key: str, body: Mapping[str, Any]) -> bool:
        """Write an order to store `body` under `key`; return whether it is written."""
        if not self._write(_encode({"entry": key, "body": body}) + b"\n"):
            return False
        self.wake(True)
        return True

    def close(self) -> None:
        """Have what there is shipped, as far as that is quick; what is not stays in the folder for the next process."""
        self.last()

    def close_file(self) -> None:
        """Close the file that is being written, so that it can be shipped; the next record begins another."""
        with self._lock:
            handle, self._handle, self._size = self._handle, -1, 0
        if handle >= 0:
            with suppress(OSError):
                os.fsync(handle)
            os.close(handle)

    def _write(self, line: bytes) -> bool:
        reason = ""
        with self._lock:
            if self.waiting + self._size > MOST_BYTES:
                reason = "full"
            else:
                try:
                    self._append(line)
                except OSError:
                    reason = "disk"
            grown = self._size > SEGMENT_BYTES
            begun = self._size == len(line)
        if reason:
            self._meter.add("answers_unrecorded_total", 1, {"reason": reason})
            return False
        if begun or grown:
            self.wake(grown)
        return True

    def _append(self, line: bytes) -> None:
        if self._handle >= 0 and self._process != os.getpid():
            os.close(self._handle)  # a forked child's copy: the file, and the lock on it, stay its parent's
            self._handle = -1
        if self._handle < 0:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._handle, self._process, self._size = _claimed(self.folder), os.getpid(), 0
        written = os.write(self._handle, line)
        if written < len(line):
            # The disk is full: a part of a line would spoil the next one.
            os.ftruncate(self._handle, self._size)
            raise OSError("no space left for a record")
        self._size += written


def _claimed(folder: Path) -> int:
    """Return the handle of a new file, locked until it is closed."""
    while True:
        handle, _ = tempfile.mkstemp(dir=folder, prefix=f"{time.time_ns():020d}-", suffix=SUFFIX)
        fcntl.fcntl(handle, fcntl.F_SETFL, os.O_APPEND)
        # Between making and locking it another process may have taken it for a killed one's.
        if lock(handle):
            return handle
        os.close(handle)


def lock(handle: int) -> bool:
    """Lock a file that has a name if nobody has; return whether that is so."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return bool(os.fstat(handle).st_nlink)
