"""Standard output for several processes: whole lines, one after another.

The metrics sidecar reads what the API prints. Processes that share one pipe may interleave any write above 4,096 bytes
(POSIX, ``write``: PIPE_BUF), and a batch's metrics or a trace are longer; so a line is written under a lock of its own.
The lock is a file's, which the system opens again when a process that holds it is killed.
"""

from __future__ import annotations

import fcntl
import io
import os
import threading
from typing import IO, Any


class Lines(io.TextIOBase):
    """A text stream that passes on whole lines. Safe under threads and processes.

    Parameters
    ----------
    target
        File descriptor that lines go to.
    lock
        An open file, the same for all processes; its content is not touched.
    """

    encoding = "utf-8"

    def __init__(self, target: int, lock: IO[Any]) -> None:
        super().__init__()
        self._target = target
        self._lock = lock
        self._threads = threading.Lock()
        self._begun = threading.local()

    def writable(self) -> bool:
        """Return True."""
        return True

    def fileno(self) -> int:
        """Return the descriptor that lines go to."""
        return self._target

    def write(self, text: str) -> int:
        """Pass on what is complete; keep the beginning of a line until its end is written by the same thread."""
        whole, newline, rest = (getattr(self._begun, "text", "") + text).rpartition("\n")
        self._begun.text = rest
        if newline:
            self._pass_on((whole + newline).encode("utf-8", "replace"))
        return len(text)

    def _pass_on(self, raw: bytes) -> None:
        with self._threads:
            fcntl.lockf(self._lock, fcntl.LOCK_EX)
            try:
                while raw:
                    raw = raw[os.write(self._target, raw) :]
            finally:
                fcntl.lockf(self._lock, fcntl.LOCK_UN)
