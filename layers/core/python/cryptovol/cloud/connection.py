"""A connection of gunicorn's threaded worker while no thread has it: its socket, and what has been received."""

from __future__ import annotations

import errno
import re
import socket
import time
from contextlib import suppress
from typing import Any

from gunicorn.workers.gthread import TConn  # type: ignore[import-untyped]

from cryptovol.cloud import wire

_EXPECT = re.compile(rb"\r\nexpect:[^\r\n]*\r\n", re.IGNORECASE)


class Client(socket.socket):
    """A client's socket. What gunicorn calls blocking ends here after `patience` seconds, however little keeps coming."""

    patience = wire.PATIENCE
    _until = 0.0

    def setblocking(self, flag: bool) -> None:
        """Begin a stretch of `patience` seconds in which to read and write, or wait not at all."""
        self._until = time.monotonic() + self.patience
        self.settimeout(self.patience if flag else 0.0)

    def recv(self, *args: Any) -> bytes:
        """Read; a client that is too slow counts as gone."""
        if self.gettimeout():
            self.settimeout(max(0.001, self._until - time.monotonic()))
        try:
            return super().recv(*args)
        except TimeoutError as error:
            raise ConnectionResetError(errno.ECONNRESET, "the client is too slow") from error

    def sendall(self, *args: Any) -> None:
        """Write, in `patience` seconds of its own; a client that is too slow counts as gone."""
        self.settimeout(self.patience)
        try:
            super().sendall(*args)
        except TimeoutError as error:
            raise ConnectionResetError(errno.ECONNRESET, "the client is too slow") from error


class Connection(TConn):  # type: ignore[misc]
    """A connection, and what has been received of its next request."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.received = bytearray()
        self.deadline = 0.0
        self.lingers = False
        self.drained = 0
        self._needed = 0
        # Its first bytes are read by the loop, so that no thread has to wait for them.
        self.data_ready = True

    def init(self) -> None:
        """Give the parser what was received."""
        super().init()
        if self.received:
            self.parser.unreader.unread(bytes(self.received))
            self.received.clear()
            self._needed = 0

    def whole(self) -> bool:
        """Return whether a thread can answer without waiting for the client.

        Raises
        ------
        RefusedError
            If the request is to be refused.
        """
        if not self._needed and (end := wire.head_end(self.received)):
            head = wire.parse(bytes(self.received[:end]))
            self._needed = end + head.length
            if head.expects:
                self._go_on(end)
        return 0 < self._needed <= len(self.received)

    def _go_on(self, end: int) -> None:
        """Tell a client that asks first to send its body; gunicorn, which would wait for it in a thread, need not know."""
        if len(self.received) < self._needed:
            with suppress(OSError):
                self.sock.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        shorter = _EXPECT.sub(b"\r\n", bytes(self.received[:end]))
        self._needed -= end - len(shorter)
        self.received[:end] = shorter
