"""CoinDesk Data's ``/index/cc/v1/historical/hours``, the successor of CryptoCompare's API, with the same key.

`to_ts` is the end and `limit` the number of rows. Whether the row at `to_ts` itself is among them is documented both
ways, so one row more than needed is asked for and what is beside the hours asked for is dropped. ``fill=false``, or
the API invents rows for the gaps.
"""

from __future__ import annotations

import numpy as np

from cryptovol.adapters.sources import envelope, rows
from cryptovol.adapters.sources.answers import field
from cryptovol.adapters.sources.dialect import Ask, Reply, Rows

PATH = "/index/cc/v1/historical/hours"
INDEX = "cadli"
FIELDS = ("OPEN", "HIGH", "LOW", "CLOSE", "VOLUME", "QUOTE_VOLUME")
QUERY: dict[str, str | int] = {
    "market": INDEX, "groups": "ID,OHLC,VOLUME", "aggregate": 1, "fill": "false", "apply_mapping": "true",
    "response_format": "JSON",
}  # fmt: skip


class CoinDesk:
    """`dialect.Dialect` of CoinDesk Data's CADLI index."""

    name = "coindesk"
    url = "https://data-api.coindesk.com"
    page_bars = 1999  # the API gives 2000 rows, one of which is asked for beside the page
    reach_hours: int | None = None
    takes_key = True

    def request(self, ask: Ask) -> tuple[str, dict[str, str | int]]:
        """Return path and query."""
        return PATH, {**QUERY, "instrument": _instrument(ask), "limit": ask.hours + 1, "to_ts": ask.stop}

    def read(self, reply: Reply, ask: Ask, *, now: int) -> Rows:
        """Return the rows of an answer; see `dialect.Dialect`."""
        body = envelope.opened(reply, self.name, ask, now=now)
        names = ("INSTRUMENT", "MARKET", "UNIT", "TIMESTAMP", *FIELDS)
        instrument, market, unit, time, *columns = rows.fields(field(body, "Data"), names, ask.pair, "Data")
        rows.same(instrument, _instrument(ask), "INSTRUMENT", ask.pair)
        rows.same(market, INDEX, "MARKET", ask.pair)
        rows.same(unit, "HOUR", "UNIT", ask.pair)
        table = [rows.numbers(column, name, ask.pair) for name, column in zip(FIELDS, columns, strict=True)]
        return Rows(rows.hours(time, "TIMESTAMP", ask.pair), np.stack(table, axis=1))


def _instrument(ask: Ask) -> str:
    return f"{ask.symbol}-{ask.quote}"
