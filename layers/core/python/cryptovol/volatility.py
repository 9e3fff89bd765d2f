"""Volatility estimators and the trailing windows under them, on an hourly grid, oldest first.

Every window is summed by doubling: the sum over 2^k hours is the sum of two sums over 2^(k-1). A value therefore
depends on its own window's hours in a fixed order and on nothing before them, so that a history cut anywhere gives
bit for bit the value of the whole history, at O(n log window) without the cancellation of cumulative sums.

Missing hours are NaN going in and are left out of a window, never filled.
"""

from __future__ import annotations

import math

import numpy as np

from cryptovol.bars import Floats

HOURS_PER_YEAR = 24 * 365  # crypto trades every hour of the year; the one place this constant lives
EWMA_DECAY = 0.94  # RiskMetrics' daily decay, used here per hour as the field's usual baseline
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


def window_sum(x: Floats, window: int) -> Floats:
    """Return the trailing sum over `window` hours.

    Parameters
    ----------
    x
        Shape (n,), without NaN.
    window
        Hours, at least 1.

    Returns
    -------
    array of shape (n,)
        The first ``window - 1`` values are NaN.

    Raises
    ------
    ValueError
        If `window` is below 1.
    """
    if window < 1:
        raise ValueError(f"window must be at least 1, not {window}")
    out = np.zeros_like(x)
    level, width, offset = x, 1, 0
    while width <= window:
        if window & width and offset < len(x):
            out[offset:] += level[: len(x) - offset]
        offset += window & width
        level = _doubled(level, width)
        width *= 2
    out[: window - 1] = np.nan
    return out


def _doubled(level: Floats, width: int) -> Floats:
    """Return sums over twice the width; hours before the start count as zero."""
    wider = level.copy()
    if width < len(level):
        wider[width:] += level[:-width]
    return wider


def window_max(x: Floats, window: int) -> Floats:
    """Return the trailing maximum over `window` hours, shape (n,); the first ``window - 1`` values are NaN."""
    level, width = x, 1
    while width * 2 <= window:
        wider = level.copy()
        if width < len(level):
            wider[width:] = np.maximum(level[width:], level[:-width])
        level, width = wider, width * 2
    out = level.copy()
    shift = window - width
    if 0 < shift < len(x):
        out[shift:] = np.maximum(level[shift:], level[:-shift])
    out[: window - 1] = np.nan
    return out


def window_mean(x: Floats, window: int, *, coverage: float) -> Floats:
    """Return the trailing mean of the hours that are there.

    Parameters
    ----------
    x
        Shape (n,); NaN where an hour is missing.
    coverage
        Least share of the window's hours that must be there, else the mean is NaN.
    """
    there = np.isfinite(x)
    total = window_sum(np.where(there, x, 0.0), window)
    if there.all():
        return total / window
    count = window_sum(there.astype(np.float64), window)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(count >= max(1.0, math.ceil(coverage * window)), total / count, np.nan)


def decayed_mean(x: Floats, decay: float, *, window: int) -> Floats:
    """Return the exponentially weighted mean over the last `window` hours, weights ``decay ** age``.

    Parameters
    ----------
    x
        Shape (n,); NaN where an hour is missing.
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
    there = np.isfinite(x)
    total = _decayed_sum(np.where(there, x, 0.0), decay, window)
    weight = _decayed_sum(there.astype(np.float64), decay, window)
    with np.errstate(invalid="ignore", divide="ignore"):
        out = np.where(weight > 0, total / weight, np.nan)
    out[: window - 1] = np.nan
    return out


def _decayed_sum(x: Floats, decay: float, window: int) -> Floats:
    level, width = x, 1
    while width < window:
        wider = level.copy()
        if width < len(level):
            wider[width:] += decay**width * level[:-width]
        level, width = wider, width * 2
    return level


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
    mean = window_mean(log_return, window, coverage=coverage)
    square = window_mean(log_return * log_return, window, coverage=coverage)
    count = window_sum(np.isfinite(log_return).astype(np.float64), window)
    with np.errstate(invalid="ignore", divide="ignore"):
        correction = np.where(count > 1, count / (count - 1.0), np.nan)
    spread: Floats = np.sqrt(np.maximum(square - mean * mean, 0.0) * correction)
    return spread


def root_mean_square(log_return: Floats, window: int, *, coverage: float) -> Floats:
    """Return sqrt(mean(r²)): realized volatility about zero, which is less noisy on short windows."""
    return np.sqrt(window_mean(log_return * log_return, window, coverage=coverage))


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
    return np.sqrt(decayed_mean(log_return * log_return, EWMA_DECAY, window=256))


def log_floor(volatility: Floats) -> Floats:
    """Return ln(volatility), with values below `FLOOR` taken as `FLOOR`; NaN stays NaN."""
    return np.log(np.maximum(volatility, FLOOR))
