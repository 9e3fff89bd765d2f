"""Features with a leak planted in each of the classic ways, and bars with gaps to plant them in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from cryptovol import features
from cryptovol.bars import NUMBERS, PRICES, Bars, Floats, make
from cryptovol.features import FeatureTable
from cryptovol.testing import make_bars
from cryptovol.times import HOUR

COVERAGE = 0.75
Build = Callable[[Bars], FeatureTable]
N = 1400


def holed(n: int = N, *, seed: int = 5, gaps: tuple[tuple[int, int], ...] = ((900, 903), (1250, 1262))) -> Bars:
    """Return bars without the hours of some gaps."""
    missing = np.concatenate([np.arange(first, stop) for first, stop in gaps]) if gaps else np.empty(0, dtype=int)
    return make_bars(n, seed=seed).take(np.delete(np.arange(n), missing))


def honest(bars: Bars) -> FeatureTable:
    """Return the features as every stage builds them."""
    return features.build(bars, coverage=COVERAGE)


def _filled(column: Floats, *, back: bool) -> Floats:
    """Return a column whose NaN are the next number, or the last one."""
    there = np.isfinite(column)
    if not there.any():
        return column
    at, rows = np.flatnonzero(there), np.arange(len(column))
    places = np.searchsorted(at, rows) if back else np.searchsorted(at, rows, side="right") - 1
    inside = (places >= 0) & (places < len(at))
    return np.where(inside, column[at[np.clip(places, 0, len(at) - 1)]], np.nan)


def _with(table: FeatureTable, column: Floats) -> FeatureTable:
    """Return the table with another first feature, where the features are there at all."""
    values = table.values.copy()
    values[:, 0] = np.where(np.isfinite(values[:, 0]), column, np.nan)
    return replace(table, values=values)


def _ahead(column: Floats, hours: int) -> Floats:
    """Return the values that come `hours` later, and the last one where there are none, as careless code does."""
    return column[np.minimum(np.arange(len(column)) + hours, len(column) - 1)]


def _spread(column: Floats, *, before: int, after: int) -> Floats:
    """Return the root mean square of the hours from `before` to `after` a row, those that are there."""
    padded = np.r_[np.full(before, np.nan), column, np.full(after, np.nan)]
    stretches = np.lib.stride_tricks.sliding_window_view(padded, before + after + 1)
    there = np.isfinite(stretches)
    squares = np.where(there, stretches, 0.0) ** 2
    return np.asarray(np.sqrt(squares.sum(axis=1) / np.maximum(there.sum(axis=1), 1)))


def centred_window(bars: Bars) -> FeatureTable:
    """Smooth over 12 hours on either side."""
    table = honest(bars)
    return _with(table, _spread(table.log_return, before=12, after=12))


def next_hour(bars: Bars) -> FeatureTable:
    """Take the return of the hour that comes."""
    table = honest(bars)
    return _with(table, np.nan_to_num(_ahead(table.log_return, 1)))


def label_among_features(bars: Bars) -> FeatureTable:
    """Take the volatility of the next 24 hours as a feature."""
    table = honest(bars)
    return _with(table, _spread(_ahead(table.log_return, 24), before=23, after=0))


def next_range(bars: Bars) -> FeatureTable:
    """Take the coming bar's high over its low, and look at no price else."""
    table = honest(bars)
    span = np.full(len(table.time), 0.0)
    span[(bars.time - bars.time[0]) // HOUR] = np.log(bars.high / bars.low)
    return _with(table, _ahead(span, 1))


def next_volume(bars: Bars) -> FeatureTable:
    """Take the volume traded five hours later."""
    table = honest(bars)
    volume = np.full(len(table.time), 0.0)
    volume[(bars.time - bars.time[0]) // HOUR] = bars.volume_base
    return _with(table, _ahead(volume, 5))


def next_crash(bars: Bars) -> FeatureTable:
    """Tell whether the coming hour moves by more than 30 %, which hardly ever happens."""
    table = honest(bars)
    crash = np.abs(np.nan_to_num(_ahead(table.log_return, 1))) > 0.3
    return _with(table, crash.astype(np.float64))


def gaps_filled_backward(bars: Bars) -> FeatureTable:
    """Give hours without a bar the features of the next hour that has some."""
    table = honest(bars)
    return replace(table, values=np.column_stack([_filled(column, back=True) for column in table.values.T]))


def bars_filled_backward(bars: Bars) -> FeatureTable:
    """Put the next bar into each gap before the features are built."""
    time = np.arange(bars.time[0], bars.time[-1] + HOUR, HOUR)
    at = np.searchsorted(bars.time, time)
    columns = {name: getattr(bars, name)[at] for name in NUMBERS}
    prices = np.column_stack([columns[name] for name in PRICES])
    volumes = {name: columns[name] for name in ("volume_base", "volume_quote")}
    return honest(make(time, prices, **volumes, symbol="BTC", quote="USD", source="x", fetched_at=0))


def incomplete_filled_backward(bars: Bars) -> FeatureTable:
    """Give hours whose windows lack bars the features of a later hour, and leave hours without a bar alone."""
    table, filled = honest(bars), gaps_filled_backward(bars)
    there = np.isin(table.time, bars.time)
    there[: features.WARMUP - 1] = False
    return replace(table, values=np.where(there[:, None], filled.values, table.values))


def scaler_on_all_rows(bars: Bars) -> FeatureTable:
    """Standardise each feature by the mean and spread of the whole history."""
    table = honest(bars)
    whole = table.values[table.complete()]
    if not len(whole):
        return table
    return replace(table, values=(table.values - whole.mean(axis=0)) / (whole.std(axis=0) + 1e-9))


def scaler_on_rows_so_far(bars: Bars) -> FeatureTable:
    """Subtract from a feature its mean since the first bar: no future, yet another value for a shorter history."""
    table = honest(bars)
    there = np.isfinite(table.values[:, 0])
    so_far = np.cumsum(np.where(there, table.values[:, 0], 0.0)) / np.maximum(np.cumsum(there), 1)
    return _with(table, table.values[:, 0] - so_far)


def elapsed_hours(bars: Bars) -> FeatureTable:
    """Count the hours since the history began."""
    table = honest(bars)
    return _with(table, np.arange(len(table.time), dtype=np.float64))


def no_warm_up(bars: Bars) -> FeatureTable:
    """Give complete rows before the longest window is whole."""
    table = honest(bars)
    values = table.values.copy()
    values[300:] = np.where(np.isfinite(values[300:]), values[300:], 0.0)
    values[np.isin(table.time, bars.time, invert=True)] = np.nan
    return replace(table, values=values)


LEAKY: Mapping[str, Build] = {
    each.__name__: each
    for each in (
        centred_window, next_hour, label_among_features, next_range, next_volume, next_crash, gaps_filled_backward,
        bars_filled_backward, incomplete_filled_backward, scaler_on_all_rows, scaler_on_rows_so_far, elapsed_hours,
        no_warm_up,
    )
}  # fmt: skip
