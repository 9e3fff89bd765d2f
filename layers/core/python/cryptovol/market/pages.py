"""Which of a market's bars one answer holds: chosen by time, seen as of a moment, gathered or filled up."""

from __future__ import annotations

from typing import Any

import numpy as np

from cryptovol.bars import Bars, Floats, Ints
from cryptovol.market.markets import seen_at
from cryptovol.market.shapes.shape import Asked
from cryptovol.times import HOUR


def page(bars: Bars, asked: Asked) -> Bars:
    """Return a pair's bars, sorted and unique in time, as far as they were asked for."""
    seen = seen_at(_chosen(bars, asked), asked.moment)
    gathered = seen if asked.period == HOUR else _gathered(seen, asked.period)
    return _filled(gathered, asked.period) if asked.fill else gathered


def _chosen(bars: Bars, asked: Asked) -> Bars:
    if not len(bars):
        return bars
    last = min(asked.last, asked.moment)
    start = asked.start
    if asked.periods:
        newest = min(last, int(bars.time[-1])) // asked.period * asked.period
        start, last = newest - (asked.periods - 1) * asked.period, newest + asked.period - 1
    first, stop = (int(at) for at in np.searchsorted(bars.time, [start, last + 1]))
    if asked.always_last:
        first = max(0, min(first, stop - 1))
    if asked.newest:
        first = max(first, stop - asked.most)
    return bars.take(slice(first, max(first, min(stop, first + asked.most))))


def _gathered(bars: Bars, period: int) -> Bars:
    """Return one bar per period of several hours."""
    if not len(bars):
        return bars
    opened = bars.time // period * period
    first = np.flatnonzero(np.diff(opened, prepend=opened[0] - 1))
    last = np.r_[first[1:], len(bars)] - 1
    columns: dict[str, Any] = bars.take(first).columns()
    columns |= {"time": opened[first], "close": bars.close[last]}
    columns |= {"high": np.fmax.reduceat(bars.high, first), "low": np.fmin.reduceat(bars.low, first)}
    columns |= {name: _sums(getattr(bars, name), first) for name in ("volume_base", "volume_quote")}
    return Bars(**columns)


def _sums(values: Floats, first: Ints) -> Floats:
    """Return the sum of the numbers of each group, NaN for a group without any."""
    given = np.isfinite(values)
    sums = np.add.reduceat(np.where(given, values, 0.0), first)
    return np.where(np.add.reduceat(given.astype(np.int64), first) > 0, sums, np.nan)


def _filled(bars: Bars, period: int) -> Bars:
    """Return bars without gaps: an absent hour repeats the close before it, and nothing is traded in it."""
    if not len(bars):
        return bars
    time = np.arange(bars.time[0], bars.time[-1] + 1, period, dtype=np.int64)
    before = np.searchsorted(bars.time, time, side="right") - 1
    columns: dict[str, Any] = bars.take(before).columns()
    invented = bars.time[before] != time
    columns["time"] = time
    for name in ("open", "high", "low"):
        columns[name][invented] = columns["close"][invented]
    for name in ("volume_base", "volume_quote"):
        columns[name][invented] = 0.0
    return Bars(**columns)
