"""Kraken's ``/0/public/OHLC``, without a key: only its newest 720 hours, the last one not final, numbers as texts.

`since` is documented as exclusive and was seen to be inclusive; a second before the first hour asked for means the
same either way. There is no end: an answer runs on to the hour in progress. Refusals come with HTTP 200.
"""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np

from cryptovol.adapters.sources import answers, rows
from cryptovol.adapters.sources.answers import field, retry_after, said
from cryptovol.adapters.sources.dialect import Ask, Reply, Rows
from cryptovol.bars import Ints
from cryptovol.errors import (
    AccessError,
    BarSchemaError,
    ConfigError,
    OutOfReachError,
    RateLimitedError,
    SourceUnavailableError,
)
from cryptovol.times import format_instant

PATH = "/0/public/OHLC"
NAMES = {"BTC": "XBT", "DOGE": "XDG"}  # what Kraken calls them
KEPT = 720  # rows, the one of the hour in progress among them
# Place of each number in a row: time, open, high, low, close, vwap, volume, count.
PLACES = {"open": 1, "high": 2, "low": 3, "close": 4, "volume": 6}
VWAP = 5
WAIT = 5.0  # seconds, for a rate limit that never says how long


class Kraken:
    """`dialect.Dialect` of Kraken's spot market."""

    name = "kraken"
    url = "https://api.kraken.com"
    page_bars = KEPT
    reach_hours: int | None = KEPT - 1
    takes_key = False

    def request(self, ask: Ask) -> tuple[str, dict[str, str | int]]:
        """Return path and query."""
        pair = _named(ask.symbol) + _named(ask.quote)
        return PATH, {"pair": pair, "interval": 60, "since": max(ask.start - 1, 0)}

    def read(self, reply: Reply, ask: Ask, *, now: int) -> Rows:
        """Return the rows of an answer; see `dialect.Dialect`.

        The volume in quote currency is that in coins times the volume-weighted mean price.
        """
        body = answers.parsed(reply)
        errors = field(body, "error")
        if errors:
            self._refuse(errors, reply, ask, now)
        answers.refuse_status(reply, self.name, "no reason given", now=now, wait=WAIT)
        if not isinstance(body, dict):
            raise answers.not_json(reply, self.name, ask)
        columns = rows.cells(_own(field(body, "result"), ask), 7, ask.pair, "under its pair")
        time = rows.hours(columns[0], "time", ask.pair)
        self._check_reach(time, ask)
        table = [rows.decimals(columns[place], name, ask.pair) for name, place in PLACES.items()]
        with np.errstate(over="ignore"):
            volume_quote = rows.decimals(columns[VWAP], "vwap", ask.pair) * table[-1]
        return Rows(time, np.stack([*table, rows.finite(volume_quote, "vwap x volume", ask.pair)], axis=1))

    def _check_reach(self, time: Ints, ask: Ask) -> None:
        """Raise if the answer is as long as answers get and yet begins after the hour asked for."""
        if len(time) >= KEPT and time.min() > ask.start:
            raise OutOfReachError(
                f"kraken keeps its newest {KEPT} hours, of {ask.pair} now from {format_instant(int(time.min()))} on; "
                f"{format_instant(ask.start)} was asked for. Cure: take older hours from another venue"
            )

    def _refuse(self, errors: Any, reply: Reply, ask: Ask, now: int) -> NoReturn:
        texts = [each for each in errors if isinstance(each, str)] if isinstance(errors, list) else []
        why = said(", ".join(texts))
        text = why.lower()
        if "unknown asset" in text:
            raise answers.unknown(self.name, ask, why)
        if any(sign in text for sign in ("rate limit", "too many requests", "throttled", "lockout")):
            raise RateLimitedError(f"{self.name} asks to slow down ({why})", retry_after(reply.headers, now, WAIT))
        if "permission denied" in text:
            raise AccessError(f"{self.name} refuses us ({why}). {answers.OTHER_VENUE}")
        if "invalid arguments" in text or "unknown method" in text:
            raise ConfigError(f"{self.name} does not accept the request for {ask.pair} ({why})")
        raise SourceUnavailableError(f"{self.name} failed for {ask.pair} ({why}); it may work again later")


def _named(asset: str) -> str:
    return NAMES.get(asset, asset)


def _own(result: Any, ask: Ask) -> Any:
    """Return the rows under the pair asked for; raise `BarSchemaError` if there are those of another pair, or none."""
    found = [name for name in result if name != "last"] if isinstance(result, dict) else []
    if len(found) != 1 or found[0] not in _spellings(ask):
        what = answers.shown(found[0]) if len(found) == 1 else f"{len(found)} pairs"
        raise BarSchemaError(f"kraken was asked for {ask.pair} and answered with {what}")
    return result[found[0]]


def _spellings(ask: Ask) -> set[str]:
    """Return the keys under which Kraken may give a pair, for instance ``XXBTZUSD``, ``XBTUSD`` and ``BTC/USD``.

    Of old, codes of three letters have a letter before them: X for a coin, Z for money.
    """
    bases, quotes = ({asset, _named(asset)} for asset in (ask.symbol, ask.quote))
    old_bases = {f"X{base}" for base in bases if len(base) == 3}
    old_quotes = {letter + quote for letter in "XZ" for quote in quotes if len(quote) == 3}
    plain = {base + mark + quote for base in bases for quote in quotes for mark in ("", "/")}
    old = {base + quote for base in bases | old_bases for quote in old_quotes}
    return plain | old
