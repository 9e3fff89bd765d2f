"""Binance's ``/api/v3/klines``, without a key: numbers come as texts, times in milliseconds, and quotes are USDT.

The default host serves market data only, and to every region; ``api.binance.com`` answers 451 in some.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cryptovol.adapters.sources import answers, rows
from cryptovol.adapters.sources.answers import field, retry_after, said
from cryptovol.adapters.sources.dialect import Ask, Reply, Rows
from cryptovol.errors import RateLimitedError, SourceUnavailableError, UnknownSymbolError

PATH = "/api/v3/klines"
DATA_HOST = "https://data-api.binance.vision"
# Place of each number in a row: open high low close volume, and after the close time the quote volume.
PLACES = {"open": 1, "high": 2, "low": 3, "close": 4, "volume": 5, "quote volume": 7}
MILLISECONDS = 1000
BAD_SYMBOL = -1121
ILLEGAL_CHARACTERS = -1100
TOO_MANY = -1003
PASSING = (-1000, -1001, -1006, -1007, -1008, -1016)  # their side's fault, or their overload
REGION_CURE = (
    f"Cure: unset CRYPTOVOL_BINANCE_URL for {DATA_HOST}, which serves all regions, or ask another venue with "
    "CRYPTOVOL_SOURCE or sources.order in params.yaml"
)


class Binance:
    """`dialect.Dialect` of Binance's spot market."""

    name = "binance"
    url = DATA_HOST
    page_bars = 999  # the API gives 1000 rows, one of which is asked for beside the page
    reach_hours: int | None = None
    takes_key = False

    def request(self, ask: Ask) -> tuple[str, dict[str, str | int]]:
        """Return path and query; `endTime` takes in a bar that opens at it, which shows that the one before closed."""
        if ask.quote == "USD":
            raise UnknownSymbolError(
                f"binance has no {ask.pair}: it trades USDT, which is not USD. Cure: set quote: USDT, or "
                "sources.stand_in_quotes: [USDT], in params.yaml"
            )
        return PATH, {
            "symbol": ask.symbol + ask.quote, "interval": "1h", "startTime": ask.start * MILLISECONDS,
            "endTime": ask.stop * MILLISECONDS, "limit": ask.hours + 1,
        }  # fmt: skip

    def read(self, reply: Reply, ask: Ask, *, now: int) -> Rows:
        """Return the rows of an answer; see `dialect.Dialect`."""
        body = answers.parsed(reply)
        why = said(field(body, "msg"))
        self._refuse(field(body, "code"), why, reply, ask, now)
        answers.refuse_status(reply, self.name, why, now=now, cure=REGION_CURE)
        if not isinstance(body, list):
            raise answers.not_json(reply, self.name, ask)
        columns = rows.cells(body, 8, ask.pair, "in it")
        table = [rows.decimals(columns[place], name, ask.pair) for name, place in PLACES.items()]
        return Rows(rows.hours(columns[0], "open time", ask.pair, unit=MILLISECONDS), np.stack(table, axis=1))

    def _refuse(self, code: Any, why: str, reply: Reply, ask: Ask, now: int) -> None:
        """Raise what Binance's own error code says, where that is more than the status does."""
        if type(code) is not int:
            return
        if code == BAD_SYMBOL or (code == ILLEGAL_CHARACTERS and "symbol" in why):
            raise answers.unknown(self.name, ask, f"{code}: {why}")
        if code == TOO_MANY:
            raise RateLimitedError(f"{self.name} asks to slow down ({code}: {why})", retry_after(reply.headers, now))
        if code in PASSING:
            raise SourceUnavailableError(f"{self.name} failed ({code}: {why}); it may work again later")
