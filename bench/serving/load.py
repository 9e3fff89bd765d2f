"""A load client: some kept-open connections, each asking again when its answer is whole. One thread, plain sockets.

It knows as much HTTP as it needs: one request, sent as it is again and again, and answers with a `Content-Length`.
"""

from __future__ import annotations

import re
import selectors
import socket
import time
from collections import Counter
from dataclasses import dataclass, field

CHUNK = 65536
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)[ \t]*\r\n", re.IGNORECASE)
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})[ \r]")


class LoadError(Exception):
    """The server did not answer as HTTP, or not at all."""


@dataclass
class Load:
    """What a run saw: seconds of each answer, answers by status, connections opened again, seconds in all."""

    seconds: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    reopened: int = 0
    wall: float = 0.0

    @property
    def rate(self) -> float:
        """Answers per second."""
        return len(self.seconds) / self.wall


def request(path: str, headers: dict[str, str], body: bytes) -> bytes:
    """Return the bytes of a POST on a kept-open connection; its length is added."""
    lines = (f"{name}: {value}" for name, value in {**headers, "Content-Length": len(body)}.items())
    return "\r\n".join([f"POST {path} HTTP/1.1", *lines, "", ""]).encode() + body


def whole(received: bytes) -> tuple[int, int] | None:
    """Return status and length in bytes of the answer that `received` begins with, or None until it is whole.

    Raises
    ------
    LoadError
        If it is no HTTP answer, or one without a length.
    """
    end = received.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = received[: end + 2]
    status, length = _STATUS.match(head), _LENGTH.search(head)
    if status is None or length is None:
        raise LoadError(f"not an answer with a length: {head[:200]!r}")
    size = end + 4 + int(length[1])
    return (int(status[1]), size) if len(received) >= size else None


class _Connection:
    """One connection and the answer it waits for."""

    def __init__(self, address: tuple[str, int], raw: bytes, timeout: float) -> None:
        self._address = address
        self._raw = raw
        self._timeout = timeout
        self.socket = self._opened()
        self.received = b""
        self.started = 0.0

    def _opened(self) -> socket.socket:
        opened = socket.create_connection(self._address, timeout=self._timeout)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return opened

    def ask(self) -> None:
        self.received, self.started = b"", time.perf_counter()
        self.socket.sendall(self._raw)

    def reopen(self) -> None:
        """Ask again on a new connection; the time goes on from the first try."""
        self.socket.close()
        self.socket, self.received = self._opened(), b""
        self.socket.sendall(self._raw)


def run(
    address: tuple[str, int], raw: bytes, *, connections: int, requests: int, seconds: float, timeout: float = 30.0
) -> Load:
    """Return what so many requests saw, or as many as there was time for.

    Parameters
    ----------
    address
        Host and port.
    raw
        The request; see `request`.
    seconds
        After which no further request is sent.
    timeout
        Without any answer, after which the server counts as dead.

    Raises
    ------
    LoadError
        If the server is dead, or closes a connection in the middle of an answer.
    """
    load, selector = Load(), selectors.DefaultSelector()
    started = time.perf_counter()
    open_ones = [_Connection(address, raw, timeout) for _ in range(min(connections, requests))]
    try:
        for one in open_ones:
            _first_ask(selector, one)
        _drive(selector, load, len(open_ones), requests, started + seconds, timeout)
    finally:
        selector.close()
        for one in open_ones:
            one.socket.close()
    load.wall = time.perf_counter() - started
    return load


def _first_ask(selector: selectors.BaseSelector, one: _Connection) -> None:
    selector.register(one.socket, selectors.EVENT_READ, one)
    one.ask()


def _drive(
    selector: selectors.BaseSelector, load: Load, asked: int, requests: int, deadline: float, timeout: float
) -> None:
    waiting = asked
    while waiting:
        ready = selector.select(timeout)
        if not ready:
            raise LoadError(f"no answer within {timeout:.0f} s")
        for key, _ in ready:
            one: _Connection = key.data
            if not _answered(selector, load, one):
                continue
            if asked < requests and time.perf_counter() < deadline:
                asked += 1
                _again(selector, load, one)
            else:
                waiting -= 1
                selector.unregister(one.socket)


def _answered(selector: selectors.BaseSelector, load: Load, one: _Connection) -> bool:
    """Read what there is and return whether the answer is whole."""
    try:
        data = one.socket.recv(CHUNK)
    except ConnectionError:
        data = b""
    if not data:
        if one.received:
            raise LoadError(f"closed in the middle of an answer: {one.received[:200]!r}")
        _reopened(selector, load, one)
        return False
    one.received += data
    found = whole(one.received)
    if found is None:
        return False
    load.seconds.append(time.perf_counter() - one.started)
    load.statuses[found[0]] += 1
    return True


def _again(selector: selectors.BaseSelector, load: Load, one: _Connection) -> None:
    try:
        one.ask()
    except ConnectionError:
        _reopened(selector, load, one)


def _reopened(selector: selectors.BaseSelector, load: Load, one: _Connection) -> None:
    """Open a connection that the server closed between two answers; it may, but a server that only closes is dead."""
    load.reopened += 1
    if load.reopened > 2 * len(load.seconds) + 100:
        raise LoadError("the server only closes connections")
    selector.unregister(one.socket)
    one.reopen()
    selector.register(one.socket, selectors.EVENT_READ, one)
