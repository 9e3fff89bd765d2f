"""The 36 features: causal, free of price level, one implementation for training, serving and drift.

Row t uses bars up to and including the bar that opens at t, known at ``t + 3600``. Levels of volatility enter as
logarithms; returns and distances enter in units of the past week's volatility, so that a doubled price or a
calmer year changes nothing but the logarithms. Windows are in hours.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from cryptovol import volatility as vol
from cryptovol.bars import PRICES, Bars, Floats, Ints, Mask
from cryptovol.errors import BarSchemaError
from cryptovol.times import HOUR
from cryptovol.windows import Presence, Trailing, window_max

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
BLOCK = 15_600  # rows computed at once; a column of them and their lead is under malloc's mmap threshold of 128 KiB
LEAD = REACH - 1  # hours computed before a block for the sake of its first row
WEEKS_BACK = (1, 2, 3, 4)  # of the same hours, looked up in the past


@dataclass(frozen=True, eq=False)
class FeatureTable:
    """Features on the hourly grid, oldest first.

    Parameters
    ----------
    time
        Shape (n,), unix seconds at which each grid hour opens; missing hours have a row too.
    values
        Shape (n, 36), columns contiguous, in the order of `FEATURE_NAMES`; NaN where a window lacks bars and in
        hours without one.
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
class _Block:
    """One stretch of the hourly grid, NaN where an hour has no bar; its first `LEAD` hours lack some of their past.

    `out` holds, per feature, where the values of the hours after the lead belong.
    """

    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    log_return: Floats
    coverage: float
    out: dict[str, Floats]
    known: list[Presence] = field(default_factory=list, init=False)

    def trailing(self, x: Floats) -> Trailing:
        return Trailing(x, coverage=self.coverage, known=self.known)


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
    hours = bars.time // HOUR
    if np.any(hours * HOUR != bars.time) or np.any(hours[1:] <= hours[:-1]):
        raise BarSchemaError("features need bars on full hours, sorted and unique in time; pass them through the gate")
    first = int(hours[0]) if len(bars) else 0
    n = int(hours[-1]) - first + 1 if len(bars) else 0
    grid, columns = _grid(bars, hours - first, n), np.empty((len(FEATURE_NAMES), n))
    columns[:, : WARMUP - 1] = np.nan  # coverage would let a window begin before the first bar: another value later
    for start in range(WARMUP - 1, n, BLOCK):
        stop = min(start + BLOCK, n)
        out = {name: columns[j, start:stop] for j, name in enumerate(FEATURE_NAMES)}
        own = {name: column[start - LEAD : stop] for name, column in grid.items()}
        _write(_Block(**own, coverage=coverage, out=out))
    _temporal(columns[-len(TEMPORAL) :, WARMUP - 1 :], first + WARMUP - 1)
    columns[:, np.flatnonzero(~np.isfinite(grid["close"]))] = np.nan
    return FeatureTable(HOUR * (first + np.arange(n, dtype=np.int64)), columns.T, grid["log_return"])


def _grid(bars: Bars, at: Ints, n: int) -> dict[str, Floats]:
    """Return the columns of a block, laid on every hour from the first bar to the last."""

    def laid(column: Floats) -> Floats:
        if len(column) == n:
            return column
        out = np.full(n, np.nan)
        out[at] = column
        return out

    grid = {name: laid(getattr(bars, name)) for name in PRICES}
    return {**grid, "volume": laid(bars.volume_base), "log_return": vol.log_returns(grid["close"])}


def _write(block: _Block) -> None:
    """Write all but the temporal features, one series after the other: what one leaves in the cache, the next reuses."""
    with np.errstate(invalid="ignore", divide="ignore"):
        per_week = _of_squares(block)
        _of_returns(block, per_week)
        _of_closes(block, per_week)
        _of_ranges(block)
        _of_volumes(block)


def _own(x: Floats) -> Floats:
    """Return the hours after the lead."""
    return x[LEAD:]


def _damped(x: Floats, out: Floats) -> None:
    """Write ``x / sqrt(1 + |x|)``: linear near zero, a root far out, so that one large move does not rule a line."""
    scale = np.abs(x)
    scale += 1.0
    np.sqrt(scale, out=scale)
    np.divide(x, scale, out=out)


def _log_root(variance: Floats, out: Floats) -> None:
    """Write ln(sqrt(variance)), floored like `volatility.log_floor`."""
    np.maximum(variance, vol.FLOOR**2, out=out)
    np.log(out, out=out)
    out *= 0.5


def _of_squares(block: _Block) -> Floats:
    """Write log volatilities of squared returns; return one over the past week's volatility per hour, after the lead."""
    squares = block.trailing(block.log_return * block.log_return)
    for window in (6, 24, WEEK, 720):
        _log_root(_own(squares.mean(window)), block.out[f"rv_{window}"])
    _log_root(_own(squares.decayed_mean(vol.EWMA_DECAY, window=vol.EWMA_WINDOW)), block.out["ewma_94"])
    return 1.0 / np.maximum(np.sqrt(_own(squares.mean(WEEK))), vol.FLOOR)


