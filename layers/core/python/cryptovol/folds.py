"""Walk-forward folds: train on the past, score the stretch that follows, with a purge of the horizon between.

A random or shuffled split cannot be expressed here: a fold is two ranges of rows in time, and the training range
always ends `horizon` rows before the test range begins, because the labels of the rows between were not yet known.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Fold:
    """Rows ``[0, train_end)`` to fit on and ``[start, stop)`` to score, on the hourly grid."""

    train_end: int
    start: int
    stop: int


def walk_forward(*, start: int, stop: int, step: int, horizon: int) -> Iterator[Fold]:
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

    Raises
    ------
    ValueError
        If nothing would be left to train on, or step or horizon is below 1.
    """
    if step < 1 or horizon < 1:
        raise ValueError(f"step and horizon must be at least 1, not {step} and {horizon}")
    if start - horizon < 1:
        raise ValueError(f"no row is left to train on before row {start} with a purge of {horizon}")
    for first in range(start, stop, step):
        yield Fold(first - horizon, first, min(first + step, stop))
