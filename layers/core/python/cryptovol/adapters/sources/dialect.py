"""What sets one venue's API apart from another's: how bars are asked for, and how its answers are read.

Everything else (paging, retries, time limits, stamping) is the same for all and lives in `venue.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from cryptovol.bars import Floats, Ints
from cryptovol.times import HOUR


@dataclass(frozen=True)
class Reply:
    """One HTTP answer: status, headers, and the whole body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Ask:
    """What is wanted: one pair's bars with ``start <= time`` and ``time + 3600 <= stop``, unix seconds on the hour."""

    symbol: str
    quote: str
    start: int
    stop: int

    @property
    def pair(self) -> str:
        """The pair for messages, for instance ``BTC/USD``."""
        return f"{self.symbol}/{self.quote}"

    @property
    def hours(self) -> int:
        """How many bars that is where none is missing."""
        return (self.stop - self.start) // HOUR


@dataclass(frozen=True)
class Rows:
    """The rows of an answer in its own order.

    `time` has shape (n,), `table` open high low close volume_base volume_quote, shape (n, 6), NaN where the venue gives
    none; `padded` counts rows left out because the API fills the time before a coin's listing with them.
    """

    time: Ints
    table: Floats
    padded: int = 0


class Dialect(Protocol):
    """One venue's API. Real ones: `histohour`, `coindesk`, `binance`, `coinbase`, `kraken` beside this module.

    `name` is what stands in each row's `source`; `url` its public base URL; `page_bars` the most bars it gives at
    once; `reach_hours` how many closed hours it keeps, or None for all; `takes_key` whether it is sent the API key.
    """

    name: str
    url: str
    page_bars: int
    reach_hours: int | None
    takes_key: bool

    def request(self, ask: Ask) -> tuple[str, dict[str, str | int]]:
        """Return path and query; raise `UnknownSymbolError` if the venue can have no such pair."""

    def read(self, reply: Reply, ask: Ask, *, now: int) -> Rows:
        """Return the rows of an answer, or raise what it says.

        Rows beside what was asked for, the unfinished one among them, are returned too: `venue.py` drops and counts
        them by their time. `now`, in unix seconds, is for a `Retry-After` given as a date.

        Raises
        ------
        UnknownSymbolError, AccessError, OutOfReachError, ConfigError, RateLimitedError, SourceUnavailableError
            For what the venue refuses, and for a body that is not what it sends.
        BarSchemaError
            If rows are there but are not bars: a field absent, of the wrong type, infinite, a time off the hour, or
            the bars of another pair.
        """
