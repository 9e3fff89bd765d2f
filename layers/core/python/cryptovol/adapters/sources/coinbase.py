"""Coinbase Exchange's ``/products/<pair>/candles``, without a key: newest first, low before high, gaps left out."""

from __future__ import annotations

from urllib.parse import quote

import numpy as np

from cryptovol.adapters.sources import answers, rows
from cryptovol.adapters.sources.answers import field, said
from cryptovol.adapters.sources.dialect import Ask, Reply, Rows
from cryptovol.times import HOUR, format_instant

# Place of each number in a row: time, low, high, open, close, volume.
PLACES = {"open": 3, "high": 2, "low": 1, "close": 4, "volume": 5}
WAIT = 2.0  # seconds, where a rate limit of ten a second does not say how long


class Coinbase:
    """`dialect.Dialect` of Coinbase Exchange, which gives no volume in quote currency."""

    name = "coinbase"
    url = "https://api.exchange.coinbase.com"
    page_bars = 299  # the API gives 300 rows, one of which is asked for beside the page
    reach_hours: int | None = None
    takes_key = False

    def request(self, ask: Ask) -> tuple[str, dict[str, str | int]]:
        """Return path and query; `end` takes in a bar that opens at it, which shows that the one before closed."""
        product = quote(f"{ask.symbol}-{ask.quote}", safe="")
        window = {"start": format_instant(ask.start), "end": format_instant(ask.stop)}
        return f"/products/{product}/candles", {"granularity": HOUR, **window}

    def read(self, reply: Reply, ask: Ask, *, now: int) -> Rows:
        """Return the rows of an answer; see `dialect.Dialect`."""
        body = answers.parsed(reply)
        why = said(field(body, "message"))
        if reply.status == 404 and isinstance(body, dict):
            raise answers.unknown(self.name, ask, why)
        answers.refuse_status(reply, self.name, why, now=now, wait=WAIT)
        if not isinstance(body, list):
            raise answers.not_json(reply, self.name, ask)
        columns = rows.cells(body, 6, ask.pair, "in it")
        time = rows.hours(columns[0], "time", ask.pair)
        table = [rows.numbers(columns[place], name, ask.pair) for name, place in PLACES.items()]
        return Rows(time, np.stack([*table, np.full(len(time), np.nan)], axis=1))
