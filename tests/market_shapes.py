"""A bar file behind a stand-in server, asked for its newest hours in the shape of each venue."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from cryptovol.market.markets import Market, ReplayMarket
from cryptovol.market.server import MarketServer, serve
from cryptovol.testing import START, make_bars
from cryptovol.times import HOUR

N = 2500
BARS = make_bars(N)
# The hour in progress by the server's clock; the day before it holds a Monday morning.
PRESENT = 168 * 13 + 20
NOW = START + PRESENT * HOUR + 1800
SHAPES = ("cryptocompare", "coindesk", "binance", "coinbase", "kraken")
PATHS = {
    "cryptocompare": "/data/v2/histohour",
    "coindesk": "/index/cc/v1/historical/hours",
    "binance": "/api/v3/klines",
    "coinbase": "/products/BTC-USD/candles",
    "kraken": "/0/public/OHLC",
}
# Where a venue's row has time, open, high, low, close and volume.
PLACES: dict[str, tuple[Any, ...]] = {
    "cryptocompare": ("time", "open", "high", "low", "close", "volumefrom"),
    "coindesk": ("TIMESTAMP", "OPEN", "HIGH", "LOW", "CLOSE", "VOLUME"),
    "binance": (0, 1, 2, 3, 4, 5),
    "coinbase": (0, 3, 2, 1, 4, 5),
    "kraken": (0, 1, 2, 3, 4, 6),
}


@dataclass(frozen=True)
class Got:
    """An answer: its status, headers, bytes, and the JSON in them if there is any."""

    status: int
    headers: dict[str, str]
    data: bytes

    @property
    def body(self) -> Any:
        """The JSON value; NaN and all."""
        return json.loads(self.data)


def write_bars(path: Path, *, n: int = N, drop: slice | None = None, symbol: str | None = "BTC-USD") -> Path:
    """Write made-up bars as a bar file, without the rows of `drop`; without a symbol it names no pair."""
    bars = make_bars(n)
    rows = [
        ",".join(map(repr, row)) + (f",{symbol}" if symbol else "")
        for row in zip(*(getattr(bars, name).tolist() for name in list(bars.columns())[:7]), strict=True)
    ]
    if drop is not None:
        del rows[drop]
    header = "time,open,high,low,close,volumefrom,volumeto" + (",symbol" if symbol else "")
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def replay(folder: Path, *, drop: slice | None = None, symbol: str | None = None) -> ReplayMarket:
    """Return a market over such a file."""
    return ReplayMarket(write_bars(folder / "made up.csv", drop=drop, symbol=symbol))


@contextmanager
def serving(market: Market, shape: str, **more: Any) -> Iterator[MarketServer]:
    """A server in a shape, stopped in the end."""
    server = serve(market, shape=shape, clock=lambda: NOW, **more).start()
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def serving_all(market: Market, **more: Any) -> Iterator[dict[str, str]]:
    """The address of a server in each shape, all stopped in the end."""
    with ExitStack() as stack:
        yield {shape: stack.enter_context(serving(market, shape, **more)).url for shape in SHAPES}


def get(url: str, path: str, query: dict[str, Any] | None = None, *, timeout: float = 10, key: str = "") -> Got:
    """Return the answer to one request over a connection of its own."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=timeout)
    try:
        headers = {"Authorization": f"Apikey {key}"} if key else {}
        connection.request("GET", path + (f"?{urlencode(query)}" if query else ""), headers=headers)
        answer = connection.getresponse()
        return Got(answer.status, dict(answer.getheaders()), answer.read())
    finally:
        connection.close()


def newest(shape: str, hours: int = 48) -> dict[str, Any]:
    """Return the query for the newest hours of BTC, the one in progress among them."""
    first = NOW // HOUR * HOUR - (hours - 1) * HOUR
    queries: dict[str, dict[str, Any]] = {
        "cryptocompare": {"fsym": "BTC", "tsym": "USD", "limit": hours - 1},
        "coindesk": {"market": "cadli", "instrument": "BTC-USD", "limit": hours, "fill": "false"},
        "binance": {"symbol": "BTCUSDT", "interval": "1h", "limit": hours},
        "coinbase": {"granularity": 3600, "start": first, "end": NOW},
        "kraken": {"pair": "XBTUSD", "interval": 60, "since": first - 1},
    }
    return queries[shape]


def ask(url: str, shape: str, **changes: Any) -> Got:
    """Return the answer about the newest hours, with some of the query changed, or left out where it is None."""
    query = {name: value for name, value in {**newest(shape), **changes}.items() if value is not None}
    return get(url, PATHS[shape], query)


def rows_in(shape: str, body: Any) -> list[Any]:
    """Return the rows inside an answer's body."""
    if shape == "cryptocompare":
        body = body["Data"]["Data"]
    elif shape == "coindesk":
        body = body["Data"]
    elif shape == "kraken":
        (body,) = (rows for name, rows in body["result"].items() if name != "last")
    assert isinstance(body, list), body
    return body


def table(shape: str, body: Any) -> list[tuple[float, ...]]:
    """Return each row's time in seconds, open, high, low, close and volume, in the answer's order."""
    found = []
    for row in rows_in(shape, body):
        time, *numbers = (float(row[place]) for place in PLACES[shape])
        found.append((time / (1000 if shape == "binance" else 1), *numbers))
    return found


def hours_of(rows: list[tuple[float, ...]]) -> list[int]:
    """Return the rows' hours, counted from the file's first."""
    assert all((row[0] - START) % HOUR == 0 for row in rows)
    return [int(row[0] - START) // HOUR for row in rows]


def truth(hour: int) -> tuple[float, ...]:
    """Return what a row of a closed hour holds."""
    names = ("time", "open", "high", "low", "close", "volume_base")
    return tuple(float(getattr(BARS, name)[hour]) for name in names)
