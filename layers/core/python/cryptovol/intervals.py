"""Prediction intervals by adaptive conformal calibration on past out-of-sample errors.

The error is taken on the logarithm, so an interval scales with the predicted level, and it is wider, relative to the
level, where the model's errors have been wider: in quiet hours. Errors of volatility forecasts come
in regimes: quantiles of the last ninety days hold too little in a new one. The stretch is therefore replayed: at
each hour the interval that the errors known by then would have given is held against what came, and the share left
outside is made smaller after each miss and larger after each hit. Where that ends is the share the interval leaves.
It may end far below the nominal share and hardly above: a calm stretch is no promise of another.
"""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass

import numpy as np

from cryptovol.bars import Floats
from cryptovol.errors import ConfigError
from cryptovol.volatility import FLOOR

LEAST = 30  # out-of-sample hours an interval needs
WARM = 200  # hours whose errors are known when the replay begins
GAIN = 0.002  # how much one hit or miss moves the share left outside
LEAST_SHARE, MOST_SHARE = 0.2, 1.25  # of the nominal share, between which the replay may move it
SMALLEST = 1e-3  # error of the logarithm below which one is as good as another
STEEPEST = 0.5  # slope of the spread, either way
FARTHEST = 4.0  # times the usual level, or one over that: beyond, an interval grows no wider or narrower


@dataclass(frozen=True)
class Calibration:
    """For each level the errors between which a forecast's interval lies.

    Parameters
    ----------
    errors
        Level to (lower, upper) error of the logarithm, at the usual level of the forecast.
    rows
        Out-of-sample hours the calibration saw.
    usual
        The forecast per hour at which errors count as they are.
    slope
        Exponent of the spread: an error counts ``(forecast / usual) ** slope`` times as much.
    """

    errors: dict[float, tuple[float, float]]
    rows: int
    usual: float
    slope: float

    def bounds(self, predicted: Floats, level: float) -> tuple[Floats, Floats]:
        """Return the lower and upper end per forecast, each of shape (n,), per hour.

        Raises
        ------
        ConfigError
            If the level was not calibrated; the message lists those that were.
        """
        if level not in self.errors:
            raise ConfigError(f"no interval of level {level}; use one of {', '.join(map(str, sorted(self.errors)))}")
        lower, upper = self.errors[level]
        wide = _spread(predicted, self.usual, self.slope)
        return predicted * np.exp(lower * wide), predicted * np.exp(upper * wide)


def _spread(predicted: Floats, usual: float, slope: float) -> Floats:
    """Return how wide errors are at each forecast, 1 at the usual level, shape (n,)."""
    # Of one number np.clip alone takes as long as the rest.
    return np.minimum(np.maximum(predicted / usual, 1.0 / FARTHEST), FARTHEST) ** slope


def calibrate(
    realized: Floats, predicted: Floats, levels: tuple[float, ...], *, horizon: int, slope: float = 0.0
) -> Calibration:
    """Return the calibration whose intervals would have held each level on these hours, and in their newest regime.

    Parameters
    ----------
    realized, predicted
        Shape (n,), volatility per hour, oldest first; the predictions must be out of sample.
    levels
        Nominal coverages, for instance 0.9.
    horizon
        Hours ahead: in the replay an error is known so many rows later.
    slope
        See `spread_slope`; 0 is intervals of the same relative width at every level.

    Raises
    ------
    ValueError
        If there are fewer than `LEAST` hours.

    References
    ----------
    Lei, G'Sell, Rinaldo, Tibshirani and Wasserman (2018), Distribution-Free Predictive Inference for Regression.
    Gibbs and Candès (2021), Adaptive Conformal Inference Under Distribution Shift.
    """
    n = len(realized)
    if n < LEAST:
        raise ValueError(f"an interval needs at least {LEAST} out-of-sample hours, not {n}")
    usual = float(np.median(predicted))
    errors = np.log(np.maximum(realized, FLOOR) / predicted) / _spread(predicted, usual, slope)
    ranks, ordered = _ranks(errors, horizon), np.sort(errors)
    ends = {}
    for level in levels:
        tail = _outside(ranks, 1.0 - level) / 2.0
        # Split conformal's finite-sample ranks: one error more than seen may come, on either side.
        low = max(math.floor((n + 1) * tail) - 1, 0)
        high = min(math.ceil((n + 1) * (1.0 - tail)) - 1, n - 1)
        ends[level] = (float(ordered[low]), float(ordered[high]))
    return Calibration(ends, n, usual, slope)


def spread_slope(predicted: Floats, realized: Floats) -> float:
    """Return how the size of the log error changes with the forecast: the exponent of the spread.

    Least squares of the logarithm of the absolute error on the logarithm of the forecast, halved: the logarithm of a size
    near zero is wild, and a slope too steep narrows the intervals of wild hours, which cost most.

    Parameters
    ----------
    predicted, realized
        Shape (n,), volatility per hour; the predictions of hours the model was not fitted on.
    """
    log = np.log(predicted)
    error = np.log(np.maximum(realized, FLOOR)) - log
    size = np.log(np.maximum(np.abs(error - np.median(error)), SMALLEST))
    variance = float(np.var(log))
    if variance < SMALLEST**2:
        return 0.0
    slope = 0.5 * float(np.mean((log - log.mean()) * (size - size.mean()))) / variance
    return min(max(slope, -STEEPEST), STEEPEST)


def _ranks(errors: Floats, horizon: int) -> list[float]:
    """Return, for each hour of the replay, the share of the errors known by then that were smaller than its own."""
    known = sorted(errors[:WARM].tolist())
    ranks = []
    for row in range(WARM + horizon, len(errors)):
        bisect.insort(known, float(errors[row - horizon]))
        ranks.append(bisect.bisect_left(known, float(errors[row])) / len(known))
    return ranks


def _outside(ranks: list[float], nominal: float) -> float:
    """Return the share to leave outside after a replay that began with the nominal one."""
    share, least, most = nominal, LEAST_SHARE * nominal, min(MOST_SHARE * nominal, 1.0)
    for rank in ranks:
        inside = share / 2.0 <= rank <= 1.0 - share / 2.0
        share = min(max(share + GAIN * (nominal if inside else nominal - 1.0), least), most)
    return share
