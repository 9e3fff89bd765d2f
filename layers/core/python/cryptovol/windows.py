"""Trailing windows over one hourly series, oldest first: sums, means, decayed means, maxima.

Every sum is of two shorter sums, one behind the other: halves where a window has halves, else all but one unit and that
unit; the unit is a day in windows of whole days and an hour in all others. A value therefore depends on its own window's
hours in a fixed order and on nothing before them, so that a history cut anywhere gives bit for bit the value of the
whole history, at O(n log window) without the cancellation of cumulative sums. Windows of one series share their parts.

Missing hours are NaN going in and are left out of a window, never filled.
"""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np

from cryptovol.bars import Floats, Mask

DAY = 24


class Trailing:
    """The windows that end at each hour of one series.

    Parameters
    ----------
    x
        Shape (n,); NaN where an hour is missing.
    coverage
        Least share of a window's hours that must be there, else its mean is NaN.
    known
        What other series of the same hours lack, added to here: series that lack the same count it once for all.
    """

    def __init__(self, x: Floats, *, coverage: float, known: list[Presence] | None = None) -> None:
        there, known = np.isfinite(x), [] if known is None else known
        alike = (each for each in known if np.array_equal(each.there, there))
        self._presence = next(alike, None) or Presence(there)
        if self._presence not in known:
            known.append(self._presence)
        self._coverage = coverage
        self._sums = {1: x if self.whole else np.where(there, x, 0.0)}
        self._means: dict[int, Floats] = {}

    @property
    def whole(self) -> bool:
        """Whether no hour is missing."""
        return self._presence.whole

    @property
    def filled(self) -> Floats:
        """The series with zero where an hour is missing, shape (n,); do not write into it."""
        return self._sums[1]

    def sum(self, window: int) -> Floats:
        """Return the trailing sum of the hours that are there, shape (n,); the first ``window - 1`` values are NaN.

        Raises
        ------
        ValueError
            If `window` is below 1.
        """
        out = self._sum(window).copy()
        out[: window - 1] = np.nan
        return out

    def _sum(self, window: int) -> Floats:
        """Return the sums over `window` hours; hours before the start count as zero."""
        if window < 1:
            raise ValueError(f"window must be at least 1, not {window}")
        if window not in self._sums:
            newer, older = _parts(window)
            first, second = self._sum(newer), self._sum(older)
            out = np.empty_like(first)
            out[:newer] = first[:newer]
            np.add(first[newer:], second[:-newer], out=out[newer:])
            self._sums[window] = out
        return self._sums[window]

    def mean(self, window: int) -> Floats:
        """Return the trailing mean of the hours that are there, shape (n,); do not write into it."""
        if window not in self._means:
            out = self._sum(window) * self._presence.share(window, max(1, math.ceil(self._coverage * window)))
            out[: window - 1] = np.nan
            self._means[window] = out
        return self._means[window]

    def decayed_mean(self, decay: float, *, window: int) -> Floats:
        """Return the exponentially weighted mean over the last `window` hours, weights ``decay ** age``, shape (n,).

        Parameters
        ----------
        window
            A power of two: the weights beyond it are cut off, which is what makes the value independent of where the
            history begins.

        Raises
        ------
        ValueError
            If `window` is not a power of two.
        """
        if window < 1 or window & (window - 1):
            raise ValueError(f"window must be a power of two, not {window}")
        out = _decayed_sum(self.filled, decay, window)
        out *= self._presence.decayed_share(decay, window)
        out[: window - 1] = np.nan
        return out


class Presence:
    """Which hours of a series are there, and what makes a mean of a sum over them.

    A whole history has one number where one with gaps has a number for each hour, worked out in the same order: a gap
    elsewhere must not change the bits of a window.
    """

    def __init__(self, there: Mask) -> None:
        self.there = there
        self.whole = bool(there.all())
        self._shares: dict[tuple[int, int], Floats] = {}

    @cached_property
    def _before(self) -> Floats:
        """How many hours are there before each hour and before the end; whole numbers, so their differences are exact."""
        return np.concatenate([[0.0], np.cumsum(self.there, dtype=np.float64)])

    def share(self, window: int, least: int) -> Floats | float:
        """Return one over the number of hours in each window, NaN where they are fewer than `least`."""
        if self.whole:
            return 1.0 / window
        if (window, least) not in self._shares:
            share = np.full(len(self.there), np.nan)
            count = self._before[window:] - self._before[:-window]
            share[window - 1 :] = 1.0 / np.where(count >= least, count, np.nan)
            self._shares[window, least] = share
        return self._shares[window, least]

    def decayed_share(self, decay: float, window: int) -> Floats | float:
        """Return one over the sum of the weights in each window, NaN where there are none."""
        if self.whole:
            return 1.0 / float(_decayed_sum(np.ones(window), decay, window)[-1])
        weight = _decayed_sum(self.there.astype(np.float64), decay, window)
        return 1.0 / np.where(weight > 0, weight, np.nan)


def _parts(window: int) -> tuple[int, int]:
    """Return the lengths of the newer and the older window that one of more than an hour is the sum of."""
    unit = DAY if window > DAY and window % DAY == 0 else 1
    if window // unit % 2:
        return window - unit, unit
    return window // 2, window // 2


def _decayed_sum(x: Floats, decay: float, window: int) -> Floats:
    """Return the weighted sums by doubling: what is `width` hours older weighs ``decay ** width`` times as much."""
    level, older, width = x.copy(), np.empty_like(x), 1
    while width < min(window, len(x)):
        np.multiply(level[:-width], decay**width, out=older[width:])
        level[width:] += older[width:]
        width *= 2
    return level


def window_max(x: Floats, window: int) -> Floats:
    """Return the trailing maximum over `window` hours, shape (n,); the first ``window - 1`` values are NaN."""
    level, width = x, 1
    while width * 2 <= window:
        level, width = _larger(level, width), width * 2
    out = _larger(level, window - width) if width < window else level.copy()
    out[: window - 1] = np.nan
    return out


def _larger(level: Floats, delay: int) -> Floats:
    """Return the larger of each value and the one so many hours before it, at least one."""
    out = np.empty_like(level)
    out[:delay] = level[:delay]
    np.maximum(level[delay:], level[:-delay], out=out[delay:])
    return out
