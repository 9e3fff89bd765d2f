"""The 36 features: causal, free of price level, one implementation for training, serving and drift.

Row t uses bars up to and including the bar that opens at t, known at ``t + 3600``. Levels of volatility enter as
logarithms; returns and distances enter in units of the past week's volatility, so that a doubled price or a
calmer year changes nothing but the logarithms. Windows are in hours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cryptovol import volatility as vol
from cryptovol.bars import Bars, Floats, Ints, Mask
from cryptovol.errors import BarSchemaError
from cryptovol.times import HOUR

PRICE = ("return_6", "return_24", "return_168", "sma_distance_24", "sma_distance_168", "macd_12_26", "drawdown_168")
VOLATILITY = (
    "rv_6", "rv_24", "rv_72", "rv_168", "rv_720", "ewma_94", "gk_1", "gk_3", "gk_12", "gk_24", "gk_168",
    "parkinson_72", "gk_cv_24", "gk_same_hours_day", "gk_same_hours_week",
)  # fmt: skip
MOMENTUM = ("rsi_14", "downside_1", "downside_share_24", "downside_share_168", "volume_3", "volume_24")
TEMPORAL = ("day_sin_1", "day_cos_1", "day_sin_2", "day_cos_2", "week_sin_1", "week_cos_1", "week_sin_2", "week_cos_2")
FEATURE_NAMES: tuple[str, ...] = PRICE + VOLATILITY + MOMENTUM + TEMPORAL

WARMUP = 721  # closes needed before the longest window (720 returns) is whole
AHEAD = 6  # hours of the coming stretch whose like, a day and a week ago, is looked up


@dataclass(frozen=True, eq=False)
class FeatureTable:
    """Features on the hourly grid, oldest first.

    Parameters
    ----------
    time
        Shape (n,), unix seconds at which each grid hour opens; missing hours have a row too.
    values
        Shape (n, 36) in the order of `FEATURE_NAMES`; NaN where a window lacks bars and in hours without a bar.
    log_return
        Shape (n,), NaN where missing.
    """

    time: Ints
    values: Floats
    log_return: Floats

    def complete(self) -> Mask:
        """Return, per row, whether all 36 values are there, shape (n,)."""
        whole: Mask = np.all(np.isfinite(self.values), axis=1)
        return whole


@dataclass(frozen=True, eq=False)
class _Grid:
    """Bars laid on every hour from the first to the last; NaN where an hour has none."""

    time: Ints
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    log_return: Floats
    coverage: float

    def mean(self, x: Floats, window: int) -> Floats:
        return vol.window_mean(x, window, coverage=self.coverage)


def _grid(bars: Bars, coverage: float) -> _Grid:
    if np.any(np.diff(bars.time) <= 0) or np.any(bars.time % HOUR):
        raise BarSchemaError("features need bars on full hours, sorted and unique in time; pass them through the gate")
    first = int(bars.time[0]) if len(bars) else 0
    n = int((bars.time[-1] - first) // HOUR + 1) if len(bars) else 0
    at = (bars.time - first) // HOUR

    def laid(column: Floats) -> Floats:
        out = np.full(n, np.nan)
        out[at] = column
        return out

    close = laid(bars.close)
    columns = (laid(bars.open), laid(bars.high), laid(bars.low), close, laid(bars.volume_base))
    return _Grid(first + HOUR * np.arange(n, dtype=np.int64), *columns, vol.log_returns(close), coverage)


def build(bars: Bars, *, coverage: float) -> FeatureTable:
    """Return the features of every hour between the first and the last bar.

    Parameters
    ----------
    bars
        Clean bars of one market, oldest first, on full hours, unique in time; gaps are allowed.
    coverage
        Least share of a window's hours that must have a bar, else that value is NaN.

    Raises
    ------
    BarSchemaError
        If bars are unsorted, repeated or off the hour.
    """
    grid = _grid(bars, coverage)
    week = np.maximum(vol.root_mean_square(grid.log_return, 168, coverage=coverage), vol.FLOOR)
    with np.errstate(invalid="ignore", divide="ignore"):
        columns = {**_price(grid, week), **_volatility(grid), **_momentum(grid, week), **_temporal(grid.time)}
    values = np.empty((len(grid.time), len(FEATURE_NAMES)))
    for j, name in enumerate(FEATURE_NAMES):
        values[:, j] = columns[name]
    values[~np.isfinite(grid.close)] = np.nan
    values[: WARMUP - 1] = np.nan  # coverage would let a window begin before the first bar: not the same value later
    return FeatureTable(grid.time, values, grid.log_return)


def _price(grid: _Grid, week: Floats) -> dict[str, Floats]:
    """Return returns and distances in units of the past week's volatility, damped by arcsinh."""
    price = np.log(grid.close)
    out = {}
    for window in (6, 24, 168):
        move = grid.mean(grid.log_return, window) * window
        out[f"return_{window}"] = np.arcsinh(move / (week * np.sqrt(window)))
    for window in (24, 168):
        out[f"sma_distance_{window}"] = np.arcsinh((price - grid.mean(price, window)) / (week * np.sqrt(window)))
    fast, slow = (vol.decayed_mean(price, 1.0 - 2.0 / (span + 1.0), window=256) for span in (12, 26))
    out["macd_12_26"] = np.arcsinh((fast - slow) / (week * np.sqrt(26.0)))
    peak = vol.window_max(np.where(np.isfinite(price), price, -np.inf), 168)
    out["drawdown_168"] = np.arcsinh((price - peak) / (week * np.sqrt(168.0)))
    return out


