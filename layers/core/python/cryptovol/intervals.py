"""Prediction intervals by conformal calibration on past out-of-sample errors.

The error is taken on the logarithm, so an interval scales with the predicted level.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from cryptovol.bars import Floats
from cryptovol.errors import ConfigError
from cryptovol.volatility import FLOOR


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


def calibrate(realized: Floats, predicted: Floats, levels: tuple[float, ...]) -> Calibration:
    """Return the factors whose intervals would have held each level on these hours.

    Parameters
    ----------
    realized, predicted
        Shape (n,), volatility per hour; the predictions must be out of sample.
    levels
        Nominal coverages, for instance 0.9.

    Raises
    ------
    ValueError
        If there are fewer than 30 hours.

    References
    ----------
    Lei, G'Sell, Rinaldo, Tibshirani and Wasserman (2018), Distribution-Free Predictive Inference for Regression.
    """
    n = len(realized)
    if n < 30:
        raise ValueError(f"an interval needs at least 30 out-of-sample hours, not {n}")
    error = np.sort(np.log(np.maximum(realized, FLOOR) / predicted))
    factors = {}
    for level in levels:
        tail = (1.0 - level) / 2.0
        # Split conformal's finite-sample ranks: one error more than seen may come, on either side.
        low = max(math.floor((n + 1) * tail) - 1, 0)
        high = min(math.ceil((n + 1) * (1.0 - tail)) - 1, n - 1)
        factors[level] = (math.exp(float(error[low])), math.exp(float(error[high])))
    return Calibration(factors, n)