def _of_returns(block: _Block, per_week: Floats) -> None:
    """Write the recent returns, their sizes, RSI and falls (which raise volatility more than rises do)."""
    out, returns = block.out, block.trailing(block.log_return)
    moves = block.trailing(np.abs(block.log_return))
    _damped(_own(returns.mean(24)) * (np.sqrt(24.0) * per_week), out["return_24"])
    np.abs(out["return_24"], out=out["move_24"])
    _damped(np.abs(_own(returns.mean(3))) * (np.sqrt(3.0) * per_week), out["move_3"])
    # Half of what returns lack to their sizes is the falls; summed in the same order, so that without a fall it is zero.
    falls = 0.5 * (_own(returns.mean(3)) - _own(moves.mean(3)))
    _damped(falls * (np.sqrt(3.0) * per_week), out["downside_3"])
    np.divide(_own(returns.mean(14)), _own(moves.mean(14)), out=out["rsi_14"])
    out["rsi_14"][_own(moves.mean(14)) == 0] = 0.0
    largest = _own(window_max(moves.filled, 24))
    np.log(np.maximum(largest, vol.FLOOR) * per_week, out=out["largest_24"])


def _of_closes(block: _Block, per_week: Floats) -> None:
    """Write distances from averages and from the peak in units of the past week's volatility."""
    out, price = block.out, np.log(block.close)
    trailing, now = block.trailing(price), _own(price)
    for window in (24, WEEK):
        _damped((now - _own(trailing.mean(window))) * (per_week / np.sqrt(window)), out[f"sma_distance_{window}"])
    fast, slow = (_own(trailing.decayed_mean(1.0 - 2.0 / (span + 1.0), window=256)) for span in (12, 26))
    _damped((fast - slow) * (per_week / np.sqrt(26.0)), out["macd_12_26"])
    peak = _own(window_max(price if trailing.whole else np.where(np.isfinite(price), price, -np.inf), WEEK))
    _damped((now - peak) * (per_week / np.sqrt(float(WEEK))), out["drawdown_168"])


def _of_ranges(block: _Block) -> None:
    """Write log volatilities of each hour's range, their spread, and those of the same hours in past weeks."""
    out = block.out
    hourly = vol.garman_klass(block.open, block.high, block.low, block.close)
    gk = block.trailing(hourly)
    for window in (1, 3, 336, 720):
        _log_root(_own(gk.mean(window)), out[f"gk_{window}"])
    _log_root(_own(gk.decayed_mean(0.97, window=256)), out["gk_ewma_97"])
    for hours in (6, 24):
        _log_root(gk.mean(hours), stretch := np.empty_like(hourly))
        _weeks_ago(stretch, hours, out[f"gk_same_{hours}"])
    out["gk_24"][:] = _own(stretch)
    mean = np.maximum(_own(block.trailing(np.sqrt(hourly)).mean(24)), vol.FLOOR)
    spread = np.sqrt(np.maximum(_own(gk.mean(24)) - mean * mean, 0.0))
    np.log1p(spread / mean, out=out["gk_cv_24"])
    _log_root(_own(block.trailing(vol.parkinson(block.high, block.low)).mean(24)), out["parkinson_24"])


def _weeks_ago(stretch: Floats, hours: int, out: Floats) -> None:
    """Write the mean, over those of the past four weeks that have one, of a log volatility in the coming `hours`."""
    past = [stretch[LEAD - lag : len(stretch) - lag] for lag in (WEEK * week - hours for week in WEEKS_BACK)]
    out[:] = sum(past) / len(past)
    if np.isnan(out).any():
        # Zeros in the same order: a week that lacks hours changes no bit of the rows that have all four.
        known = sum(np.isfinite(each).astype(np.float64) for each in past)
        out[:] = sum(np.where(np.isfinite(each), each, 0.0) for each in past) / known


def _of_volumes(block: _Block) -> None:
    """Write the volume as a multiple of the past month's mean, on a log scale."""
    usual, out = _own(block.trailing(block.volume).mean(720)), block.out["volume_1"]
    np.divide(_own(block.volume), usual, out=out)
    np.maximum(out, 1e-3, out=out)
    np.log(out, out=out)
    out[usual == 0] = 0.0


def _temporal(out: Floats, first: int) -> None:
    """Write the harmonics of the hour of the day and of the week that follows each of consecutive hours.

    The first of them opens `first` hours after the unix epoch; a week of waves is worked out and repeated.
    """
    known_at, waves = np.arange(WEEK) + 1, []
    for hours, harmonics in ((24, (1, 2)), (WEEK, (1, 2, 3))):
        phase = 2.0 * np.pi * (known_at % hours) / hours
        waves += [wave(k * phase) for k in harmonics for wave in (np.sin, np.cos)]
    week, n = np.roll(np.stack(waves), -(first % WEEK), axis=1), out.shape[1]
    whole = n - n % WEEK
    out[:, :whole].reshape(len(week), -1, WEEK)[:] = week[:, None, :]
    out[:, whole:] = week[:, : n - whole]
