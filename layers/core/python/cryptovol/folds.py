"""Walk-forward folds: train on the past, score the stretch that follows, with a purge of the horizon between.

A random or shuffled split cannot be expressed here: a fold is two ranges of rows in time, and it refuses to exist
unless the training range ends `horizon` rows before the scored range begins, because the labels of the rows between
were not yet known.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Fold:
    """Rows ``[0, train_end)`` to fit on and ``[start, stop)`` to score, on the hourly grid.

    Parameters
    ----------
    train_end, start, stop
        Rows of the grid, oldest first.
    horizon
        Hours ahead: the label of row t holds the returns of rows t + 1 to t + horizon.

    Raises
    ------
    ValueError
        If a label of the fit reaches into the scored rows, or one of the ranges is empty.
    TypeError
        If a bound is no whole number, such as a list of shuffled rows.
    """

    train_end: int
    start: int
    stop: int
    horizon: int

    def __post_init__(self) -> None:
        for each in fields(self):
            operator.index(getattr(self, each.name))
        if self.horizon < 1 or self.train_end < 1 or self.stop <= self.start:
            raise ValueError(f"{self} needs a horizon of at least 1, a row to fit on and a row to score")
        if self.train_end + self.horizon > self.start:
            raise ValueError(
                f"{self} is not purged: the label of row {self.train_end - 1} reaches to row "
                f"{self.train_end - 1 + self.horizon}, and scoring begins at {self.start}"
            )


@dataclass(frozen=True)
class LeftOut:
    """One stretch of the past that a member of an ensemble does not see: its `rows`, and `purged`, its rows and those
    on either side whose labels overlap with them."""

    rows: slice
    purged: slice


def left_out(n: int, *, members: int, purge: int) -> Iterator[LeftOut]:
    """Yield contiguous stretches that together cover rows ``[0, n)`` once, oldest first.

    All of them lie in the past of whoever fits on the n rows. A forecast of a stretch by a model that was fitted on
    what came before *and after* it serves to calibrate that model, never to score it; `walk_forward` is for scores.

    Parameters
    ----------
    n
        Labelled rows, oldest first.
    members
        Number of stretches.
    purge
        Rows left out on either side of each; at least the horizon.

    Raises
    ------
    ValueError
        If there are fewer than 2 members, the purge is below 1, or a member would be left without rows.
    """
    if members < 2 or purge < 1 or n < members * (purge + 1):
        raise ValueError(f"{n} rows cannot be split into {members} stretches with a purge of {purge} around each")
    edges = [n * k // members for k in range(members + 1)]
    for start, stop in zip(edges[:-1], edges[1:], strict=True):
        yield LeftOut(slice(start, stop), slice(max(start - purge, 0), min(stop + purge, n)))


def walk_forward(*, start: int, stop: int, step: int, horizon: int, embargo: int = 0) -> Iterator[Fold]:
    """Yield expanding-window folds that together score every row of ``[start, stop)`` once.

    Parameters
    ----------
    start, stop
        Grid rows of the stretch to score.
    step
        Rows scored between two refits.
    horizon
        Hours ahead; the label of row t is known at row t + horizon, so rows ``train_end = first scored - horizon``
        and later are purged from the fit.
    embargo
        Further rows left out between the purged rows and the fit.

    Raises
    ------
    ValueError
        If nothing would be left to train on, step or horizon is below 1, or the embargo is negative.

    References
    ----------
    López de Prado (2018), Advances in Financial Machine Learning, chapter 7: purging and embargo.
    """
    if step < 1 or horizon < 1 or embargo < 0:
        raise ValueError(
            f"step and horizon must be at least 1 and embargo at least 0, not {step}, {horizon} and {embargo}"
        )
    if start - horizon - embargo < 1:
        raise ValueError(
            f"no row is left to train on before row {start} with a purge of {horizon} and an embargo of {embargo}"
        )
    for first in range(start, stop, step):
        yield Fold(first - horizon - embargo, first, min(first + step, stop), horizon)
