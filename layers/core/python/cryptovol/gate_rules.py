"""The gate's rules, in the order in which they run. Each takes a batch, may quarantine rows, and returns a finding."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cryptovol.bars import NUMBERS, PRICES, Bars, Floats, Ints, Mask
from cryptovol.gate_batch import SHOWN, Batch, Finding, instant, numbers
from cryptovol.times import HOUR


def foreign(batch: Batch) -> Finding:
    """Take out rows of another symbol or quote currency."""
    bars = batch.bars
    bad = np.flatnonzero((bars.symbol != batch.symbol) | (bars.quote != batch.quote))

    def value(i: int) -> str:
        return f"{bars.symbol[i]}/{bars.quote[i]}"

    return batch.take_out("foreign", bad, limit=batch.params.foreign_rows, unit="rows", value=value)


def schema(batch: Batch) -> Finding:
    """Take out rows whose time is not the start of an hour; names and types are the bar's own."""
    left, time = batch.left(), batch.bars.time
    bad = left[(time[left] % HOUR != 0) | (time[left] <= 0)]
    return batch.take_out("schema", bad, limit=0, unit="rows", value=lambda i: f"time {time[i]} is not on the hour")


def future(batch: Batch) -> Finding:
    """Take out bars that had not closed at `as_of`."""
    left, time = batch.left(), batch.bars.time
    bad = left[time[left] + HOUR > batch.as_of]
    limit = batch.params.future_rows
    return batch.take_out("future", bad, limit=limit, unit="rows", value=lambda i: f"closes {instant(time[i] + HOUR)}")


def disorder(batch: Batch) -> Finding:
    """Take out rows that are older than one before them."""
    left = batch.left()
    time = batch.bars.time[left]
    bad = left[time < np.maximum.accumulate(time)] if len(left) else left
    limit = batch.params.disorder_rows
    return batch.take_out("disorder", bad, limit=limit, unit="rows", value=lambda i: "stands after a newer row")


def duplicates(batch: Batch) -> Finding:
    """Take out rows whose time comes again later: of several, the last one counts."""
    left = batch.left()
    _, last = np.unique(batch.bars.time[left][::-1], return_index=True)
    bad = np.delete(left, len(left) - 1 - last)
    limit = batch.params.duplicate_share
    return batch.take_out("duplicates", bad, limit=limit, unit="share", value=lambda i: "the same hour comes again")


def nulls(batch: Batch) -> Finding:
    """Take out rows with a number missing or infinite; the limit holds for each column, and is itself too much."""
    left = batch.left()
    table = ~np.isfinite(numbers(batch.bars))
    ungiven = _ungiven(batch.bars.take(left), table[left, -1], least=batch.params.ungiven_hours)
    table[left[ungiven], -1] = False
    per_column = table[left].sum(axis=0)
    bad = left[table[left].any(axis=1)]
    measured = batch.share(int(per_column.max(initial=0)))
    notes = [f"{name} {count}" for name, count in zip(NUMBERS, per_column, strict=True) if count]
    if ungiven.any():
        notes.append(f"volume_quote not given by the source in {ungiven.sum()} rows, which is allowed")

    def value(i: int) -> str:
        return "no " + ", ".join(name for name, null in zip(NUMBERS, table[i], strict=True) if null)

    limit = batch.params.null_share
    return batch.take_out(
        "nulls", bad, limit=limit, unit="share", value=value, measured=measured, note="; ".join(notes),
        passed=not len(bad) or measured < limit,
    )  # fmt: skip


def _ungiven(bars: Bars, null: Mask, *, least: int) -> Mask:
    """Return the rows in which a source gives no quote volume at all: all its rows, or a first or last run of `least`."""
    rows = np.zeros(len(bars), dtype=bool)
    for source in np.unique(bars.source):
        own = np.flatnonzero(bars.source == source)
        given = np.flatnonzero(~null[own])
        if not len(given):
            rows[own] = True
            continue
        if given[0] >= least:
            rows[own[: given[0]]] = True
        if len(own) - 1 - given[-1] >= least:
            rows[own[given[-1] + 1 :]] = True
    return rows


def ranges(batch: Batch) -> Finding:
    """Take out rows with a price not above 0, open or close outside [low, high], or a volume below 0."""
    bars, left = batch.bars, batch.left()
    table = numbers(bars)[left]
    opened, high, low, close = (table[:, i] for i in range(4))
    wrong = (table[:, :4] <= 0).any(axis=1) | (high < np.maximum(opened, close)) | (low > np.minimum(opened, close))
    wrong |= (table[:, 4:] < 0).any(axis=1)  # a comparison with NaN is false: quote volume may be absent

    def value(i: int) -> str:
        prices = " ".join(f"{name} {getattr(bars, name)[i]:.10g}" for name in PRICES)
        return f"{prices} volume {bars.volume_base[i]:.10g}"

    return batch.take_out("range", left[wrong], limit=batch.params.range_share, unit="share", value=value)


