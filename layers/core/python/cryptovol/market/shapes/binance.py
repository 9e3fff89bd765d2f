"""Binance's ``/api/v3/klines``.

Rows of twelve values, numbers as texts, milliseconds, oldest first, the last one being the open candle. There is no
US dollar, only dollar coins: ``BTCUSD`` does not exist. No market here counts trades or takers; those are made up from
the volume.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import repeat
from typing import Any

import numpy as np

from cryptovol.bars import Bars
from cryptovol.market.markets import Market
from cryptovol.market.shapes.shape import (
    Answer, Asked, Moment, Refused, Request, Row, decimals, traded, typical, whole_number,
)  # fmt: skip
from cryptovol.times import HOUR

PATH = "/api/v3/klines"
DEFAULT_LIMIT, MOST_LIMIT = 500, 1000
PARAMS = ("symbol", "interval", "startTime", "endTime", "timeZone", "limit")
# Longest first, for a symbol is cut at the first that it ends with.
QUOTES = ("FDUSD", "USDT", "USDC", "TUSD", "BUSD", "EUR", "GBP", "TRY", "BRL", "JPY", "BTC", "ETH", "BNB")
SYMBOL, NUMBER = "^[A-Z0-9-_.]{1,20}$", "^[0-9]{1,20}$"
MICROSECONDS_FROM = 10**15  # as milliseconds that is the year 33658


class Binance:
    """See `Shape`."""

    name = "binance"
    about = "numbers as texts, milliseconds, at most 1000 rows, USDT but no USD"
    example = f"{PATH}?symbol=BTCUSDT&interval=1h&limit=24"
    close: str | int = 4
    keyed = False

    def serves(self, path: str) -> bool:
        """Return whether it is the path of candles."""
        return path == PATH

    def asked(self, request: Request, moment: Moment) -> Asked:
        """Return which bars are wanted: from `startTime` on the oldest, else the newest up to `endTime`."""
        query = request.query
        read = [name for name in query if name in PARAMS]
        if len(read) < len(query):
            told = f"Not all sent parameters were read; read '{len(read)}' parameter(s) but was sent '{len(query)}'."
            raise Refused(_error(-1104, told))
        symbol, quote = _pair(_given(query, "symbol"))
        if _given(query, "interval") != "1h":
            raise Refused(_error(-1120, "Invalid interval."))
        start, end = _milliseconds(query, "startTime"), _milliseconds(query, "endTime")
        limit = _number(query, "limit", DEFAULT_LIMIT)
        if not limit:
            raise Refused(_error(-1130, "Data sent for parameter 'limit' is not valid."))
        last = moment.present if end is None else end // 1000
        return Asked(
            symbol, quote, start=0 if start is None else -(-start // 1000), last=last, moment=moment.present,
            most=min(limit, MOST_LIMIT), newest=start is None,
        )  # fmt: skip

    def unknown(self, asked: Asked, market: Market) -> Answer:
        """Return -1121."""
        return _error(-1121, "Invalid symbol.")

    def rows(self, bars: Bars, asked: Asked) -> list[Row]:
        """Return one list of twelve per bar; a quote volume that is not given is reckoned at the typical price."""
        bars = traded(bars)
        opened = bars.time * 1000
        quoted = np.where(np.isfinite(bars.volume_quote), bars.volume_quote, bars.volume_base * typical(bars))
        columns = (
            opened.tolist(), *(decimals(getattr(bars, name)) for name in ("open", "high", "low", "close")),
            decimals(bars.volume_base), (opened + HOUR * 1000 - 1).tolist(), decimals(quoted),
            np.ceil(np.clip(bars.volume_base, 0, 2**40)).astype(np.int64).tolist(), decimals(bars.volume_base / 2),
            decimals(quoted / 2), repeat("0", len(bars)),
        )  # fmt: skip
        return [list(row) for row in zip(*columns, strict=True)]

    def body(self, rows: list[Row], asked: Asked) -> Any:
        """Return the bare rows."""
        return rows

    def elsewhere(self, path: str) -> Answer:
        """Return -5000 with HTTP 404."""
        return _error(-5000, f"Path {path[:100]}, Method GET is invalid", 404)

    def limited(self, wait: float) -> Answer:
        """Return the ban that follows on too many 429s: HTTP 418 with `Retry-After`."""
        return Answer(418, {"code": -1003, "msg": "Too many requests queued."}, {"Retry-After": f"{wait:g}"})


def _error(code: int, message: str, status: int = 400) -> Answer:
    return Answer(status, {"code": code, "msg": message})


def _illegal(name: str, legal: str) -> Refused:
    return Refused(_error(-1100, f"Illegal characters found in parameter '{name}'; legal range is '{legal}'."))


def _given(query: Mapping[str, str], name: str) -> str:
    if not query.get(name):
        told = f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed."
        raise Refused(_error(-1102, told))
    return query[name]


def _pair(text: str) -> tuple[str, str]:
    if not re.fullmatch(SYMBOL, text):
        raise _illegal("symbol", SYMBOL)
    for quote in QUOTES:
        if text.endswith(quote) and text != quote:
            return text.removesuffix(quote), quote
    raise Refused(_error(-1121, "Invalid symbol."))


def _number(query: Mapping[str, str], name: str, default: int) -> int:
    if name not in query:
        return default
    if not query[name]:
        raise Refused(_error(-1105, f"Parameter '{name}' was empty."))
    number = whole_number(query[name], least=0, most=10**20)
    if number is None:
        raise _illegal(name, NUMBER)
    return number


def _milliseconds(query: Mapping[str, str], name: str) -> int | None:
    number = _number(query, name, -1)
    if number < 0:
        return None
    return min(number // 1000 if number >= MICROSECONDS_FROM else number, MICROSECONDS_FROM)
