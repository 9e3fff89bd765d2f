"""What faults do to bars and rows. Which hours they hit depends on the hour alone, so that every answer is hit alike."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from cryptovol import bars as bars_module
from cryptovol.bars import PRICES, Bars, Mask
from cryptovol.market.hits import Hit
from cryptovol.market.shapes.shape import Asked, Moment, Row
from cryptovol.times import HOUR, floor_hour

EVERY = 7  # hours whose number since the epoch is a multiple of this are hit
WEEK = 7 * 24
HOLE = (99, 100, 101)  # hours of a week that begins on Thursday, as the epoch did: Mondays 03:00 to 06:00
LATE = 17 * 60
STALE = 3 * 24 * HOUR
FOREIGN = 18.0  # about how many ETH one BTC costs


def chosen(bars: Bars) -> Mask:
    """Return which bars are hit: every seventh hour."""
    return np.asarray((bars.time // HOUR) % EVERY == 0, dtype=bool)


def scaled(bars: Bars, factor: float) -> Bars:
    """Return bars with all prices, and so the quote volume, times a factor."""
    names = (*PRICES, "volume_quote")
    return replace(bars, **{name: getattr(bars, name) * factor for name in names})


def stale(moment: Moment) -> Moment:
    """Return a moment three days back: the venue's feed has been standing since."""
    return replace(moment, known=moment.present - STALE)


def foreign_name(asked: Asked) -> Asked:
    """Return the request as if it had been for another coin."""
    return replace(asked, symbol="ETH" if asked.symbol == "BTC" else "BTC")


def foreign(bars: Bars, hit: Hit) -> Bars:
    """Return bars at another coin's price."""
    return scaled(bars, 1 / FOREIGN)


def empty(bars: Bars, hit: Hit) -> Bars:
    """Return no bars."""
    return bars.take(slice(0, 0))


def duplicated(bars: Bars, hit: Hit) -> Bars:
    """Return all bars and then all of them again."""
    return bars_module.concat([bars, bars])


def contradictory(bars: Bars, hit: Hit) -> Bars:
    """Return each chosen hour twice, the second time one percent higher."""
    both = bars_module.concat([bars, scaled(bars.take(chosen(bars)), 1.01)])
    return both.take(np.argsort(both.time, kind="stable").astype(np.int64))


def shuffled(bars: Bars, hit: Hit) -> Bars:
    """Return every second bar and then the others."""
    order = np.arange(len(bars), dtype=np.int64)
    return bars.take(np.r_[order[1::2], order[::2]])


def negative(bars: Bars, hit: Hit) -> Bars:
    """Return bars with a low below zero in the chosen hours."""
    return replace(bars, low=np.where(chosen(bars), -bars.low, bars.low))


def future(bars: Bars, hit: Hit) -> Bars:
    """Return the newest bar three times more, in hours that have not begun by the server's clock."""
    ahead = bars.take(np.full(3 if len(bars) else 0, -1, dtype=np.int64))
    time = floor_hour(hit.clock) + HOUR * np.arange(1, len(ahead) + 1, dtype=np.int64)
    return bars_module.concat([bars, replace(ahead, time=time)])


def revised(bars: Bars, hit: Hit) -> Bars:
    """Return a close 0.3 % too high for each chosen hour that is told for the first time."""
    early = chosen(bars) & hit.plan.first_told(hit.pair, bars.time)
    close = np.where(early, bars.close * 1.003, bars.close)
    return replace(bars, close=close, high=np.maximum(bars.high, close))


def missing(bars: Bars, hit: Hit) -> Bars:
    """Return bars without the hours of the hole."""
    return bars.take(~np.isin((bars.time // HOUR) % WEEK, HOLE))


def off_hour(bars: Bars, hit: Hit) -> Bars:
    """Return the chosen hours as if they opened 17 minutes late."""
    return replace(bars, time=np.where(chosen(bars), bars.time + LATE, bars.time))


def with_close(number: Any, text: str) -> Callable[[list[Row], str | int], list[Row]]:
    """Return what puts a value in the place of the close of every seventh row: the text where the venue sends texts."""

    def change(rows: list[Row], close: str | int) -> list[Row]:
        for row in rows[::EVERY]:
            fields: Any = row
            if isinstance(row, list) or close in row:
                fields[close] = text if isinstance(fields[close], str) else number
        return rows

    return change


nan = with_close(math.nan, "NaN")
strings = with_close("unavailable", "unavailable")