def log_returns(batch: Batch) -> Finding:
    """Take out rows whose price moves too far: from open to close, or from the last close left.

    Over a gap of k hours the limit grows with the square root of k. A single wrong tick makes two large moves, there
    and back; only the tick is taken out.
    """
    left, limit = batch.left(), batch.params.log_return_limit
    time, close = batch.bars.time[left], np.log(batch.bars.close[left])
    moves = np.diff(close)
    reach = limit * np.sqrt(np.maximum(1, np.diff(time) // HOUR))
    large = np.r_[False, np.abs(moves) > reach][: len(left)]
    back = _way_back(close, large, limit)
    within = np.abs(close - np.log(batch.bars.open[left])) > limit
    bad = left[(large & ~back) | within]
    size = dict(zip(left.tolist(), np.r_[0.0, moves].tolist(), strict=False))

    def value(i: int) -> str:
        return f"log return {size[i]:+.3f}, open {batch.bars.open[i]:.10g} close {batch.bars.close[i]:.10g}"

    return batch.take_out("log_return", bad, limit=batch.params.range_share, unit="share", value=value)


def _way_back(close: Floats, large: Mask, limit: float) -> Mask:
    """Return the rows whose large move only undoes the one before; `close` is logarithmic."""
    back = np.zeros(len(close), dtype=bool)
    back[2:] = large[2:] & large[1:-1] & (np.abs(close[2:] - close[:-2]) <= limit)
    # In a row of moves to and fro only every other one is a way back.
    for place in np.flatnonzero(back).tolist():
        back[place] = not back[place - 1]
    return back


def zero_volume(batch: Batch) -> Finding:
    """Take out hours without a trade: an exchange's outage is a gap, not a calm hour."""
    left = batch.left()
    bad = left[batch.bars.volume_base[left] == 0]
    limit = batch.params.zero_volume_share
    return batch.take_out("zero_volume", bad, limit=limit, unit="share", value=lambda i: "no trade in this hour")


def frozen(batch: Batch) -> Finding:
    """Measure the longest run of unchanged closes among traded hours."""
    left, limit = batch.left(), batch.params.frozen_hours
    close = batch.bars.close[left]
    edges = np.flatnonzero(np.r_[True, close[1:] != close[:-1], True]) if len(left) else np.zeros(1, dtype=np.intp)
    lengths = np.diff(edges)
    longest = int(lengths.max(initial=0))
    long = lengths > limit
    starts, runs = left[edges[:-1][long]], lengths[long]
    offenders = [
        (instant(batch.bars.time[at]), f"{n} h at {batch.bars.close[at]:.10g}")
        for at, n in zip(starts[:SHOWN], runs[:SHOWN], strict=True)
    ]
    found = int(runs.sum())
    return batch.finding("frozen", found, limit=limit, unit="hours", measured=longest, offenders=offenders)


def gaps(batch: Batch) -> Finding:
    """Measure the share of hours between the first and the last row that have none."""
    starts, missing = _gaps(batch)
    lost, span = int(missing.sum()), _span(batch)
    offenders = [(instant(t + HOUR), f"{n} h missing") for t, n in zip(starts[:SHOWN], missing[:SHOWN], strict=True)]
    note = f"{len(missing)} gaps in {span} hours" if lost else ""
    measured = lost / span if span else 0.0
    limit = batch.params.gap_share
    return batch.finding("gaps", lost, limit=limit, unit="share", measured=measured, offenders=offenders, note=note)


def longest_gap(batch: Batch) -> Finding:
    """Measure the longest run of missing hours."""
    starts, missing = _gaps(batch)
    limit = batch.params.longest_gap_hours
    long = missing > limit
    offenders = [
        (instant(t + HOUR), f"{n} h missing") for t, n in zip(starts[long][:SHOWN], missing[long][:SHOWN], strict=True)
    ]
    longest, found = int(np.max(missing, initial=0)), int(missing[long].sum())
    return batch.finding("longest_gap", found, limit=limit, unit="hours", measured=longest, offenders=offenders)


def freshness(batch: Batch) -> Finding:
    """Measure how long before `as_of` the newest bar left had closed."""
    left, limit = batch.left(), batch.params.freshness_hours
    if not len(left):
        return batch.finding("freshness", 0, limit=limit, unit="hours", measured=None, note="no bar is left")
    newest = int(np.max(batch.bars.time[left]))
    age = (batch.as_of - newest - HOUR) / HOUR
    late = [(instant(newest), f"closed {age:g} h before {instant(batch.as_of)}")] if age > limit else []
    found = int(np.ceil(age)) if late else 0
    return batch.finding("freshness", found, limit=limit, unit="hours", measured=age, offenders=late)


def _known_hours(batch: Batch) -> Ints:
    """Return the hours of the pair that came with a row, good or bad, sorted: a bad row is not a missing one."""
    rule = batch.rule_of
    return np.unique(batch.bars.time[(rule != "foreign") & (rule != "schema") & (rule != "future")])


def _gaps(batch: Batch) -> tuple[Ints, Ints]:
    """Return, for every gap, the time of the bar before it and the number of hours missing."""
    time = _known_hours(batch)
    missing = np.diff(time) // HOUR - 1
    return time[:-1][missing > 0], missing[missing > 0]


def _span(batch: Batch) -> int:
    """Return the hours from the first to the last row."""
    time = _known_hours(batch)
    return int(time[-1] - time[0]) // HOUR + 1 if len(time) else 0


RULES: tuple[Callable[[Batch], Finding], ...] = (
    foreign, schema, future, disorder, duplicates, nulls, ranges, log_returns, zero_volume, frozen, gaps, longest_gap,
    freshness,
)  # fmt: skip
