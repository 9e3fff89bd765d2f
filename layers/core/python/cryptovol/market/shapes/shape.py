"""What a shape is: one venue's API, cut where a fault may act between its steps.

A request becomes `Asked`, the market's bars are chosen by it, they become the venue's rows, and the rows its body.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from cryptovol.bars import PRICES, Bars, Floats
from cryptovol.market.markets import Market
from cryptovol.times import HOUR

Row = dict[str, Any] | list[Any]


@dataclass(frozen=True)
class Request:
    """A GET: path without the query, the query's last value per name, and the `Authorization` header."""

    path: str
    query: Mapping[str, str]
    authorization: str = ""


@dataclass(frozen=True)
class Answer:
    """An answer before it is written as JSON."""

    status: int
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)


class Refused(Exception):
    """What the venue says no to; `answer` is how it says so."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer)
        self.answer = answer


@dataclass(frozen=True)
class Moment:
    """The server's clock, and the instant after which its market knows nothing; unix seconds."""

    clock: int
    known: int

    @property
    def present(self) -> int:
        """The earlier of the two: what a venue that only has a clock would know."""
        return min(self.clock, self.known)


@dataclass(frozen=True)
class Asked:
    """Which bars of which pair an answer holds.

    Parameters
    ----------
    start, last
        First and last opening time, both included, unix seconds.
    moment
        Unix seconds; the bar in progress then is half formed and later ones are unknown.
    most
        Rows at most; more are cut off at the old end if `newest`, else at the new one.
    periods
        If not 0, only so many periods, counted back from the newest bar.
    period
        Seconds a row spans.
    fill
        Whether hours without a bar get an invented row.
    always_last
        Whether the newest bar is there even if it is before `start`.
    groups
        Groups of fields wanted, for a venue that has them.
    market
        The venue's name for the family of markets, if it has one.
    """

    symbol: str
    quote: str
    last: int
    moment: int
    start: int = 0
    most: int = 2**40
    newest: bool = True
    periods: int = 0
    period: int = HOUR
    fill: bool = False
    always_last: bool = False
    groups: tuple[str, ...] = ()
    market: str = ""


class Shape(Protocol):
    """One venue's API. Real ones: those in `SHAPES`.

    `about` says in a line what is peculiar to it; `example` is a path with a query to try; `close` is where the closing
    price stands in a row; `keyed` tells whether the venue wants an API key.
    """

    name: str
    about: str
    example: str
    close: str | int
    keyed: bool

    def serves(self, path: str) -> bool:
        """Return whether bars are to be had at a path."""

    def asked(self, request: Request, moment: Moment) -> Asked:
        """Return which bars a request is for; raise `Refused` if the venue would not take it."""

    def unknown(self, asked: Asked, market: Market) -> Answer:
        """Return the answer about a pair that the market does not have."""

    def rows(self, bars: Bars, asked: Asked) -> list[Row]:
        """Return bars, which are oldest first but for a fault, as the venue's rows, in its order."""

    def body(self, rows: list[Row], asked: Asked) -> Any:
        """Return rows as the body of a successful answer."""

    def elsewhere(self, path: str) -> Answer:
        """Return the answer at a path that does not exist."""

    def limited(self, wait: float) -> Answer:
        """Return how the venue tells a client to slow down for `wait` seconds."""


def whole_number(text: str, *, least: int, most: int) -> int | None:
    """Return a number written in at most 20 plain digits if it is within the bounds, else None."""
    if not (text.isascii() and text.isdigit() and len(text) <= 20) or not least <= int(text) <= most:
        return None
    return int(text)


def nullable(column: Floats) -> list[float | None]:
    """Return a column for JSON: null where there is no number."""
    finite = np.isfinite(column)
    if finite.all():
        return list(column.tolist())
    return [value if there else None for value, there in zip(column.tolist(), finite.tolist(), strict=True)]


def decimals(column: Floats) -> list[str]:
    """Return a column as texts with eight decimals."""
    return [f"{value:.8f}" for value in column.tolist()]


def traded(bars: Bars) -> Bars:
    """Return the bars that have prices and a volume: where a form has no null, any other hour is a gap."""
    table = np.stack([getattr(bars, name) for name in (*PRICES, "volume_base")])
    return bars.take(np.isfinite(table).all(axis=0))


def typical(bars: Bars) -> Floats:
    """Return the mean of high, low and close: an average price for bars that give no quote volume."""
    return np.asarray((bars.high + bars.low + bars.close) / 3, dtype=np.float64)
