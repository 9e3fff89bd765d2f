"""Trailing windows over one hourly series, oldest first: sums, means, decayed means, maxima.

Every window is summed by doubling: the sum over 2^k hours is the sum of two sums over 2^(k-1). A value therefore
depends on its own window's hours in a fixed order and on nothing before them, so that a history cut anywhere gives
bit for bit the value of the whole history, at O(n log window) without the cancellation of cumulative sums. Windows of
one series share the doubled sums.

Missing hours are NaN going in and are left out of a window, never filled.
"""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np

from cryptovol.bars import Floats


class Trailing:
    """The windows that end at each hour of one series.

    Parameters
    ----------
    x
        Shape (n,); NaN where an hour is missing.
    coverage
        Least share of a window's hours that must be there, else its mean is NaN.
    """

    def __init__(self, x: Floats, *, coverage: float) -> None:
        there = np.isfinite(x)
        self._whole = bool(there.all())
        self._there = there
        self._coverage = coverage
        self._levels = [x if self._whole else np.where(there, x, 0.0)]
        self._means: dict[int, Floats] = {}

    @cached_property
    def _counts(self) -> Trailing:
        return Trailing(self._there.astype(np.float64), coverage=0.0)

    def sum(self, window: int) -> Floats:
        """Return the trailing sum of the hours that are there, shape (n,); the first ``window - 1`` values are NaN.

        Raises
        ------
        ValueError
            If `window` is below 1.
        """
        if window < 1:
            raise ValueError(f"window must be at least 1, not {window}")
        lowest = (window & -window).bit_length() - 1
        out, offset = self._level(lowest), 1 << lowest
        for level in range(lowest + 1, window.bit_length()):
            if window >> level & 1:
                out = _sum(out, self._level(level), offset)
                offset += 1 << level
        if window == 1 << lowest:
            out = out.copy()  # the doubled sums themselves stay as they are
        out[: window - 1] = np.nan
        return out

    def _level(self, level: int) -> Floats:
        """Return the sums over ``2 ** level`` hours; hours before the start count as zero."""
        while len(self._levels) <= level:
            below, width = self._levels[-1], 1 << (len(self._levels) - 1)
            self._levels.append(_sum(below, below, width))
        return self._levels[level]

    def mean(self, window: int) -> Floats:
        """Return the trailing mean of the hours that are there, shape (n,); do not write into it."""
        if window not in self._means:
            self._means[window] = self._mean(window)
        return self._means[window]

    def _mean(self, window: int) -> Floats:
        total = self.sum(window)
        if self._whole:
            total /= window
            return total
        count = self._counts.sum(window)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean: Floats = np.where(count >= max(1.0, math.ceil(self._coverage * window)), total / count, np.nan)
        return mean

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
        total = _decayed_sum(self._levels[0], decay, window)
        if self._whole:
            # Summed in the same order as below: a gap elsewhere must not change the bits of this window.
            out = total / _decayed_sum(np.ones(window), decay, window)[-1]
        else:
            weight = _decayed_sum(self._there.astype(np.float64), decay, window)
            with np.errstate(invalid="ignore", divide="ignore"):
                out = np.where(weight > 0, total / weight, np.nan)
        out[: window - 1] = np.nan
        return out


def _sum(x: Floats, other: Floats, delay: int) -> Floats:
    """Return `x` plus `other` delayed by so many hours, at least one; hours before the start count as zero."""
    out = np.empty_like(x)
    out[:delay] = x[:delay]
    np.add(x[delay:], other[:-delay], out=out[delay:])
    return out


def _decayed_sum(x: Floats, decay: float, window: int) -> Floats:
    level, width = x.copy(), 1
    while width < window:
        if width < len(level):
            older = level[:-width] * decay**width
            level[width:] += older
        width *= 2
    return level


def window_max(x: Floats, window: int) -> Floats:
    """Return the trailing maximum over `window` hours, shape (n,); the first ``window - 1`` values are NaN."""
    level, width = x, 1
    while width * 2 <= window:
        wider = level.copy()
        if width < len(level):
            np.maximum(level[width:], level[:-width], out=wider[width:])
        level, width = wider, width * 2
    out = level.copy()
    shift = window - width
    if 0 < shift < len(x):
        np.maximum(level[shift:], level[:-shift], out=out[shift:])
    out[: window - 1] = np.nan
    return out
