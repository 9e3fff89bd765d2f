"""Coinbase Exchange's ``/products/<pair>/candles``.

Rows ``time, low, high, open, close, volume``, newest first, hours without a trade left out, both ends of the range
included, the candle in progress too. A range of more than 300 hours is refused; without a range the newest 350 come.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote

from cryptovol.bars import Bars
from cryptovol.errors import ConfigError
from cryptovol.market.markets import Market
from cryptovol.market.shapes.shape import Answer, Asked, Moment, Refused, Request, Row, traded, whole_number
from cryptovol.times import HOUR, parse_instant

PATH = re.compile(r"/products/([^/]+)/candles")
MOST_HOURS = 300
WITHOUT_RANGE = 350
TOO_LONG = "granularity too small for the requested time range. Count of aggregations requested exceeds 300"


class Coinbase:
    """See `Shape`."""

    name = "coinbase"
    about = "time, low, high, open, close, volume; newest first; at most 300 hours, else HTTP 400"
    example = "/products/BTC-USD/candles?granularity=3600"
    close: str | int = 4
    keyed = False

    def serves(self, path: str) -> bool:
        """Return whether it is a product's path of candles."""
        return PATH.fullmatch(path) is not None

    def asked(self, request: Request, moment: Moment) -> Asked:
        """Return which bars are wanted; of a range with one end only nothing is heeded."""
        found = PATH.fullmatch(request.path)
        product = unquote(found[1]).upper() if found else ""
        symbol, _, quote = product.partition("-")
        if not re.fullmatch(r"[A-Z0-9]{1,20}-[A-Z0-9]{1,20}", product):
            raise Refused(_error("NotFound", 404))
        if request.query.get("granularity") != str(HOUR):
            raise Refused(_error("Unsupported granularity"))
        start, end = (_instant(name, request.query.get(name, "")) for name in ("start", "end"))
        if start is None or end is None:
            return Asked(symbol, quote, last=moment.present, moment=moment.present, most=WITHOUT_RANGE)
        if start > end:
            raise Refused(_error("start must be before end"))
        if end - start > MOST_HOURS * HOUR:
            raise Refused(_error(TOO_LONG))
        return Asked(symbol, quote, start=start, last=end, moment=moment.present)

    def unknown(self, asked: Asked, market: Market) -> Answer:
        """Return 404."""
        return _error("NotFound", 404)

    def rows(self, bars: Bars, asked: Asked) -> list[Row]:
        """Return one list of six per bar, newest first."""
        bars = traded(bars).take(slice(None, None, -1))
        columns = (bars.time, bars.low, bars.high, bars.open, bars.close, bars.volume_base)
        return [list(row) for row in zip(*(column.tolist() for column in columns), strict=True)]

    def body(self, rows: list[Row], asked: Asked) -> Any:
        """Return the bare rows."""
        return rows

    def elsewhere(self, path: str) -> Answer:
        """Return 404."""
        return _error("NotFound", 404)

    def limited(self, wait: float) -> Answer:
        """Return 429 without a `Retry-After`."""
        return _error("Public rate limit exceeded", 429)


def _error(message: str, status: int = 400) -> Answer:
    return Answer(status, {"message": message})


def _instant(name: str, text: str) -> int | None:
    """Return unix seconds for digits or an ISO 8601 text, None for an empty one."""
    if not text:
        return None
    seconds = whole_number(text, least=0, most=2**40)
    if seconds is not None:
        return seconds
    try:
        return parse_instant(text)
    except ConfigError:
        raise Refused(_error(f"Invalid {name}")) from None
