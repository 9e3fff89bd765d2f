"""A server that answers like CryptoCompare's ``/data/v2/histohour``, over a simulated or replayed market.

The offline default and the live one go through the same client. What is copied is the legacy shape: ``limit + 1``
rows, oldest first, the last one being the hour in progress at `toTs`; errors with HTTP 200 and ``Response: Error``.
Two headers say that this is not CryptoCompare.
"""

from __future__ import annotations

import json
import math
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np

from cryptovol.bars import NUMBERS, Bars
from cryptovol.errors import ConfigError, UnknownSymbolError
from cryptovol.market import MARKET_HEADER, MOST_ROWS, PATH, SOURCE_HEADER
from cryptovol.market.markets import Market, seen_at
from cryptovol.ports import Clock
from cryptovol.times import HOUR

MOST_AGGREGATE = 30
NAMES = {"volume_base": "volumefrom", "volume_quote": "volumeto"}


class _BadRequest(Exception):
    """A parameter the API refuses; `body` is the answer that says so."""

    def __init__(self, message: str, kind: int, param: str) -> None:
        super().__init__(message, kind, param)
        self.body = {
            "Response": "Error", "Message": message, "HasWarning": False, "Type": kind, "RateLimit": {}, "Data": {},
            "ParamWithError": param,
        }  # fmt: skip


def histohour(market: Market, query: dict[str, str], now: int) -> dict[str, Any]:
    """Return the answer to one request, as it goes into JSON; `now` is the default of `toTs`, in unix seconds."""
    try:
        to_ts = _whole(query, "toTs", default=now, least=0, most=2**40)
        limit = _whole(query, "limit", default=30, least=1, most=MOST_ROWS)
        aggregate = _whole(query, "aggregate", default=1, least=1, most=MOST_AGGREGATE)
        bars = _pair(market, query)
    except _BadRequest as error:
        return error.body
    rows = _rows(bars, min(to_ts, market.now()), limit, aggregate)
    ends = (rows[0]["time"], rows[-1]["time"]) if rows else (to_ts, to_ts)
    data = {"Aggregated": aggregate > 1, "TimeFrom": ends[0], "TimeTo": ends[1], "Data": rows}
    return {"Response": "Success", "Message": "", "HasWarning": False, "Type": 100, "RateLimit": {}, "Data": data}


def _whole(query: dict[str, str], name: str, *, default: int, least: int, most: int) -> int:
    text = query.get(name, "")
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or not least <= int(text[:20]) <= most:
        raise _BadRequest(f"{name} param is not an integer between {least} and {most}", 2, name)
    return int(text)


def _pair(market: Market, query: dict[str, str]) -> Bars:
    for name in ("fsym", "tsym"):
        if not query.get(name):
            raise _BadRequest(f"{name} param is empty or null", 2, name)
    symbol, quote = query["fsym"], query["tsym"]
    try:
        return market.bars(symbol, quote)
    except UnknownSymbolError:
        if market.symbols() and symbol not in market.symbols():
            raise _BadRequest(f"There is no data for the symbol {symbol} .", 2, "fsym") from None
        raise _BadRequest(f"CCCAGG market does not exist for this coin pair ({symbol}-{quote})", 1, "tsym") from None


def _rows(bars: Bars, moment: int, limit: int, aggregate: int) -> list[dict[str, Any]]:
    """Return the rows of up to ``limit + 1`` periods that end with the one in progress at `moment`."""
    if not len(bars):
        return []
    period = aggregate * HOUR
    newest = min(moment, int(bars.time[-1])) // period * period
    first, stop = np.searchsorted(bars.time, [newest - limit * period, newest + period])
    seen = seen_at(bars.take(slice(int(first), int(stop))), moment)
    columns: dict[str, list[Any]] = {"time": seen.time.tolist()}
    for name in NUMBERS:
        column = getattr(seen, name).tolist()
        columns[NAMES.get(name, name)] = [None if math.isnan(value) else value for value in column]
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    for row in rows:
        row.update(conversionType="direct", conversionSymbol="")
    return rows if aggregate == 1 else _aggregated(rows, period)


def _aggregated(rows: list[dict[str, Any]], period: int) -> list[dict[str, Any]]:
    """Return one row per period of several hours."""
    groups: dict[int, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(row["time"] // period * period, []).append(row)
    merged = []
    for opened, group in groups.items():
        whole = {**group[0], "time": opened, "close": group[-1]["close"]}
        for name, fold in (("high", max), ("low", min), ("volumefrom", sum), ("volumeto", sum)):
            given = [row[name] for row in group if row[name] is not None]
            whole[name] = fold(given) if given else None
        merged.append(whole)
    return merged


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body leave in one write
    timeout = 120

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(url.query).items()}
        if url.path == PATH:
            self._answer(200, histohour(self.server.market, query, self.server.clock()))
        elif url.path == "/health":
            origin = self.server.market.origin
            body = {"status": "ok", "market": origin.market, "source": origin.source}
            self._answer(200, {**body, "symbols": self.server.market.symbols()})
        else:
            message = f"Path does not exist; use {PATH} or /health"
            self._answer(404, {"Response": "Error", "Message": message, "HasWarning": False, "Type": 1, "Data": {}})

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body, separators=(",", ":"), allow_nan=False).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=UTF-8")
        self.send_header("Content-Length", str(len(data)))
        self.send_header(MARKET_HEADER, self.server.market.origin.market)
        self.send_header(SOURCE_HEADER, self.server.market.origin.source)
        self.end_headers()
        self.wfile.write(data)
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet: a backfill would print a line per page."""


class _Server(ThreadingHTTPServer):
    """Knows its open connections, so that stopping leaves none behind."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], market: Market, clock: Clock) -> None:
        self.market = market
        self.clock = clock
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(address, _Handler)

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
        import sys

        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)

    def hang_up(self) -> None:
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


def serve(market: Market, *, host: str = "127.0.0.1", port: int = 0, clock: Clock) -> MarketServer:
    """Return a server bound to a port, with 0 to a free one; call `start` or `serve_forever` on it.

    Raises
    ------
    ConfigError
        If the port is taken or may not be used.
    """
    try:
        return MarketServer(_Server((host, port), market, clock))
    except (OSError, OverflowError) as error:
        raise ConfigError(
            f"cannot listen on {host}:{port}: {error}. Cure: choose another port, or 0 for a free one"
        ) from error
