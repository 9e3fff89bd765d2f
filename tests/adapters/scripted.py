"""A server that says what a test tells it to, and bars in each venue's own encoding."""

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cryptovol.adapters.sources.patience import Patience
from cryptovol.adapters.sources.transport import Timeouts
from cryptovol.adapters.sources.venue import VenueSource
from cryptovol.adapters.sources.venues import DIALECTS
from cryptovol.times import HOUR, parse_instant

KEY = "s3cret-key-0123456789"
NOW = parse_instant("2026-01-01T10:30:00Z")
HOUR_NOW = NOW - 1800

# Time, open, high, low, close, volume in coins, mean price by volume.
Row = tuple[int, float, float, float, float, float, float]


class Script:
    """A server that gives prepared answers, one after the other, the last one for ever."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, dict[str, str], bytes]] = []
        self.asked: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.url = ""

    def add(self, body: Any, *, status: int = 200, **headers: str) -> None:
        """Prepare an answer; a body that is not bytes becomes JSON."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.answers.append((status, {name.replace("_", "-"): value for name, value in headers.items()}, data))


@contextmanager
def serving() -> Iterator[Script]:
    """Run a scripted server."""
    found = Script()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            found.paths.append(parts.path)
            found.asked.append({name: values[0] for name, values in parse_qs(parts.query).items()})
            found.headers.append(dict(self.headers))
            status, headers, data = found.answers.pop(0) if len(found.answers) > 1 else found.answers[0]
            self.send_response(status)
            for name, value in {"Content-Length": str(len(data)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    found.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


def client(
    venue: str, url: str, waits: list[float], *, key: str = "", page_bars: int = 10, timeouts: Timeouts | None = None
) -> VenueSource:
    """Return a venue's client that does not really wait between its tries."""
    patience = Patience(sleep=waits.append, jitter=lambda: 0.5)
    return VenueSource(
        DIALECTS[venue], url=url, key=key, page_bars=page_bars, clock=lambda: NOW, patience=patience, timeouts=timeouts
    )  # fmt: skip


def row(hour: int, price: float = 2.0, volume: float = 5.0) -> Row:
    """Return a sound row so many hours after the one in progress."""
    return (HOUR_NOW + hour * HOUR, price, 2 * price, price / 2, 1.5 * price, volume, price)


def text(number: float | None) -> str | None:
    """Return a number as venues write it in quotes."""
    return None if number is None else f"{number:.8f}"


def histohour(rows: Sequence[Row]) -> Any:
    """Return CryptoCompare's body."""
    names = ("time", "open", "high", "low", "close", "volumefrom", "volumeto")
    data = [dict(zip(names, (*r[:6], r[5] * r[6]), strict=True)) | {"conversionType": "direct"} for r in rows]
    return {"Response": "Success", "Message": "", "Type": 100, "RateLimit": {}, "Data": {"Data": data}}


def coindesk(rows: Sequence[Row], instrument: str = "BTC-USD") -> Any:
    """Return CoinDesk's body."""
    names = ("TIMESTAMP", "OPEN", "HIGH", "LOW", "CLOSE", "VOLUME", "QUOTE_VOLUME")
    own = {"UNIT": "HOUR", "TYPE": "267", "MARKET": "cadli", "INSTRUMENT": instrument}
    return {"Data": [own | dict(zip(names, (*r[:6], r[5] * r[6]), strict=True)) for r in rows], "Err": {}}


def binance(rows: Sequence[Row]) -> Any:
    """Return Binance's body."""
    return [
        [r[0] * 1000, *map(text, r[1:6]), (r[0] + HOUR) * 1000 - 1, text(r[5] * r[6]), 9, "1.0", "1.0", "0"]
        for r in rows
    ]  # fmt: skip


def coinbase(rows: Sequence[Row]) -> Any:
    """Return Coinbase's body."""
    return [[r[0], r[3], r[2], r[1], r[4], r[5]] for r in rows]


def kraken(rows: Sequence[Row], pair: str = "XXBTZUSD") -> Any:
    """Return Kraken's body."""
    data = [[r[0], *map(text, r[1:5]), text(r[6]), text(r[5]), 9] for r in rows]
    return {"error": [], "result": {pair: data, "last": HOUR_NOW - HOUR}}


ENCODED: dict[str, Callable[[Sequence[Row]], Any]] = {
    "cryptocompare": histohour, "coindesk": coindesk, "binance": binance, "coinbase": coinbase, "kraken": kraken,
}  # fmt: skip
QUOTES = {"binance": "USDT"}  # where it is not USD
