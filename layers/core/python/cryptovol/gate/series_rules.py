"""Rules that judge a row by the rows around it in time."""

from __future__ import annotations

import numpy as np

from cryptovol.gate.batch import Batch, Finding
from cryptovol.gate.levels import strays
from cryptovol.gate.medians import above_median
from cryptovol.times import HOUR

# The median absolute value of a normal variable times this is its standard deviation.
NORMAL = 1.4826


def log_returns(batch: Batch) -> Finding:
    """Take out rows whose price moves too far within the hour, or that stand at a level the price did not have.

    See `levels.strays`. A move within the hour that leads to a level that lasted is the jump itself, so the
    next row is not taken out for it.
    """
    left, bars, params = batch.left(), batch.bars, batch.params
    limit, close = params.log_return_limit, np.log(bars.close[left])
    moved = close - np.log(bars.open[left])
    wild = np.abs(moved) > limit
    calm = np.flatnonzero(~wild)
    found = strays(bars.time[left[calm]], close[calm], limit=limit, settle_hours=params.settle_hours)
    after_wild = np.r_[False, wild[:-1]][calm] if len(left) else wild
    bad = wild.copy()
    bad[calm[found.level | (found.jump & ~after_wild)]] = True
    moves = np.where(wild, moved, np.diff(close, prepend=close[:1]))
    lost = left[calm[found.level]]
    note = f"{len(lost)} {'row' if len(lost) == 1 else 'rows'} at a price that did not last" if len(lost) else ""

    def value(i: int) -> str:
        what = "a price that did not last" if i in lost else f"log return {moves[np.searchsorted(left, i)]:+.3f}"
        return f"{what}, open {bars.open[i]:.10g} close {bars.close[i]:.10g}"

    return batch.take_out("log_return", left[bad], limit=params.range_share, unit="share", value=value, note=note)


def outlier_returns(batch: Batch) -> Finding:
    """Count the hourly log returns that are far beyond the robust scale of the hours before them.

    They stay in: a crash is real, and what makes it one is what the model has to learn.
    """
    left, bars, params = batch.left(), batch.bars, batch.params
    hourly = np.flatnonzero(np.diff(bars.time[left]) == HOUR) + 1
    moves = np.diff(np.log(bars.close[left]))[hourly - 1]
    at, ratios = above_median(np.abs(moves), times=params.outlier_scales * NORMAL, window=params.outlier_hours)
    rows = left[hourly[at]]
    text = {
        int(i): f"log return {move:+.4f} is {ratio / NORMAL:.1f} robust scales"
        for i, move, ratio in zip(rows, moves[at], ratios, strict=True)
    }
    return batch.count("outlier_return", rows, limit=params.outlier_share, unit="share", value=lambda i: text[i])


def outlier_volumes(batch: Batch) -> Finding:
    """Count the volumes that are a large multiple of the median of the hours before them; they stay in."""
    left, bars, params = batch.left(), batch.bars, batch.params
    at, ratios = above_median(bars.volume_base[left], times=params.volume_times, window=params.outlier_hours)
    rows = left[at]
    text = {
        int(i): f"{bars.volume_base[i]:.10g} is {ratio:.1f} times the median"
        for i, ratio in zip(rows, ratios, strict=True)
    }
    return batch.count("outlier_volume", rows, limit=params.volume_share, unit="share", value=lambda i: text[i])
