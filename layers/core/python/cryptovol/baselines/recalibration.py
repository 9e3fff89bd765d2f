"""A forecast's steady errors of level and of strength, taken out by what was realized before."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cryptovol import volatility as vol
from cryptovol.bars import Floats, Mask


@dataclass(frozen=True)
class Recalibration:
    """A straight line from a forecast's logarithm to the realized one, brought back to the level.

    Parameters
    ----------
    intercept, slope
        Of the line.
    correction
        Factor from the exponential of the mean log back to the mean level.
    """

    intercept: float
    slope: float
    correction: float

    def apply(self, forecast: Floats) -> Floats:
        """Return recalibrated forecasts per hour, shape (n,), at least `volatility.FLOOR`."""
        level = np.exp(self.intercept + self.slope * vol.log_floor(forecast)) * self.correction
        return np.maximum(level, vol.FLOOR)


def recalibrate(forecast: Floats, target: Floats, rows: Mask) -> Recalibration:
    """Return the line fitted by least squares of log realized on log forecast volatility.

    GARCH forecasts the root of a mean variance, which lies above the mean standard deviation, and at a persistence of
    one its forecast never returns to the mean; the line takes out what of both is steady.

    Parameters
    ----------
    forecast, target
        Shape (n,), volatility per hour.
    rows
        Shape (n,), the rows to fit on; both must be there.

    References
    ----------
    Mincer and Zarnowitz (1969), The Evaluation of Economic Forecasts, for the regression; here on logarithms.
    """
    x = np.column_stack([np.ones(int(rows.sum())), vol.log_floor(forecast[rows])])
    (intercept, slope), *_ = np.linalg.lstsq(x, vol.log_floor(target[rows]), rcond=None)
    fitted = np.exp(intercept + slope * x[:, 1])
    correction = float(np.mean(np.maximum(target[rows], vol.FLOOR)) / np.mean(fitted))
    return Recalibration(float(intercept), float(slope), correction)
