"""CryptoCompare's ``/data/v2/histohour``.

What is copied is the legacy shape: ``limit + 1`` rows, oldest first, the last one being the hour in progress at `toTs`;
errors with HTTP 200 and ``Response: Error``.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import repeat
from typing import Any

from cryptovol.bars import PRICES, Bars
from cryptovol.market import MOST_ROWS, PATH
from cryptovol.market.markets import Market
from cryptovol.market.shapes.shape import Answer, Asked, Moment, Refused, Request, Row, nullable, whole_number
from cryptovol.times import HOUR

MOST_AGGREGATE = 30
LIMITS = {"second": 20, "minute": 300, "hour": 3000, "day": 7500, "month": 50000}
MADE = {"second": 20, "minute": 61, "hour": 955, "day": 1204, "month": 15146}


class Histohour:
    """See `Shape`."""

    name = "cryptocompare"
    about = "limit + 1 rows, the last one unfinished; errors with HTTP 200"
    example = f"{PATH}?fsym=BTC&tsym=USD&limit=24"
    close: str | int = "close"
    keyed = True

    def serves(self, path: str) -> bool:
        """Return whether it is the histohour path."""
        return path == PATH

    def asked(self, request: Request, moment: Moment) -> Asked:
        """Return which bars are wanted; as `toTs` the clock is only the default, so a replay has its own present."""
        query = request.query
        to_ts = _whole(query, "toTs", default=moment.clock, least=0, most=2**40)
        limit = _whole(query, "limit", default=30, least=1, most=MOST_ROWS)
        aggregate = _whole(query, "aggregate", default=1, least=1, most=MOST_AGGREGATE)
        for name in ("fsym", "tsym"):
            if not query.get(name):
                raise Refused(_error(f"{name} param is empty or null", 2, name))
        return Asked(
            query["fsym"], query["tsym"], last=to_ts, moment=min(to_ts, moment.known), periods=limit + 1,
            period=aggregate * HOUR,
        )  # fmt: skip

    def unknown(self, asked: Asked, market: Market) -> Answer:
        """Return type 2 for a coin the market does not have, type 1 for a pair of known coins."""
        if market.symbols() and asked.symbol not in market.symbols():
            return _error(f"There is no data for the symbol {asked.symbol} .", 2, "fsym")
        pair = f"{asked.symbol}-{asked.quote}"
        return _error(f"CCCAGG market does not exist for this coin pair ({pair})", 1, "tsym")

    def rows(self, bars: Bars, asked: Asked) -> list[Row]:
        """Return one object per bar; null where the market gives no number."""
        columns: dict[str, Any] = {"time": bars.time.tolist()}
        columns |= {name: nullable(getattr(bars, name)) for name in PRICES}
        columns |= {"volumefrom": nullable(bars.volume_base), "volumeto": nullable(bars.volume_quote)}
        columns |= {"conversionType": repeat("direct", len(bars)), "conversionSymbol": repeat("", len(bars))}
        return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]

    def body(self, rows: list[Row], asked: Asked) -> Any:
        """Return rows inside two levels of Data."""
        times: list[Any] = [row["time"] for row in rows if isinstance(row, dict)] or [asked.last]
        data = {"Aggregated": asked.period > HOUR, "TimeFrom": times[0], "TimeTo": times[-1], "Data": rows}
        head = {"Response": "Success", "Message": "", "HasWarning": False, "Type": 100, "RateLimit": {}}
        return {**head, "Data": data}

    def elsewhere(self, path: str) -> Answer:
        """Return the legacy error with HTTP 404."""
        message = f"Path does not exist; use {PATH} or /health"
        return Answer(404, {"Response": "Error", "Message": message, "HasWarning": False, "Type": 1, "Data": {}})

    def limited(self, wait: float) -> Answer:
        """Return type 99 with HTTP 200: the calls of this second are used up."""
        body = _error("You are over your rate limit please upgrade your account!", 99, "").body
        del body["ParamWithError"]
        return Answer(200, {**body, "RateLimit": {"calls_made": MADE, "max_calls": LIMITS}})


def _error(message: str, kind: int, param: str) -> Answer:
    body = {
        "Response": "Error", "Message": message, "HasWarning": False, "Type": kind, "RateLimit": {}, "Data": {},
        "ParamWithError": param,
    }  # fmt: skip
    return Answer(200, body)


def _whole(query: Mapping[str, str], name: str, *, default: int, least: int, most: int) -> int:
    text = query.get(name, "")
    number = whole_number(text, least=least, most=most) if text else default
    if number is None:
        raise Refused(_error(f"{name} param is not an integer between {least} and {most}", 2, name))
    return number
