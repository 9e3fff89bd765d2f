"""Rules that judge a row by itself, or by the rows of the same hour."""

from __future__ import annotations

import numpy as np

from cryptovol.bars import NUMBERS, PRICES, Mask, Texts
from cryptovol.gate.batch import CALENDAR_END, Batch, Finding, instant, names_in, numbers
from cryptovol.times import HOUR


def foreign(batch: Batch) -> Finding:
    """Take out rows of another symbol, or of a quote currency that neither is the pair's nor stands in for it."""
    bars = batch.bars
    known = np.zeros(len(bars), dtype=bool)
    for quote in batch.quotes:
        known |= bars.quote == quote
    bad = np.flatnonzero((bars.symbol != batch.symbol) | ~known)

    def value(i: int) -> str:
        return f"{bars.symbol[i]}/{bars.quote[i]}"

    return batch.take_out("foreign", bad, limit=batch.params.foreign_rows, unit="rows", value=value)


def schema(batch: Batch) -> Finding:
    """Take out rows whose time is not the start of an hour of any calendar; names and types are the bar's own."""
    left, time = batch.left(), batch.bars.time
    own = time[left]
    bad = left[(own % HOUR != 0) | (own <= 0) | (own >= CALENDAR_END)]
    return batch.take_out("schema", bad, limit=0, unit="rows", value=lambda i: f"time {time[i]} opens no hour")


def unfinished(batch: Batch) -> Finding:
    """Take out rows that were read from their source before their hour had ended: their numbers are not final."""
    left, bars = batch.left(), batch.bars
    bad = left[bars.fetched_at[left] < bars.time[left] + HOUR]
    limit = batch.params.unfinished_rows
    return batch.take_out(
        "unfinished", bad, limit=limit, unit="rows", value=lambda i: f"read at {instant(bars.fetched_at[i])}"
    )


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
    bad = left[time < np.maximum.accumulate(time)]
    limit = batch.params.disorder_rows
    return batch.take_out("disorder", bad, limit=limit, unit="rows", value=lambda i: "stands after a newer row")


def duplicates(batch: Batch) -> Finding:
    """Take out rows whose time comes again in the next row: of several, the last one counts."""
    left = batch.left()
    time = batch.bars.time[left]
    bad = left[:-1][time[1:] == time[:-1]]
    limit = batch.params.duplicate_share
    return batch.take_out("duplicates", bad, limit=limit, unit="share", value=lambda i: "the same hour comes again")


def nulls(batch: Batch) -> Finding:
    """Take out rows with a number missing or infinite; the limit holds for each column, and is itself too much."""
    left, bars = batch.left(), batch.bars
    table = ~np.isfinite(numbers(bars))
    ungiven = _ungiven(bars.source[left], table[-1, left], least=batch.params.ungiven_hours)
    table[-1, left[ungiven]] = False
    per_column = table[:, left].sum(axis=1)
    bad = left[table[:, left].any(axis=0)]
    measured = batch.share(int(per_column.max(initial=0)))
    notes = [f"{name} {count}" for name, count in zip(NUMBERS, per_column, strict=True) if count]
    if ungiven.any():
        notes.append(f"volume_quote not given by the source in {ungiven.sum()} rows, which is allowed")

    def value(i: int) -> str:
        return "no " + ", ".join(name for name, null in zip(NUMBERS, table[:, i], strict=True) if null)

    limit = batch.params.null_share
    return batch.take_out(
        "nulls", bad, limit=limit, unit="share", value=value, measured=measured, note="; ".join(notes),
        passed=not len(bad) or measured < limit,
    )  # fmt: skip


def _ungiven(source: Texts, null: Mask, *, least: int) -> Mask:
    """Return the rows in which a source gives no quote volume at all: all its rows, or a first or last run of `least`."""
    rows = np.zeros(len(source), dtype=bool)
    for name in names_in(source) if null.any() else ():
        own = np.flatnonzero(source == name)
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
    table = numbers(bars)[:, left]
    opened, high, low, close = table[:4]
    wrong = (table[:4] <= 0).any(axis=0) | (high < np.maximum(opened, close)) | (low > np.minimum(opened, close))
    wrong |= (table[4:] < 0).any(axis=0)  # a comparison with NaN is false: quote volume may be absent

    def value(i: int) -> str:
        prices = " ".join(f"{name} {getattr(bars, name)[i]:.10g}" for name in PRICES)
        return f"{prices} volume {bars.volume_base[i]:.10g}"

    return batch.take_out("range", left[wrong], limit=batch.params.range_share, unit="share", value=value)


def zero_volume(batch: Batch) -> Finding:
    """Take out hours without a trade: an exchange's outage is a gap, not a calm hour."""
    left = batch.left()
    bad = left[batch.bars.volume_base[left] == 0]
    limit = batch.params.zero_volume_share
    return batch.take_out("zero_volume", bad, limit=limit, unit="share", value=lambda i: "no trade in this hour")
