"""Does anything know what it must not know? Audits that every run carries out on its own tables.

Tests show that the code does not leak; an audit shows that this run did not, whatever was changed since. Each recomputes
a few rows the slow and honest way, from nothing but the bars that were known, and asks for the same numbers without
tolerance. Kaufman et al. (2012), Leakage in Data Mining, name the rule: an input is legitimate if it was observable
when the forecast was due.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import numpy as np

from cryptovol.bars import PRICES, Bars, Floats, Ints, Mask, concat
from cryptovol.errors import LeakError
from cryptovol.features import WARMUP
from cryptovol.times import HOUR, format_instant
from cryptovol.volatility import FLOOR

SAMPLED = 3  # rows recomputed per run, beside the newest
AHEAD = 168  # hours after a row that are replaced by others: a week, further than any plausible look ahead


class Rows(Protocol):
    """What an audit needs of a feature table: hours, oldest first, and a row of values for each."""

    @property
    def time(self) -> Ints:
        """Unix seconds at which each grid hour opens, shape (n,)."""

    @property
    def values(self) -> Floats:
        """Features, shape (n, k), NaN where missing."""


Build = Callable[[Bars], Rows]


def sample(table: Rows, bars: Bars, *, digest: str) -> Ints:
    """Return the rows to audit, ascending: the newest complete one, those beside two gaps, and a few others.

    The gaps are the newest and the longest: where something is missing, something may have been filled in.

    Parameters
    ----------
    table
        The features of `bars`.
    digest
        Hexadecimal digest of the data: the same data are audited at the same rows, other data at others.
    """
    there = _there(table, bars)
    old_enough = there.copy()
    old_enough[: WARMUP - 1] = False
    rows = np.flatnonzero(old_enough)
    if not len(rows):
        return rows
    chosen = np.random.default_rng(int(digest[:16], 16)).choice(rows, min(SAMPLED, len(rows)), replace=False)
    complete = rows[np.isfinite(table.values[rows]).all(axis=1)]
    lengths = np.diff(rows)
    gaps = np.flatnonzero(lengths > 1)
    beside = np.r_[gaps[-1:], gaps[np.argmax(lengths[gaps])]] if len(gaps) else gaps
    return np.unique(np.concatenate([chosen, complete[-1:], rows[beside], rows[beside + 1]]))


def _there(table: Rows, bars: Bars) -> Mask:
    """Return which rows of the table have a bar, shape (n,)."""
    at = np.searchsorted(bars.time, table.time)
    return np.asarray(np.r_[bars.time, -1][at] == table.time)


def audit_features(build: Build, bars: Bars, table: Rows, rows: Ints) -> None:
    """Check that features know nothing of later bars, and nothing of bars before the longest window.

    At each row the features are built again, once from the `WARMUP` hours up to that row and nothing else, and once
    with every number of the week after it replaced. A centred window and a back-filled hour change in either; a scale
    taken over all rows, and a value that depends on where the history begins, change in the first.

    Parameters
    ----------
    build
        Features of bars, as `features.build` with its coverage.
    bars
        What the table was built from, oldest first.
    table
        The features to audit, on the hourly grid.
    rows
        Rows of the table that have a bar, from the warm-up on; see `sample`.

    Raises
    ------
    LeakError
        If a value differs, or a row has values although its hour has no bar or the longest window is not whole.
    """
    filled = np.isfinite(table.values).any(axis=1) & ~_there(table, bars)
    _refuse(table, np.flatnonzero(filled), "has features although no bar opened then: the gap was filled")
    early = np.flatnonzero(np.isfinite(table.values[: WARMUP - 1]).all(axis=1))
    _refuse(table, early, f"is complete with fewer than {WARMUP} hours before it: the value depends on the first bar")
    for row in rows.tolist():
        end = int(np.searchsorted(bars.time, table.time[row], side="right"))
        known = bars.take(slice(0, end)).last_hours(WARMUP)
        _compare(table, row, build(known), "from the bars up to it alone")
        stop = int(np.searchsorted(bars.time, table.time[row] + AHEAD * HOUR, side="right"))
        if stop > end:
            later = _replaced(bars.take(slice(end, stop)))
            _compare(table, row, build(concat([known, later])), "with the bars after it replaced")


def _refuse(table: Rows, rows: Ints, what: str) -> None:
    if len(rows):
        raise LeakError(f"features: {len(rows)} rows, first {format_instant(int(table.time[rows[0]]))}, {what}")


def _replaced(bars: Bars) -> Bars:
    """Return the same hours with other numbers: levels, returns, ranges and volumes all differ from hour to hour."""
    factor = np.where(np.arange(len(bars)) % 2, 5.0, 2.0)
    columns = {name: getattr(bars, name) * factor for name in PRICES}
    columns["high"], columns["low"] = columns["high"] * factor, columns["low"] / factor
    volumes = {name: getattr(bars, name) * factor + 1.0 for name in ("volume_base", "volume_quote")}
    return replace(bars, **columns, **volumes)


def _compare(table: Rows, row: int, again: Rows, how: str) -> None:
    """Raise `LeakError` unless the row's values are the same numbers, NaN for NaN, when built in another way."""
    at = int(np.searchsorted(again.time, table.time[row]))
    held, found = table.values[row], again.values[at]
    other = np.flatnonzero(~((held == found) | (np.isnan(held) & np.isnan(found))))
    if len(other):
        column = int(other[0])
        raise LeakError(
            f"features: {len(other)} of {len(held)} values at {format_instant(int(table.time[row]))} change when built "
            f"{how}, column {column} from {held[column]:.9g} to {found[column]:.9g}; a feature may only use the {WARMUP} "
            f"hours up to its own"
        )


