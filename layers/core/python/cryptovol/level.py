"""From a predicted logarithm to a level, by the loss that users of a level pay.

The exponential of a mean logarithm is a median, not a mean: as a level it is too low, the more so the wider the errors
are spread, and they are wider in quiet hours than in wild ones. Which level is best depends on the loss: QLIKE, which
weighs all hours alike, wants more than the squared error, which is ruled by the wildest hours. The factor here depends
on the predicted level and minimises both together on forecasts of hours the model had not seen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from cryptovol.bars import Floats
from cryptovol.volatility import FLOOR

STEPS = 60  # of Newton's method; it settles in about ten
LARGEST_STEP = 0.3  # in log units: a step further would leave the region where the curvature holds
LEAST_SCALE = 1e-3  # logarithms that differ by less are all the same: a slope between them would be one of rounding
ROUNDING = 1e-9  # logarithms that differ by less than this differ by rounding: no slope is told from them
LARGEST_LOG = 50.0  # either way, of a logarithm that is fitted on: a model so far off is hopeless, yet breaks no run
SPREAD = 3.0  # standard deviations of the predicted logarithm beyond which the factor stays as it is


@dataclass(frozen=True)
class Level:
    """A factor that depends on the predicted logarithm: ``exp(offset + slope * z)``, z standardised and cut off.

    Parameters
    ----------
    centre, scale
        Mean and standard deviation of the predicted logarithms it was fitted on.
    offset, slope
        Of the logarithm of the factor; the slope is never below ``-scale``, so that a larger logarithm gives no smaller
        forecast.
    """

    centre: float
    scale: float
    offset: float
    slope: float

    def apply(self, predicted_log: Floats) -> Floats:
        """Return the forecast per hour, shape (n,), from predicted logarithms; infinite where there is no such number."""
        with np.errstate(over="ignore"):
            level: Floats = np.exp(self._log(predicted_log))
        return level

    def log(self, predicted_log: float) -> float:
        """Return the logarithm of the forecast."""
        return float(self._log(np.float64(predicted_log)))

    def stretch(self, start: float, stop: float) -> float:
        """Return how much the forecast's logarithm changes per unit between two predicted ones; at one point, its slope."""
        ends = [(predicted - self.centre) / self.scale for predicted in (start, stop)]
        first, last = (min(max(z, -SPREAD), SPREAD) for z in ends)
        share = (last - first) / (ends[1] - ends[0]) if ends[0] != ends[1] else float(first == ends[0])
        return 1.0 + self.slope / self.scale * share

    def _log(self, predicted_log: Any) -> Any:
        # Of one number np.clip alone takes as long as the rest.
        z = np.minimum(np.maximum((predicted_log - self.centre) / self.scale, -SPREAD), SPREAD)
        return predicted_log + (self.offset + self.slope * z)


def fit(predicted_log: Floats, realized: Floats, *, squared_error_weight: float, half_life: float = math.inf) -> Level:
    """Return the level that minimises ``mean(QLIKE) + weight * mean((p - y)²) / var(y)``, means weighted by age.

    Parameters
    ----------
    predicted_log
        Shape (n,), of hours the model was not fitted on, oldest first.
    realized
        Shape (n,), volatility per hour.
    squared_error_weight
        0 is QLIKE alone.
    half_life
        Rows after which an error weighs half: markets calm down over the years, and a level learned in the wildest is
        too high.

    References
    ----------
    Patton (2011), Volatility Forecast Comparison Using Imperfect Volatility Proxies: both losses are consistent for
    their own functional of the predictive distribution.
    """
    log = np.clip(predicted_log, -LARGEST_LOG, LARGEST_LOG)
    spread = float(np.std(log))
    centre, scale = float(np.mean(log)), max(spread, LEAST_SCALE)
    z = np.clip((log - centre) / scale, -SPREAD, SPREAD) if spread > ROUNDING else np.zeros(len(log))
    y = np.maximum(realized, FLOOR)
    share = 0.5 ** (np.arange(len(y))[::-1] / half_life)
    share /= share.sum()
    variance = float(np.sum(share * (y - np.sum(share * y)) ** 2))
    weight = squared_error_weight / max(variance, FLOOR**2)
    base = np.column_stack([np.ones(len(z)), z])
    offset, slope = _newton(log, base, y, weight, share)
    if slope < -scale:
        slope = -scale
        (offset,) = _newton(log + slope * z, base[:, :1], y, weight, share)
    return Level(centre, scale, float(offset), float(slope))


def _newton(log: Floats, base: Floats, y: Floats, weight: float, share: Floats) -> Floats:
    """Return the coefficients of the columns of `base` in the factor's logarithm that minimise the loss.

    Sums over rows are numpy's own: those of a matrix product are rounded by how many cores share it.
    """
    theta, squares = np.zeros(base.shape[1]), base[:, :, None] * base[:, None, :]
    for _ in range(STEPS):
        p = np.exp(log + base @ theta)
        ratio = (y / p) ** 2
        slope = share * (-2.0 * ratio + 2.0 + 2.0 * weight * p * (p - y))
        # Curvature of the squared error, kept positive where the forecast is far too low.
        bend = share * (4.0 * ratio + 2.0 * weight * p * np.maximum(2.0 * p - y, 0.2 * p))
        hessian = np.sum(squares * bend[:, None, None], axis=0) + 1e-9 * np.eye(len(theta))
        gradient = np.sum(base * slope[:, None], axis=0)
        step = np.clip(np.linalg.solve(hessian, gradient), -LARGEST_STEP, LARGEST_STEP)
        theta -= step
        if np.max(np.abs(step)) < 1e-10:
            break
    return theta
