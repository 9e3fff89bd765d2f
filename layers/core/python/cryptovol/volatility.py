"""Volatility estimators on an hourly grid, oldest first.

Missing hours are NaN going in and are left out of a window, never filled; see `windows` for what a window depends on.
"""

from __future__ import annotations

import math

import numpy as np

from cryptovol.bars import Floats
from cryptovol.windows import Trailing

HOURS_PER_YEAR = 24 * 365  # crypto trades every hour of the year; the one place this constant lives
EWMA_DECAY = 0.94  # RiskMetrics' daily decay, used here per hour as the field's usual baseline
EWMA_WINDOW = 256  # hours; the weight beyond is 1e-7
FLOOR = 1e-6  # smallest volatility per hour that is told from zero; a flat market has this, not log(0)


def log_returns(close: Floats) -> Floats:
    """Return ln(close_t / close_{t-1}).

    Parameters
    ----------
    close
        Shape (n,), quote currency, one value per grid hour, NaN where the hour has no bar.

    Returns
    -------
    array of shape (n,), unitless
        NaN at the first hour and wherever either close is missing: a return over a gap spans several hours.
    """
    out = np.full(len(close), np.nan)
    out[1:] = np.diff(np.log(close))
    return out


def realized_volatility(log_return: Floats, window: int, *, coverage: float) -> Floats:
    """Return the standard deviation of hourly log returns over the last `window` hours.

    Parameters
    ----------
    log_return
        Shape (n,), unitless, NaN where missing.
    window
        Hours, at least 2.

    Returns
    -------
    array of shape (n,), per hour
        The sample standard deviation (divisor count - 1) of the hours that are there.
    """
    mean = Trailing(log_return, coverage=coverage).mean(window)
    square = Trailing(log_return * log_return, coverage=coverage).mean(window)
    count = Trailing(np.isfinite(log_return).astype(np.float64), coverage=coverage).sum(window)
    with np.errstate(invalid="ignore", divide="ignore"):
        correction = np.where(count > 1, count / (count - 1.0), np.nan)
    spread: Floats = np.sqrt(np.maximum(square - mean * mean, 0.0) * correction)
    return spread


def root_mean_square(log_return: Floats, window: int, *, coverage: float) -> Floats:
    """Return sqrt(mean(r²)): realized volatility about zero, which is less noisy on short windows."""
    return np.sqrt(Trailing(log_return * log_return, coverage=coverage).mean(window))


def parkinson(high: Floats, low: Floats) -> Floats:
    """Return each hour's variance from its range, ``ln(high/low)² / (4 ln 2)``, shape (n,), unit return².

    References
    ----------
    Parkinson (1980), The Extreme Value Method for Estimating the Variance of the Rate of Return.
    """
    span: Floats = np.log(high / low)
    return span * span / (4.0 * math.log(2.0))


def garman_klass(open_: Floats, high: Floats, low: Floats, close: Floats) -> Floats:
    """Return each hour's variance, ``½ ln(high/low)² - (2 ln 2 - 1) ln(close/open)²``, shape (n,), unit return².

    Never negative: an hour whose formula is below zero by rounding counts as zero.

    References
    ----------
    Garman and Klass (1980), On the Estimation of Security Price Volatilities from Historical Data.
    """
    span, body = np.log(high / low), np.log(close / open_)
    return np.maximum(0.5 * span * span - (2.0 * math.log(2.0) - 1.0) * body * body, 0.0)


def ewma(log_return: Floats) -> Floats:
    """Return the EWMA(0.94) volatility per hour: the root of the decayed mean of squared returns, shape (n,)."""
    return np.sqrt(Trailing(log_return * log_return, coverage=0.0).decayed_mean(EWMA_DECAY, window=EWMA_WINDOW))


def log_floor(volatility: Floats) -> Floats:
    """Return ln(volatility), with values below `FLOOR` taken as `FLOOR`; NaN stays NaN."""
    return np.log(np.maximum(volatility, FLOOR))
