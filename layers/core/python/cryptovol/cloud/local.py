"""The API's server for one machine: a thread per connection, bounded in everything a client could stretch.

A connection that sends its request too slowly is cut, one too many is told to come back, a body's length is judged
before a byte of it is read, and a refusal reaches its reader: the connection is closed only once that has had its time.
"""

from __future__ import annotations

import socket
import socketserver
import sys
import threading
import time
import traceback
from contextlib import suppress
from typing import Any

from cryptovol.cloud import wire
from cryptovol.cloud.gateway import Asked, Gateway

CONNECTIONS = 128
IDLE_SECONDS = 60.0  # between two requests of one connection
STOP_SECONDS = 5.0
BUSY = wire.problem(
    503, "overloaded", f"all {CONNECTIONS} connections are taken; try again", "none", [("Retry-After", "1")]
)


class Handler(socketserver.StreamRequestHandler):
    """One connection: requests one after another, for as long as they are well-formed."""

    disable_nagle_algorithm = True  # with delayed acknowledgements it costs 40 ms a request
    server: Server

    def handle(self) -> None:
        """Answer until the client goes, or is sent away."""
        self._held = bytearray()
        seconds = self.server.patience
        with suppress(OSError):  # the client is gone, silent, or too slow to read: nobody is left to tell
            while self._once(seconds):
                seconds = IDLE_SECONDS

    def _once(self, seconds: float) -> bool:
        """Answer one request that must begin within some seconds; return whether another may follow."""
        self._deadline = time.monotonic() + (self.server.patience if self._held else seconds)
        try:
            head = self._head()
            if head is None:
                return False
            if head.expects:
                self.connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            body = self._body(head.length)
        except wire.RefusedError as refused:
            self._send(wire.encode(refused.answer(), keeps=False))
            linger(self.connection)
            return False
        source = str(self.client_address[0])
        answer = self.server.gateway.answer(Asked(head.method, head.target, head.headers, body, source))
        keeps = head.keeps and not self.server.stopping
        self._send(wire.encode(answer, keeps=keeps, bodiless=head.method == "HEAD"))
        return keeps

    def _head(self) -> wire.Head | None:
        """Return the next request's head, or None if the client has nothing to ask."""
        while not (end := wire.head_end(self._held)):
            if not self._more() and not self._held:
                return None
        head = wire.parse(bytes(self._held[:end]))
        del self._held[:end]
        return head

    def _body(self, length: int) -> bytes:
        while len(self._held) < length:
            self._more()
        body = bytes(self._held[:length])
        del self._held[:length]
        return body

    def _more(self) -> bool:
        """Read what there is; return False where a client that had begun nothing is gone or silent."""
        begun = bool(self._held)
        try:
            self.connection.settimeout(max(0.001, self._deadline - time.monotonic()))
            data = self.connection.recv(65_536)
        except TimeoutError:
            if not begun:
                raise
            seconds = self.server.patience
            raise wire.RefusedError(408, "timeout", f"the request did not arrive within {seconds:g} s") from None
        if not data and begun:
            raise wire.malformed("the request ends before it is whole")
        if not begun:
            self._deadline = time.monotonic() + self.server.patience
        self._held += data
        return bool(data)

    def _send(self, raw: bytes) -> None:
        self.connection.settimeout(self.server.patience)
        self.connection.sendall(raw)


def linger(connection: socket.socket) -> None:
    """Let a refusal be read: closing while the client still sends would have the kernel throw it away (RFC 9112, 9.6)."""
    with suppress(OSError):
        connection.shutdown(socket.SHUT_WR)
        deadline, left = time.monotonic() + wire.LINGER_SECONDS, wire.LINGER_BYTES
        while left > 0 and (seconds := deadline - time.monotonic()) > 0:
            connection.settimeout(seconds)
            data = connection.recv(65_536)
            if not data:
                return
            left -= len(data)


class Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """Serves a gateway on one address.

    Parameters
    ----------
    host, port
        Port 0 takes a free one.
    patience
        Seconds a client has to send a request, and to take the answer.

    Raises
    ------
    OSError
        If the address is not to be had.
    """

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, gateway: Gateway, host: str, port: int, *, patience: float = wire.PATIENCE) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), Handler)
        self.gateway = gateway
        self.patience = patience
        self.stopping = False
        self._open: set[socket.socket] = set()
        self._changed = threading.Condition()

    @property
    def url(self) -> str:
        """Where it serves."""
        host, port = self.server_address[:2]
        return f"http://[{host!s}]:{port}" if self.address_family == socket.AF_INET6 else f"http://{host!s}:{port}"

    def process_request(self, request: Any, client_address: Any) -> None:
        """Give a connection its thread, or say that there is none."""
        with self._changed:
            free = len(self._open) < CONNECTIONS
            if free:
                self._open.add(request)
        if free:
            super().process_request(request, client_address)
            return
        with suppress(OSError):
            request.setblocking(False)
            request.send(wire.encode(BUSY, keeps=False))
        self.shutdown_request(request)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection and free its place."""
        super().shutdown_request(request)
        with self._changed:
            self._open.discard(request)
            self._changed.notify_all()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print what nobody foresaw."""
        traceback.print_exc(file=sys.stderr)

    def finish(self) -> None:
        """Take no more requests, let those under way be answered, and close the gateway."""
        self.stopping = True
        self.server_close()
        with self._changed:
            for connection in self._open:
                with suppress(OSError):
                    # Who waits for a next request reads an end; answers still go out.
                    connection.shutdown(socket.SHUT_RD)
            self._changed.wait_for(lambda: not self._open, STOP_SECONDS)
        self.gateway.close()