def audit_target(time: Ints, log_return: Floats, target: Floats, *, horizon: int, coverage: float) -> None:
    """Check in every row that the target is the standard deviation of the next `horizon` returns and nothing else.

    Parameters
    ----------
    time, log_return, target
        Shape (n,), hourly grid, oldest first, NaN where missing; unix seconds, unitless, per hour.
    horizon
        Hours ahead.
    coverage
        Least share of those hours that must have a return.

    Raises
    ------
    LeakError
        If one of the newest `horizon` rows has a target, or a row has another than the plain formula gives. A label of
        the hours behind it, or of a stretch that begins at its own hour, is told so.
    """
    early = np.flatnonzero(np.isfinite(target[max(len(target) - horizon, 0) :]))
    if len(early):
        raise LeakError(
            f"target_{horizon}: {len(early)} of the newest {horizon} rows have a target, but its hours are yet to come"
        )
    if len(target) <= horizon:
        return
    plain = _deviation(log_return, horizon, coverage)  # row i: returns i .. i + horizon - 1
    differing = _differing(target[:-horizon], plain[1:])
    if differing.any():
        wrong = int(np.argmax(differing))
        raise LeakError(
            f"target_{horizon}: at {format_instant(int(time[wrong]))} it is {target[wrong]:.9g}, the standard deviation "
            f"of the returns of the next {horizon} hours is {plain[wrong + 1]:.9g}{_overlap(target, plain, horizon)}"
        )


def _deviation(log_return: Floats, horizon: int, coverage: float) -> Floats:
    """Return the sample standard deviation of each stretch of `horizon` returns, shape (n - horizon + 1,)."""
    stretches = np.lib.stride_tricks.sliding_window_view(log_return, horizon)
    there = np.isfinite(stretches)
    count = there.sum(axis=1)
    enough = count >= max(2, math.ceil(coverage * horizon))
    count = np.where(enough, count, 2)
    mean = np.where(there, stretches, 0.0).sum(axis=1) / count
    squares = np.where(there, stretches - mean[:, None], 0.0) ** 2
    return np.where(enough, np.sqrt(squares.sum(axis=1) / (count - 1)), np.nan)


def _differing(got: Floats, wanted: Floats) -> Mask:
    """Return where two volatilities differ by more than rounding, which is far below `volatility.FLOOR`."""
    close = np.isclose(got, wanted, rtol=1e-6, atol=FLOOR / 10, equal_nan=True)
    return np.asarray(~close)


def _overlap(target: Floats, plain: Floats, horizon: int) -> str:
    """Return what the target is instead, if it is one of the usual mistakes."""
    mistakes = {
        "it begins with the row's own hour, which is known": target[: len(plain)],
        "it is that of the past hours, which the features hold": target[horizon - 1 :],
    }
    for told, found in mistakes.items():
        known = np.isfinite(found)
        if known.any() and not _differing(found[known], plain[known]).any():
            return f"; {told}"
    return ""


def suspicious(r2_log: float, *, horizon: int, limit: float) -> str:
    """Return why a score is too good to be believed, or an empty text.

    Parameters
    ----------
    r2_log
        R² of the out-of-sample forecasts on logarithms, see `scores.summary`.
    horizon
        Hours ahead.
    limit
        Above what any honest model has shown at this horizon; ``promotion.suspect_r2_log`` in `params.yaml`. A score
        that is no number is suspicious, too.
    """
    if r2_log <= limit:
        return ""
    return f"suspiciously good: look for a leak first (R² on the log at {horizon} h is {r2_log:.3f}, limit {limit:g})"
