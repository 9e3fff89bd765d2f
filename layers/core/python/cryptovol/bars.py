"""What a bar is: one closed hour of one market, as columns.

A bar's `time` is the unix second its hour OPENS; it is known at ``time + 3600`` and not before. Nothing here
touches a disk or a network.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from cryptovol.errors import BarSchemaError
from cryptovol.times import HOUR

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Texts = NDArray[np.str_]
Mask = NDArray[np.bool_]

PRICES = ("open", "high", "low", "close")
NUMBERS = (*PRICES, "volume_base", "volume_quote")
TEXTS = ("symbol", "quote", "source")
COLUMNS = ("time", *NUMBERS, *TEXTS, "fetched_at")


@dataclass(frozen=True, eq=False)
class Bars:
    """Hourly bars as columns, each of shape (n,), oldest first unless a function says otherwise.

    Parameters
    ----------
    time
        Unix seconds UTC at which each hour opens.
    open, high, low, close
        Prices in quote currency; NaN where the source gave none.
    volume_base, volume_quote
        Traded amount in coins and in quote currency; NaN where the source gave none.
    symbol, quote, source
        For instance ``BTC``, ``USD``, ``cryptocompare``.
    fetched_at
        Unix seconds at which the row was read from its source.
    """

    time: Ints
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume_base: Floats
    volume_quote: Floats
    symbol: Texts
    quote: Texts
    source: Texts
    fetched_at: Ints

    def __post_init__(self) -> None:
        lengths = {field.name: len(getattr(self, field.name)) for field in fields(self)}
        if len(set(lengths.values())) > 1:
            raise BarSchemaError(f"columns of unequal length: {lengths}")

    def __len__(self) -> int:
        return len(self.time)

    def columns(self) -> dict[str, NDArray[np.generic]]:
        """Return the columns by name, in the contract's order."""
        return {name: getattr(self, name) for name in COLUMNS}

    def take(self, rows: Mask | Ints | slice) -> Bars:
        """Return the chosen rows, in the order of `rows`."""
        return Bars(**{name: getattr(self, name)[rows] for name in COLUMNS})

    def closed_by(self, as_of: int) -> Bars:
        """Return the bars already closed at `as_of` (unix seconds): those with ``time + 3600 <= as_of``."""
        return self.take(self.time + HOUR <= as_of)

    def between(self, start: int, end: int) -> Bars:
        """Return the bars whose opening time lies in ``[start, end)``, unix seconds."""
        return self.take((self.time >= start) & (self.time < end))

    def last_hours(self, hours: int) -> Bars:
        """Return what a window of `hours` that ends with the newest bar needs.

        The rows must be sorted by time. They begin with the newest bar at or before the window's first hour, so that
        the hourly grid over them holds the whole window even if that hour has no bar.
        """
        if not len(self):
            return self
        first = np.searchsorted(self.time, self.time[-1] - (hours - 1) * HOUR, side="right") - 1
        return self.take(slice(max(int(first), 0), None))

    def stamped(self, *, source: str, fetched_at: int) -> Bars:
        """Return the same bars with another source name and fetch time."""
        n = len(self)
        return replace(self, source=np.full(n, source), fetched_at=np.full(n, fetched_at, dtype=np.int64))


def make(
    time: Sequence[int] | Ints,
    prices: Sequence[Sequence[float]] | Floats,
    *,
    volume_base: Sequence[float] | Floats,
    volume_quote: Sequence[float] | Floats,
    symbol: str,
    quote: str,
    source: str,
    fetched_at: int,
) -> Bars:
    """Return bars of one market from plain sequences.

    Parameters
    ----------
    time
        Shape (n,), unix seconds of the opening.
    prices
        Shape (n, 4): open, high, low, close in quote currency.
    volume_base, volume_quote
        Shape (n,), coins and quote currency.
    """
    n = len(time)
    table = np.asarray(prices, dtype=np.float64).reshape(n, 4)
    return Bars(
        time=np.asarray(time, dtype=np.int64),
        open=np.ascontiguousarray(table[:, 0]),
        high=np.ascontiguousarray(table[:, 1]),
        low=np.ascontiguousarray(table[:, 2]),
        close=np.ascontiguousarray(table[:, 3]),
        volume_base=np.asarray(volume_base, dtype=np.float64),
        volume_quote=np.asarray(volume_quote, dtype=np.float64),
        symbol=np.full(n, symbol),
        quote=np.full(n, quote),
        source=np.full(n, source),
        fetched_at=np.full(n, fetched_at, dtype=np.int64),
    )


def empty() -> Bars:
    """Return no bars."""
    return make([], np.empty((0, 4)), volume_base=[], volume_quote=[], symbol="", quote="", source="", fetched_at=0)


def concat(parts: Iterable[Bars]) -> Bars:
    """Return the rows of all parts, one after the other."""
    kept = [part for part in parts if len(part)]
    if not kept:
        return empty()
    return Bars(**{name: np.concatenate([getattr(part, name) for part in kept]) for name in COLUMNS})


def same_values(left: Bars, right: Bars) -> Mask:
    """Return, row by row, whether two equally long bar sets carry the same numbers (NaN equals NaN)."""
    same = np.ones(len(left), dtype=bool)
    for name in NUMBERS:
        a, b = getattr(left, name), getattr(right, name)
        same &= (a == b) | (np.isnan(a) & np.isnan(b))
    return same


@dataclass(frozen=True)
class Merge:
    """The outcome of laying new bars over stored ones."""

    bars: Bars
    new: int
    revised: int


def merge(stored: Bars, incoming: Bars) -> Merge:
    """Return stored bars with incoming ones appended or, for the same `time`, revised.

    A revision replaces the stored row and is counted; an incoming row with the stored numbers changes nothing, so
    merging twice equals merging once. Of several incoming rows of one `time` the last wins.

    Returns
    -------
    Merge
        `bars` sorted by time and unique in time, and how many rows were new and how many revised.
    """
    _, last_first = np.unique(incoming.time[::-1], return_index=True)
    fresh = incoming.take((len(incoming) - 1 - last_first).astype(np.int64))
    known = np.isin(fresh.time, stored.time)
    at = np.searchsorted(stored.time, fresh.time[known])
    changed = ~same_values(stored.take(at.astype(np.int64)), fresh.take(known))
    revised_times = fresh.time[known][changed]
    keep = stored.take(~np.isin(stored.time, revised_times))
    accept = fresh.take(~known | np.isin(fresh.time, revised_times))
    both = concat([keep, accept])
    return Merge(
        both.take(np.argsort(both.time, kind="stable").astype(np.int64)), int((~known).sum()), len(revised_times)
    )
