"""Prediction intervals by adaptive conformal calibration on past out-of-sample errors.

The error is taken on the logarithm, so an interval scales with the predicted level. Errors of volatility forecasts come
in regimes: quantiles of the last ninety days hold too little in a new one. The stretch is therefore replayed: at
each hour the interval that the errors known by then would have given is held against what came, and the share left
outside is made smaller after each miss and larger after each hit. Where that ends is the share the interval leaves.
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
LEAST_SHARE, MOST_SHARE = 0.2, 2.0  # of the nominal share: however bad or good the stretch was, the quantiles are real


@dataclass(frozen=True)
class Calibration:
    """For each level the factors on a forecast that bound its interval.

    Parameters
    ----------
    factors
        Level to (lower factor, upper factor).
    rows
        Out-of-sample hours the calibration saw.
    """

    factors: dict[float, tuple[float, float]]
    rows: int

    def bounds(self, predicted: Floats, level: float) -> tuple[Floats, Floats]:
        """Return the lower and upper end per forecast, each of shape (n,), per hour.

        Raises
        ------
        ConfigError
            If the level was not calibrated; the message lists those that were.
        """
        if level not in self.factors:
            raise ConfigError(f"no interval of level {level}; use one of {', '.join(map(str, sorted(self.factors)))}")
        lower, upper = self.factors[level]
        return predicted * lower, predicted * upper


def calibrate(realized: Floats, predicted: Floats, levels: tuple[float, ...], *, horizon: int) -> Calibration:
    """Return the factors whose intervals would have held each level on these hours, and in their newest regime.

    Parameters
    ----------
    realized, predicted
        Shape (n,), volatility per hour, oldest first; the predictions must be out of sample.
    levels
        Nominal coverages, for instance 0.9.
    horizon
        Hours ahead: in the replay an error is known so many rows later.

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
    errors = np.log(np.maximum(realized, FLOOR) / predicted)
    ranks, ordered = _ranks(errors, horizon), np.sort(errors)
    factors = {}
    for level in levels:
        tail = _outside(ranks, 1.0 - level) / 2.0
        # Split conformal's finite-sample ranks: one error more than seen may come, on either side.
        low = max(math.floor((n + 1) * tail) - 1, 0)
        high = min(math.ceil((n + 1) * (1.0 - tail)) - 1, n - 1)
        factors[level] = (math.exp(float(ordered[low])), math.exp(float(ordered[high])))
    return Calibration(factors, n)


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
