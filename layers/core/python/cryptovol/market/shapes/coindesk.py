"""CoinDesk's ``/index/cc/v1/historical/hours``, CryptoCompare's successor.

`limit` rows, oldest first, the last one being the hour in progress at `to_ts`. Unless ``fill=false`` is said, hours
without a bar come with an invented one. Failures are an ``Err`` envelope that repeats the HTTP status. What no market
here counts (index updates, top tiers) is made up from what it does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import repeat
from typing import Any

import numpy as np

from cryptovol.bars import Bars
from cryptovol.market.markets import Market
from cryptovol.market.shapes.shape import Answer, Asked, Moment, Refused, Request, Row, nullable, whole_number
from cryptovol.times import HOUR

PATH = "/index/cc/v1/historical/hours"
FAMILIES = ("cadli", "ccix", "ccixbe")
GROUPS = ("ID", "OHLC", "OHLC_MESSAGE", "MESSAGE", "VOLUME")
MOST_LIMIT = 2000
MOST_AGGREGATE = 30
TIERS = ("", "_TOP_TIER", "_DIRECT", "_TOP_TIER_DIRECT")
BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


def refusal(status: int, kind: int, message: str, **other: Any) -> Answer:
    """Return an ``Err`` envelope."""
    return Answer(status, {"Data": {}, "Err": {"type": kind, "message": message, **other, "http_status_code": status}})


KEY_REQUIRED = refusal(
    401, 2, "API key required, please refer to the documentation at https://developers.coindesk.com/", frontend={}
)


class CoinDesk:
    """See `Shape`."""

    name = "coindesk"
    about = "fill=true, its default, invents rows for gaps; errors in an Err envelope"
    example = f"{PATH}?market=cadli&instrument=BTC-USD&limit=24&fill=false"
    close: str | int = "CLOSE"
    keyed = True

    def serves(self, path: str) -> bool:
        """Return whether it is the path of hourly bars."""
        return path == PATH

    def asked(self, request: Request, moment: Moment) -> Asked:
        """Return which bars are wanted; as with the legacy API the clock is only the default of `to_ts`."""
        query = request.query
        family = _one_of(query, "market", FAMILIES)
        pair = re.fullmatch(r"([A-Z0-9]{1,20})-([A-Z0-9]{1,20})", _given(query, "instrument"), re.ASCII)
        if not pair:
            raise Refused(_absent(query["instrument"]))
        limit = _whole(query, "limit", default=30, least=1, most=MOST_LIMIT)
        to_ts = _whole(query, "to_ts", default=moment.clock, least=0, most=2**40)
        aggregate = _whole(query, "aggregate", default=1, least=1, most=MOST_AGGREGATE)
        _one_of({"response_format": "JSON", **query}, "response_format", ("JSON",))
        fill = BOOLEANS[_one_of({"fill": "true", **query}, "fill", tuple(BOOLEANS))]
        groups = tuple(
            _one_of({"groups": name}, "groups", GROUPS) for name in query.get("groups", "").split(",") if name
        )
        return Asked(
            pair[1], pair[2], last=to_ts, moment=min(to_ts, moment.known), periods=limit, period=aggregate * HOUR,
            fill=fill, groups=groups or GROUPS, market=family,
        )  # fmt: skip

    def unknown(self, asked: Asked, market: Market) -> Answer:
        """Return 404 with the instrument."""
        return _absent(f"{asked.symbol}-{asked.quote}")

    def rows(self, bars: Bars, asked: Asked) -> list[Row]:
        """Return one object per bar with the fields of the groups asked for."""
        n = len(bars)
        columns: dict[str, Any] = {"UNIT": repeat("HOUR", n), "TIMESTAMP": bars.time.tolist(), "TYPE": repeat("267", n)}
        for group in GROUPS:
            if group in asked.groups:
                columns |= _group(group, bars, asked)
        return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]

    def body(self, rows: list[Row], asked: Asked) -> Any:
        """Return rows beside an empty envelope."""
        return {"Data": rows, "Err": {}}

    def elsewhere(self, path: str) -> Answer:
        """Return 404 in the envelope."""
        return refusal(404, 1, f"Path {path[:100]} not found; use {PATH} or /health")

    def limited(self, wait: float) -> Answer:
        """Return 429 in the envelope."""
        return refusal(429, 99, "You are over your rate limit please upgrade your account!")


def _group(group: str, bars: Bars, asked: Asked) -> dict[str, Any]:
    """Return a group's fields with their columns."""
    n, opened = len(bars), bars.time.tolist()
    prices = {name.upper(): nullable(getattr(bars, name)) for name in ("open", "high", "low", "close")}
    if group == "ID":
        return {"MARKET": repeat(asked.market, n), "INSTRUMENT": repeat(f"{asked.symbol}-{asked.quote}", n)}
    if group == "OHLC":
        return prices
    if group == "OHLC_MESSAGE":
        ends = {"FIRST": prices["OPEN"], "HIGH": prices["HIGH"], "LOW": prices["LOW"], "LAST": prices["CLOSE"]}
        stamps = {f"{name}_MESSAGE_TIMESTAMP": opened for name in ends}
        return stamps | {f"{name}_MESSAGE_VALUE": values for name, values in ends.items()}
    if group == "MESSAGE":
        return {"TOTAL_INDEX_UPDATES": np.where(bars.volume_base > 0, HOUR, 0).tolist()}
    volumes = {"VOLUME": nullable(bars.volume_base), "QUOTE_VOLUME": nullable(bars.volume_quote)}
    return {name + tier: values for tier in TIERS for name, values in volumes.items()}


def _absent(instrument: str) -> Answer:
    message = f"Not found: instrument {instrument[:40]} is not on this market"
    return refusal(404, 1, message, other_info={"param": "instrument", "values": [instrument[:40]]})


def _malformed(name: str, text: str, wanted: str) -> Refused:
    message = f"{name} parameter must be {wanted}"
    return Refused(refusal(400, 2, message, other_info={"param": name, "values": [text[:40]]}))


def _given(query: Mapping[str, str], name: str) -> str:
    if not query.get(name):
        raise _malformed(name, "", "given")
    return query[name]


def _one_of(query: Mapping[str, str], name: str, known: tuple[str, ...]) -> str:
    text = _given(query, name)
    if text not in known:
        raise _malformed(name, text, f"one of {', '.join(known)}")
    return text


def _whole(query: Mapping[str, str], name: str, *, default: int, least: int, most: int) -> int:
    text = query.get(name, "")
    number = whole_number(text, least=least, most=most) if text else default
    if number is None:
        raise _malformed(name, text, f"a whole number between {least} and {most}")
    return number
