"""CryptoCompare's legacy ``/data/v2/histohour``: one whole market index, by key, all the way back.

`toTs` is the end and `limit` how far back from it; an answer has ``limit + 1`` rows, the last one being the hour in
progress at `toTs`. Refusals come as HTTP 200 with ``Response: Error`` and a `Type`, as an ``Err`` envelope, or as a
plain 401, 403, 429 or 5xx.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

import numpy as np

from cryptovol.adapters.sources import answers, envelope, rows
from cryptovol.adapters.sources.answers import field, retry_after, said, shown
from cryptovol.adapters.sources.dialect import Ask, Reply, Rows
from cryptovol.bars import PRICES, Floats, Ints
from cryptovol.errors import AccessError, ConfigError, RateLimitedError, SourceUnavailableError

PATH = "/data/v2/histohour"
FIELDS = (*PRICES, "volumefrom", "volumeto")


class Histohour:
    """`dialect.Dialect` of CryptoCompare, and of the simulated and replayed markets."""

    name = "cryptocompare"
    url = "https://min-api.cryptocompare.com"
    page_bars = 2000
    reach_hours: int | None = None
    takes_key = True

    def request(self, ask: Ask) -> tuple[str, dict[str, str | int]]:
        """Return path and query."""
        return PATH, {"fsym": ask.symbol, "tsym": ask.quote, "limit": ask.hours, "toTs": ask.stop}

    def read(self, reply: Reply, ask: Ask, *, now: int) -> Rows:
        """Return the rows of an answer without its padding; see `dialect.Dialect`."""
        body = envelope.opened(reply, self.name, ask, now=now)
        if body.get("Response") == "Error":
            self._refuse(body, reply, ask, now)
        where = "Data.Data"
        time, *columns = rows.fields(field(body, "Data", "Data"), ("time", *FIELDS), ask.pair, where)
        table = np.stack([rows.numbers(c, name, ask.pair) for name, c in zip(FIELDS, columns, strict=True)], axis=1)
        return _without_padding(rows.hours(time, "time", ask.pair), table)

    def _refuse(self, body: Mapping[str, Any], reply: Reply, ask: Ask, now: int) -> NoReturn:
        kind, why = body.get("Type"), said(body.get("Message"))
        text = why.lower()
        if kind == envelope.OVER_LIMIT or "rate limit" in text:
            wait = retry_after(reply.headers, now, envelope.window(body.get("RateLimit")))
            raise RateLimitedError(f"{self.name} asks to slow down ({why})", wait)
        if "key" in text and ("auth" in text or "api" in text):
            raise AccessError(f"{self.name} refuses us ({why}). {envelope.KEY_CURE}")
        absent = "does not exist" in text or "no data for" in text or body.get("ParamWithError") in ("fsym", "tsym")
        if kind in (1, 2) and absent:
            raise answers.unknown(self.name, ask, why)
        if kind == 2:
            raise ConfigError(f"{self.name} does not accept the request for {ask.pair} ({why})")
        raise SourceUnavailableError(f"{self.name} failed for {ask.pair} (type {shown(kind)}: {why})")


def _without_padding(time: Ints, table: Floats) -> Rows:
    """Return the rows but those of nothing but zeros before the first other one: the time before a coin's listing.

    Zeros later on are no padding; the gate has to see them.
    """
    nothing = (table == 0).all(axis=1)
    first = time[~nothing].min(initial=np.iinfo(np.int64).max)
    padding = nothing & (time < first)
    return Rows(time[~padding], table[~padding], int(padding.sum()))
