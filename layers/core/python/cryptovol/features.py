"""The 36 features: causal, free of price level, one implementation for training, serving and drift.

Row t uses bars up to and including the bar that opens at t, known at ``t + 3600``. Levels of volatility enter as
logarithms; returns and distances enter in units of the past week's volatility, so that a doubled price or a
calmer year changes nothing but the logarithms. Windows are in hours.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache, cached_property

import numpy as np

from cryptovol import volatility as vol
from cryptovol.bars import Bars, Floats, Ints, Mask
from cryptovol.errors import BarSchemaError
from cryptovol.times import HOUR
from cryptovol.windows import Trailing, window_max

PRICE = ("return_24", "sma_distance_24", "sma_distance_168", "macd_12_26", "drawdown_168")
VOLATILITY = (
    "rv_6", "rv_24", "rv_168", "rv_720", "ewma_94", "gk_1", "gk_3", "gk_24", "gk_336", "gk_720", "gk_ewma_97",
    "parkinson_24", "gk_cv_24", "largest_24", "gk_same_6", "gk_same_24",
)  # fmt: skip
MOMENTUM = ("rsi_14", "move_3", "move_24", "downside_3", "volume_1")
TEMPORAL = (
    "day_sin_1", "day_cos_1", "day_sin_2", "day_cos_2",
    "week_sin_1", "week_cos_1", "week_sin_2", "week_cos_2", "week_sin_3", "week_cos_3",
)  # fmt: skip
FAMILIES = {"price": PRICE, "volatility": VOLATILITY, "momentum": MOMENTUM, "temporal": TEMPORAL}
FEATURE_NAMES: tuple[str, ...] = PRICE + VOLATILITY + MOMENTUM + TEMPORAL

WEEK = 168
REACH = 720  # hours before a row that its features may use
WARMUP = REACH + 1  # closes needed before the longest window (720 returns) is whole
BLOCK = 15_600  # rows computed at once; with their reach under 128 KiB a column, past which malloc asks the kernel each time
WEEKS_BACK = (1, 2, 3, 4)  # of the same hours, looked up in the past


@dataclass(frozen=True, eq=False)
class FeatureTable:
    """Features on the hourly grid, oldest first.

    Parameters
    ----------
    time
        Shape (n,), unix seconds at which each grid hour opens; missing hours have a row too.
    values
        Shape (n, 36), columns contiguous, in the order of `FEATURE_NAMES`; NaN where a window lacks bars and in hours without a bar.
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

    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    log_return: Floats

    def rows(self, start: int, stop: int) -> _Grid:
        return _Grid(*(getattr(self, each.name)[start:stop] for each in fields(self)))