def _volatility(grid: _Grid) -> dict[str, Floats]:
    """Return log volatilities over several windows, their spread, and those of the same hours a day and a week ago."""
    out = {
        f"rv_{w}": vol.log_floor(vol.root_mean_square(grid.log_return, w, coverage=grid.coverage))
        for w in (6, 24, 72, 168, 720)
    }
    out["ewma_94"] = vol.log_floor(vol.ewma(grid.log_return))
    gk = vol.garman_klass(grid.open, grid.high, grid.low, grid.close)
    for window in (1, 3, 12, 24, 168):
        out[f"gk_{window}"] = vol.log_floor(np.sqrt(grid.mean(gk, window)))
    out["parkinson_72"] = vol.log_floor(np.sqrt(grid.mean(vol.parkinson(grid.high, grid.low), 72)))
    hourly = np.sqrt(gk)
    mean = np.maximum(grid.mean(hourly, 24), vol.FLOOR)
    spread = np.sqrt(np.maximum(grid.mean(hourly * hourly, 24) - mean * mean, 0.0))
    out["gk_cv_24"] = np.log1p(spread / mean)
    stretch = vol.log_floor(np.sqrt(grid.mean(gk, AHEAD)))
    for name, ago in (("day", 24), ("week", 168)):
        out[f"gk_same_hours_{name}"] = _lagged(stretch, ago - AHEAD)
    return out


def _lagged(x: Floats, hours: int) -> Floats:
    out = np.full(len(x), np.nan)
    out[hours:] = x[: max(len(x) - hours, 0)]
    return out


def _momentum(grid: _Grid, week: Floats) -> dict[str, Floats]:
    """Return RSI, falls (which raise volatility more than rises do) and volume against its past week."""
    r = grid.log_return
    gain, loss = (grid.mean(np.where(np.isfinite(r), np.maximum(s * r, 0.0), np.nan), 14) for s in (1.0, -1.0))
    out = {"rsi_14": np.where(gain + loss > 0, (gain - loss) / (gain + loss), 0.0) + 0.0 * gain}
    fall = np.where(np.isfinite(r), np.minimum(r, 0.0), np.nan)
    out["downside_1"] = np.arcsinh(fall / week)
    for window in (24, 168):
        total = np.maximum(grid.mean(r * r, window), vol.FLOOR**2)
        out[f"downside_share_{window}"] = grid.mean(fall * fall, window) / total
    usual = grid.mean(grid.volume, 168)
    for window in (3, 24):
        ratio = grid.mean(grid.volume, window) / usual
        out[f"volume_{window}"] = np.where(usual > 0, np.log(np.maximum(ratio, 1e-3)), 0.0) + 0.0 * usual
    return out


def _temporal(time: Ints) -> dict[str, Floats]:
    """Return the first two harmonics of the hour of the day and of the hour of the week, of the hour that follows."""
    known_at = time + HOUR
    out = {}
    for name, period in (("day", 24 * HOUR), ("week", 168 * HOUR)):
        phase = 2.0 * np.pi * (known_at % period) / period
        for k in (1, 2):
            out[f"{name}_sin_{k}"], out[f"{name}_cos_{k}"] = np.sin(k * phase), np.cos(k * phase)
    return out
