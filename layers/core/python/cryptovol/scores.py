"""How good a forecast is: errors, QLIKE, the Diebold–Mariano test, interval coverage.

All take realized and predicted volatility per hour, shape (n,), oldest first, positive and without NaN.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from cryptovol.bars import Floats
from cryptovol.volatility import FLOOR

ERRORS = ("rmse", "mae", "r2", "r2_log", "qlike", "bias")


def qlike(realized: Floats, predicted: Floats) -> Floats:
    """Return each hour's QLIKE loss on variances, ``x - ln x - 1`` with ``x = realized² / predicted²``, shape (n,).

    Zero is a perfect forecast; an under-forecast costs more than an over-forecast of the same ratio. Realized values
    below `volatility.FLOOR` count as that floor, so that a flat stretch is finite.

    References
    ----------
    Patton (2011), Volatility Forecast Comparison Using Imperfect Volatility Proxies.
    """
    ratio = (np.maximum(realized, FLOOR) / predicted) ** 2
    return ratio - np.log(ratio) - 1.0


def summary(realized: Floats, predicted: Floats, *, past_mean: Floats) -> dict[str, float]:
    """Return the named errors of a forecast.

    Parameters
    ----------
    past_mean
        Shape (n,): the mean of all targets known when each forecast was made; R² is measured against it, so that
        no future mean flatters or punishes.

    Returns
    -------
    dict
        ``rmse`` and ``mae`` per hour; ``r2`` against `past_mean`; ``r2_log`` on logarithms with the mean error
        removed; ``qlike``, mean; ``bias``, mean prediction over mean realization.

    Raises
    ------
    ValueError
        If there is nothing to score.
    """
    if not len(realized):
        raise ValueError("nothing to score: no hour has both a forecast and a realized value")
    error = predicted - realized
    log_realized = np.log(np.maximum(realized, FLOOR))
    log_error = np.log(predicted) - log_realized
    spread = float(np.mean((realized - past_mean) ** 2))
    log_spread = float(np.var(log_realized))
    return {
        "rmse": math.sqrt(float(np.mean(error**2))),
        "mae": float(np.mean(np.abs(error))),
        "r2": 1.0 - float(np.mean(error**2)) / spread if spread > 0 else 0.0,
        "r2_log": 1.0 - float(np.var(log_error)) / log_spread if log_spread > 0 else 0.0,
        "qlike": float(np.mean(qlike(realized, predicted))),
        "bias": float(np.mean(predicted) / np.mean(np.maximum(realized, FLOOR))),
    }


@dataclass(frozen=True)
class Comparison:
    """A Diebold–Mariano test: `statistic` is positive where the first forecast loses more; `p` is two-sided."""

    statistic: float
    p: float
    rows: int

    def is_worse(self, level: float) -> bool:
        """Return whether the first forecast is worse than the second, significantly at `level`."""
        return self.statistic > 0 and self.p < level


def diebold_mariano(loss: Floats, other_loss: Floats, *, horizon: int) -> Comparison:
    """Return the test of equal expected loss of two forecasts of the same hours.

    Parameters
    ----------
    loss, other_loss
        Shape (n,), oldest first, one loss per hour.
    horizon
        Hours ahead. Targets of neighbouring hours overlap, so the variance is Newey–West's (Bartlett weights) with
        ``max(120, 5 * horizon)`` lags, at most a third of the rows.

    Raises
    ------
    ValueError
        If there are fewer than 8 hours.

    References
    ----------
    Diebold and Mariano (1995), Comparing Predictive Accuracy; Newey and West (1987).
    """
    difference = loss - other_loss
    n = len(difference)
    if n < 8:
        raise ValueError(f"a Diebold-Mariano test needs at least 8 hours, not {n}")
    centred = difference - difference.mean()
    lags = min(max(120, 5 * horizon), n // 3)
    variance = float(centred @ centred) / n
    for lag in range(1, lags + 1):
        variance += 2.0 * (1.0 - lag / (lags + 1)) * float(centred[lag:] @ centred[:-lag]) / n
    if variance <= 0.0:
        return Comparison(0.0, 1.0, n)
    statistic = float(difference.mean()) / math.sqrt(variance / n)
    return Comparison(statistic, math.erfc(abs(statistic) / math.sqrt(2.0)), n)


def coverage(realized: Floats, lower: Floats, upper: Floats) -> float:
    """Return the share of realized values inside their interval."""
    return float(np.mean((realized >= lower) & (realized <= upper)))