class _Series:
    """What several features are made of, for one stretch of the grid."""

    def __init__(self, grid: _Grid, coverage: float) -> None:
        self.grid = grid
        self.coverage = coverage

    def trailing(self, x: Floats) -> Trailing:
        return Trailing(x, coverage=self.coverage)

    @cached_property
    def log_close(self) -> Trailing:
        return self.trailing(self.log_price)

    @cached_property
    def log_price(self) -> Floats:
        return np.log(self.grid.close)

    @cached_property
    def returns(self) -> Trailing:
        return self.trailing(self.grid.log_return)

    @cached_property
    def squares(self) -> Trailing:
        return self.trailing(self.grid.log_return * self.grid.log_return)

    @cached_property
    def hourly_gk(self) -> Floats:
        return vol.garman_klass(self.grid.open, self.grid.high, self.grid.low, self.grid.close)

    @cached_property
    def gk(self) -> Trailing:
        return self.trailing(self.hourly_gk)

    @cached_property
    def per_week(self) -> Floats:
        """One over the past week's volatility per hour."""
        return 1.0 / np.maximum(np.sqrt(self.squares.mean(WEEK)), vol.FLOOR)


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
    if np.any(np.diff(bars.time) <= 0) or np.any(bars.time % HOUR):
        raise BarSchemaError("features need bars on full hours, sorted and unique in time; pass them through the gate")
    first = int(bars.time[0]) if len(bars) else 0
    n = int((bars.time[-1] - first) // HOUR + 1) if len(bars) else 0
    grid, time = _grid(bars, first, n), first + HOUR * np.arange(n, dtype=np.int64)
    columns = np.empty((len(FEATURE_NAMES), n))
    for start in range(0, n, BLOCK):
        stop, reach = min(start + BLOCK, n), max(start - REACH, 0)
        found = _block(grid.rows(reach, stop), coverage)
        for j, name in enumerate(FEATURE_NAMES[: -len(TEMPORAL)]):
            columns[j, start:stop] = found[name][start - reach :]
        np.take(_seasons(), (time[start:stop] // HOUR) % WEEK, axis=1, out=columns[-len(TEMPORAL) :, start:stop])
    columns[:, ~np.isfinite(grid.close)] = np.nan
    columns[:, : WARMUP - 1] = (
        np.nan
    )  # coverage would let a window begin before the first bar: not the same value later
    return FeatureTable(time, columns.T, grid.log_return)


def _grid(bars: Bars, first: int, n: int) -> _Grid:
    at = (bars.time - first) // HOUR

    def laid(column: Floats) -> Floats:
        out = np.full(n, np.nan)
        out[at] = column
        return out

    close = laid(bars.close)
    columns = (laid(bars.open), laid(bars.high), laid(bars.low), close, laid(bars.volume_base))
    return _Grid(*columns, vol.log_returns(close))


def _block(grid: _Grid, coverage: float) -> dict[str, Floats]:
    """Return all but the temporal features of one stretch by name; its first `REACH` rows lack some of their past."""
    series = _Series(grid, coverage)
    with np.errstate(invalid="ignore", divide="ignore"):
        return {**_price(series), **_volatility(series), **_momentum(series)}


def _damped(x: Floats) -> Floats:
    """Return ``x / sqrt(1 + |x|)``: linear near zero, a root far out, so that one large move does not rule a line."""
    return x / np.sqrt(1.0 + np.abs(x))


def _log_root(variance: Floats) -> Floats:
    """Return ln(sqrt(variance)), floored like `volatility.log_floor`."""
    return 0.5 * np.log(np.maximum(variance, vol.FLOOR**2))


def _price(series: _Series) -> dict[str, Floats]:
    """Return return and distances in units of the past week's volatility."""
    price, per_week = series.log_price, series.per_week
    out = {"return_24": _damped(series.returns.mean(24) * (np.sqrt(24.0) * per_week))}
    for window in (24, WEEK):
        distance = price - series.log_close.mean(window)
        out[f"sma_distance_{window}"] = _damped(distance * (per_week / np.sqrt(window)))
    fast, slow = (series.log_close.decayed_mean(1.0 - 2.0 / (span + 1.0), window=256) for span in (12, 26))
    out["macd_12_26"] = _damped((fast - slow) * (per_week / np.sqrt(26.0)))
    peak = window_max(np.where(np.isfinite(price), price, -np.inf), WEEK)
    out["drawdown_168"] = _damped((price - peak) * (per_week / np.sqrt(float(WEEK))))
    return out


def _volatility(series: _Series) -> dict[str, Floats]:
    """Return log volatilities over several windows, their spread, and those of the same hours in past weeks."""
    gk, squares = series.gk, series.squares
    out = {f"rv_{w}": _log_root(squares.mean(w)) for w in (6, 24, WEEK, 720)}
    out["ewma_94"] = _log_root(squares.decayed_mean(vol.EWMA_DECAY, window=vol.EWMA_WINDOW))
    out |= {f"gk_{w}": _log_root(gk.mean(w)) for w in (1, 3, 24, 336, 720)}
    out["gk_ewma_97"] = _log_root(gk.decayed_mean(0.97, window=256))
    ranges = series.trailing(vol.parkinson(series.grid.high, series.grid.low))
    out["parkinson_24"] = _log_root(ranges.mean(24))
    mean = np.maximum(series.trailing(np.sqrt(series.hourly_gk)).mean(24), vol.FLOOR)
    out["gk_cv_24"] = np.log1p(np.sqrt(np.maximum(gk.mean(24) - mean * mean, 0.0)) / mean)
    moves = np.abs(series.grid.log_return)
    largest = window_max(np.where(np.isfinite(moves), moves, 0.0), 24)
    out["largest_24"] = np.log(np.maximum(largest, vol.FLOOR) * series.per_week)
    for hours, stretch in ((6, _log_root(gk.mean(6))), (24, out["gk_24"])):
        out[f"gk_same_{hours}"] = _weeks_ago(stretch, hours)
    return out


def _weeks_ago(stretch: Floats, hours: int) -> Floats:
    """Return the mean, over the past four weeks, of a log volatility in what were then the coming `hours`."""
    total = np.zeros(len(stretch))
    for week in WEEKS_BACK:
        lag = WEEK * week - hours
        total[lag:] += stretch[: max(len(stretch) - lag, 0)]
        total[:lag] = np.nan
    return total / len(WEEKS_BACK)


def _momentum(series: _Series) -> dict[str, Floats]:
    """Return RSI, the size of recent moves, falls (which raise volatility more than rises do), and volume."""
    r, per_week = series.grid.log_return, series.per_week
    rises, falls = np.maximum(r, 0.0), np.minimum(r, 0.0)  # NaN stays NaN
    down = series.trailing(falls)
    gain, loss = series.trailing(rises).mean(14), -down.mean(14)
    out = {"rsi_14": np.where(gain + loss > 0, (gain - loss) / (gain + loss), 0.0 * gain)}
    for window in (3, 24):
        out[f"move_{window}"] = _damped(np.abs(series.returns.mean(window)) * (np.sqrt(float(window)) * per_week))
    out["downside_3"] = _damped(down.mean(3) * (np.sqrt(3.0) * per_week))
    usual = series.trailing(series.grid.volume).mean(720)
    ratio = np.log(np.maximum(series.grid.volume / usual, 1e-3))
    out["volume_1"] = np.where(usual > 0, ratio, 0.0 * usual)
    return out


@cache
def _seasons() -> Floats:
    """Return the harmonics of the hour of the day and of the week that *follows* each hour of the week, shape (10, 168).

    Column k belongs to bars whose open is k hours, modulo a week, after the unix epoch.
    """
    known_at = np.arange(WEEK) + 1
    columns = []
    for hours, harmonics in ((24, (1, 2)), (WEEK, (1, 2, 3))):
        phase = 2.0 * np.pi * (known_at % hours) / hours
        columns += [wave(k * phase) for k in harmonics for wave in (np.sin, np.cos)]
    return np.stack(columns)
