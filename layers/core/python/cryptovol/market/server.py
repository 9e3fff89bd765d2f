"""A server that answers like a venue, over a simulated or replayed market, and can be told to fail like one.

The offline default and the live venues go through the same clients. Two headers say that this is none of them.
"""

from __future__ import annotations

import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

from cryptovol.errors import ConfigError
from cryptovol.market import MARKET_HEADER, SOURCE_HEADER, shapes
from cryptovol.market.answers import answered, health, written
from cryptovol.market.hits import Fault, Plan
from cryptovol.market.markets import Market
from cryptovol.market.shapes.shape import Request, Shape
from cryptovol.market.wires import Reply, send_whole
from cryptovol.ports import Clock

HEALTH = "/health"


class _Handler(BaseHTTPRequestHandler):
    """One connection; `wires.Wire`."""

    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body leave in one write
    timeout = 120

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        last = {name: values[-1] for name, values in parse_qs(query, keep_blank_values=True).items()}
        request = Request(path, last, self.headers.get("Authorization", ""))
        mine = self.server
        mine.count()
        clock = mine.clock()
        hit = mine.plan.hit(clock, for_bars=mine.shape.serves(path))
        if path == HEALTH:
            reply = written(health(mine.market))
        else:
            reply = answered(mine.market, mine.shape, request, clock, hit=hit, key=mine.key)
        if hit:
            hit.fault.send(self, hit.fault.reply(reply, mine.shape, hit), hit.fault.pause)
        else:
            send_whole(self, reply, 0.0)

    def head(self, reply: Reply, length: int | None) -> None:
        """See `wires.Wire`."""
        self.send_response(reply.status)
        for name, value in {**reply.headers, **self.server.declaration}.items():
            self.send_header(name, value)
        if length is not None:
            self.send_header("Content-Length", str(length))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()

    def push(self, data: bytes) -> None:
        """See `wires.Wire`."""
        self.wfile.write(data)
        self.wfile.flush()

    def rest(self, seconds: float) -> bool:
        """See `wires.Wire`."""
        return not self.server.stopping.wait(seconds)

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet: a backfill would print a line per page."""


class _Server(ThreadingHTTPServer):
    """Knows its open connections, so that stopping leaves none behind."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(
        self, address: tuple[str, int], market: Market, clock: Clock, shape: Shape, plan: Plan, *, key: str, declared: bool
    ) -> None:  # fmt: skip
        self.market = market
        self.clock = clock
        self.shape = shape
        self.plan = plan
        self.key = key
        origin = market.origin
        self.declaration = {MARKET_HEADER: origin.market, SOURCE_HEADER: origin.source} if declared else {}
        self.stopping = threading.Event()
        self.requests = 0
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(address, _Handler)

    def count(self) -> None:
        with self._lock:
            self.requests += 1

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Forget a client that went away; anything else is reported as usual."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)

    def hang_up(self) -> None:
        self.stopping.set()
        with self._lock:
            for request in self._open:
                try:
                    request.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue  # the client was first


class MarketServer:
    """A market server on a port; `url` is its base URL. Make it with `serve`."""

    def __init__(self, server: _Server) -> None:
        self._server = server
        self._thread: threading.Thread | None = None
        self.url = f"http://{server.server_address[0]!s}:{server.server_address[1]}"

    @property
    def requests(self) -> int:
        """How many requests came, of any path and with any outcome."""
        return self._server.requests

    def start(self) -> MarketServer:
        """Serve in a thread of its own and return at once."""
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="market", daemon=True)
        self._thread.start()
        return self

    def serve_forever(self) -> None:
        """Serve until interrupted."""
        try:
            self._server.serve_forever(0.2)
        finally:
            self._server.server_close()

    def stop(self) -> None:
        """Stop serving, hang up on every client and free the port."""
        if self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._thread = None
        self._server.server_close()
        self._server.hang_up()


def serve(
    market: Market,
    *,
    shape: str = "cryptocompare",
    fault: Fault | None = None,
    declared: bool = True,
    key: str = "",
    host: str = "127.0.0.1",
    port: int = 0,
    clock: Clock,
) -> MarketServer:
    """Return a server bound to a port; call `start` or `serve_forever` on it.

    Parameters
    ----------
    shape
        Whose API it plays: a name in `shapes.SHAPES`.
    fault
        What it does wrong, for instance ``faults.named("storm429", times=3)``; None for nothing.
    declared
        Whether its headers say that it is a stand-in. Only a test that plays a live venue turns this off.
    key
        If not empty, the shapes of venues with keys refuse requests without it.
    port
        0 takes a free one.
    clock
        Returns unix seconds.

    Raises
    ------
    ConfigError
        If the port is taken or may not be used, or there is no such shape.
    """
    played = shapes.named(shape)
    try:
        return MarketServer(_Server((host, port), market, clock, played, Plan(fault), key=key, declared=declared))
    except (OSError, OverflowError) as error:
        raise ConfigError(
            f"cannot listen on {host}:{port}: {error}. Cure: choose another port, or 0 for a free one"
        ) from error
