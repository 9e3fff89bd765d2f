"""Price levels: which rows stand at a price that the market did not have.

A page of another coin's prices, a feed that lost its decimal point and a single wrong tick have one thing in common:
the price jumps there, and nothing near it was traded before. Which side of a jump is wrong shows only in what follows.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from cryptovol.bars import Floats, Ints, Mask
from cryptovol.times import HOUR

WAYS_BACK = 24  # levels among which the one that a price comes back to is looked for: keeps the work linear


@dataclass(frozen=True, eq=False)
class Strays:
    """Rows not to be believed, masks of shape (n,): those of a `level` that did not last, the `jump` to one that did."""

    level: Mask
    jump: Mask


@dataclass(frozen=True)
class _Stretch:
    """Rows ``[start, stop)`` without a jump among them; times in unix seconds, closes logarithmic."""

    start: int
    stop: int
    opened: int
    ended: int
    first: float
    last: float


class _Level:
    """The stretches at one price level, oldest first, and how many rows they have."""

    def __init__(self, stretches: Iterable[_Stretch]) -> None:
        self.stretches = list(stretches)
        self.rows = sum(stretch.stop - stretch.start for stretch in self.stretches)

    def join(self, later: _Level) -> None:
        self.stretches += later.stretches
        self.rows += later.rows


def strays(time: Ints, close: Floats, *, limit: float, settle_hours: int) -> Strays:
    """Return the rows that stand at a price which the market did not have.

    A jump is a move of more than ``limit * sqrt(hours since the row before)``; the rows between two jumps make a
    level. Three steps, of which the first judges the short and the last the long:

    1. A jump back to a level left fewer than `settle_hours` rows before continues it. What lies between are strays.
    2. Levels of fewer than `settle_hours` rows are strays. If none has so many, the longest is believed, of equally
       long ones the first, and the others are strays.
    3. Of the levels that lasted, one that ends with a jump back to an earlier one was another market's, however long.

    The rows that remain are the market's own, but for the first row of every level after the first: the jump itself.

    Parameters
    ----------
    time, close
        Shape (n,), ascending and unique unix seconds, and the logarithm of the close; finite.
    limit
        Of one hour's move, as a log return.
    """
    found = Strays(np.zeros(len(time), dtype=bool), np.zeros(len(time), dtype=bool))
    reach = limit * np.sqrt(np.maximum(1, np.diff(time) // HOUR))
    jumps = np.flatnonzero(np.abs(np.diff(close)) > reach) + 1
    if not len(jumps):
        return found
    levels = _folded(_stretches(time, close, jumps), limit, settle_hours, shorter_than=settle_hours)
    lasted = [level for level in levels if level.rows >= settle_hours]
    believed = _folded(lasted, limit, settle_hours) if lasted else [max(levels, key=lambda level: level.rows)]
    found.level[:] = True
    for stretch in (stretch for level in believed for stretch in level.stretches):
        found.level[stretch.start : stretch.stop] = False
    found.jump[[level.stretches[0].start for level in believed[1:]]] = True
    return found


def _stretches(time: Ints, close: Floats, jumps: Ints) -> list[_Level]:
    """Return the rows between the jumps, each stretch as a level of its own."""
    edges = [0, *jumps.tolist(), len(time)]
    return [
        _Level([_Stretch(a, b, int(time[a]), int(time[b - 1]), float(close[a]), float(close[b - 1]))])
        for a, b in zip(edges[:-1], edges[1:], strict=True)
    ]


def _folded(
    levels: Sequence[_Level], limit: float, settle_hours: int, *, shorter_than: float = math.inf
) -> list[_Level]:
    """Return the levels with every way back joined to the level it leads to, and what lay between left out.

    Parameters
    ----------
    shorter_than
        Only so few rows may lie between.
    """
    kept: list[_Level] = []
    for level in levels:
        home = _home(level.stretches[0], kept, limit, settle_hours, shorter_than)
        if home is None:
            kept.append(level)
        else:
            del kept[home + 1 :]
            kept[home].join(level)
    return kept


def _home(
    stretch: _Stretch, kept: Sequence[_Level], limit: float, settle_hours: int, shorter_than: float
) -> int | None:
    """Return the place of the nearest level to which the price comes back with `stretch`, or None.

    It does if the price is as near to that level as it may have moved since, and nearer to it than to where it
    jumped from. How far it may have moved stops growing after `settle_hours`: over months it would be anything. A
    level too short to count may not outweigh more rows than its own.
    """
    between = 0
    for place in range(len(kept) - 1, max(-1, len(kept) - 1 - WAYS_BACK), -1):
        level, end = kept[place], kept[place].stretches[-1]
        if between >= shorter_than:
            return None
        hours = max(1, min((stretch.opened - end.ended) // HOUR, settle_hours))
        distance = abs(stretch.first - end.last)
        near = distance <= limit * math.sqrt(hours) and distance <= abs(stretch.first - kept[-1].stretches[-1].last)
        if near and (level.rows >= settle_hours or level.rows >= between):
            return place
        between += level.rows
    return None
