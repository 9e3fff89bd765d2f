"""Gunicorn's threaded worker, but a slow client costs it a buffer and never a thread.

Gunicorn reads head and body in the thread that answers, without a limit in time: as many slow clients as there are
threads, and nobody else is served. Here the worker's own loop collects a request as it comes, looks at its head strictly
(`wire`), cuts off whoever is too slow, and only then gives it to gunicorn's parser and a thread. Where it has no place
left, the connection that has waited longest goes first. Refusals are problem documents.
"""

from __future__ import annotations

import errno
import socket
import time
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from selectors import EVENT_READ
from typing import Any

from gunicorn.http import errors  # type: ignore[import-untyped]
from gunicorn.workers.gthread import ThreadWorker  # type: ignore[import-untyped]

from cryptovol.cloud import wire
from cryptovol.cloud.connection import Client, Connection

LOOK_SECONDS = 0.2  # between two looks for who is too slow
STOP_SECONDS = 1.0  # in which a request that was on its way when the worker stopped may still arrive


class Worker(ThreadWorker):  # type: ignore[misc]
    """See the module; `patience` is in seconds."""

    patience = wire.PATIENCE

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        # Connections that no thread has, in the order in which they began to wait.
        self._waiting: dict[Connection, None] = {}
        self._looked = self._stops = 0.0

    def accept(self, listener: Any) -> None:
        """Take a connection, and wait for its first request."""
        try:
            accepted, address = listener.accept()
        except OSError as error:
            # Else another worker has it, or it is gone already.
            if error.errno in (errno.EMFILE, errno.ENFILE) and self._waiting:
                self._drop(next(iter(self._waiting)))
            return
        client = Client(fileno=accepted.detach())
        client.patience = self.patience
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = Connection(self.cfg, client, address, listener.getsockname())
        self.nr_conns += 1
        if self.nr_conns >= self.worker_connections and self._waiting:
            self._drop(next(iter(self._waiting)))
        self._wait(connection, self.patience)

    def _wait(self, connection: Connection, seconds: float) -> None:
        connection.deadline = time.monotonic() + seconds
        self._waiting[connection] = None
        self.poller.register(connection.sock, EVENT_READ, partial(self._readable, connection))

    def _leave(self, connection: Connection) -> None:
        self._waiting.pop(connection, None)
        with suppress(KeyError, ValueError, OSError):
            self.poller.unregister(connection.sock)

    def _drop(self, connection: Connection) -> None:
        self._leave(connection)
        self.nr_conns -= 1
        connection.close()

    def _readable(self, connection: Connection, _: Any) -> None:
        if connection not in self._waiting:
            return  # dropped for another one of the same round
        try:
            data = connection.sock.recv(65_536)
        except BlockingIOError:
            return
        except OSError:
            self._drop(connection)
            return
        if connection.lingers:
            connection.drained += len(data)
            if not data or connection.drained > wire.LINGER_BYTES:
                self._drop(connection)
        elif data:
            if not connection.received:
                connection.deadline = time.monotonic() + self.patience
            connection.received += data
            self._look(connection)
        elif connection.received:
            self._refuse(connection, wire.malformed("the request ends before it is whole"))
        else:
            self._drop(connection)

    def _look(self, connection: Connection) -> None:
        try:
            whole = connection.whole()
        except wire.RefusedError as refused:
            self._refuse(connection, refused)
            return
        if whole:
            self._leave(connection)
            self.enqueue_req(connection)

    def _refuse(self, connection: Connection, refused: wire.RefusedError) -> None:
        """Answer what no thread needs to see; the answer is small, so it fits what the system holds for the client."""
        with suppress(OSError):
            connection.sock.send(wire.encode(refused.answer(), keeps=False))
        self._leave(connection)
        self._linger(connection)

    def _linger(self, connection: Connection) -> None:
        """Let the last answer be read: closing while the client still sends would throw it away (RFC 9112, 9.6)."""
        connection.lingers = True
        try:
            connection.sock.setblocking(False)
            connection.sock.shutdown(socket.SHUT_WR)
            self._wait(connection, wire.LINGER_SECONDS)
        except OSError:
            self._drop(connection)

    def finish_request(self, connection: Connection, done: Future[Any]) -> None:
        """Wait for the next request, which may be here already, or see the client off."""
        if done.cancelled() or done.exception() or not self.alive:
            self._drop(connection)
        elif done.result() is not True:
            self._linger(connection)
        else:
            connection.sock.setblocking(False)
            connection.received += connection.parser.unreader.take_buffered()
            self._wait(connection, self.patience if connection.received else self.cfg.keepalive)
            if connection.received:
                self._look(connection)

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """Wait, but never so long that nobody looks for who is too slow."""
        super().wait_for_and_dispatch_events(min(timeout, LOOK_SECONDS))

    def murder_pending(self) -> None:
        """Cut off whoever is too slow; when the worker stops, whoever has nothing on its way."""
        now = time.monotonic()
        if self.alive and now < self._looked + LOOK_SECONDS:
            return
        self._looked = now
        if not self.alive and not self._stops:
            self._stops = now + STOP_SECONDS
        for connection in list(self._waiting):
            if connection.deadline <= now and connection.received and not connection.lingers:
                self._refuse(connection, _too_slow(self.patience))
            elif connection.deadline <= now or (not self.alive and self._leaves(connection, now)):
                self._drop(connection)

    def _leaves(self, connection: Connection, now: float) -> bool:
        """Return whether a stopping worker has no request to expect: a new connection, or one with bytes, has a moment."""
        if connection.lingers or now >= self._stops:
            return True
        return connection.initialized and not connection.received and not _readable_now(connection.sock)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Answer what gunicorn's parser refuses, or nobody foresaw, with a problem document."""
        known = isinstance(exc, errors.ParseException)
        if not known:
            self.log.error("a request failed", exc_info=exc)
        status, code = (400, "malformed") if known else (500, "internal")
        detail = "the request is not well-formed HTTP/1.1" if known else "an unforeseen error; it is logged"
        with suppress(OSError):
            client.sendall(wire.encode(wire.RefusedError(status, code, detail).answer(), keeps=False))


def _readable_now(client: socket.socket) -> bool:
    try:
        return bool(client.recv(1, socket.MSG_PEEK))
    except OSError:
        return False


def _too_slow(seconds: float) -> wire.RefusedError:
    return wire.RefusedError(408, "timeout", f"the request did not arrive within {seconds:g} s")
