"""Rules about the batch as a whole: they quarantine nothing."""

from __future__ import annotations

import numpy as np

from cryptovol.bars import Bars, Ints
from cryptovol.gate.batch import CALENDAR_END, SHOWN, Batch, Finding, Places, instant, names_in
from cryptovol.rawbars import is_repair, venue
from cryptovol.times import HOUR


def repaired(batch: Batch) -> Finding:
    """Count the hours taken from a second source because the first had none."""
    left, source = batch.left(), batch.bars.source
    rows = left[is_repair(source[left])]
    limit = batch.params.repaired_share
    return batch.count("repaired", rows, limit=limit, unit="share", value=lambda i: f"from {source[i]}")


def disagreement(batch: Batch) -> Finding:
    """Measure in what share of the hours that both have two sources' closes differ too much.

    Nothing is taken out, because one cannot tell which of the two is right. Without a second source the rule passes.
    """
    params = batch.params
    rows, theirs = _compared(batch)
    apart = np.abs(np.log(batch.bars.close[rows]) - np.log(theirs.close)) > params.disagreement
    if not len(rows):
        note = "no second source" if batch.witness is None else "the second source has none of these hours"
        return batch.finding(
            "disagreement", 0, limit=params.disagreement_share, unit="share", measured=None, passed=True, note=note
        )

    def value(i: int) -> str:
        other = np.searchsorted(rows, i)
        return f"close {batch.bars.close[i]:.10g}, {theirs.source[other]} says {theirs.close[other]:.10g}"

    return batch.count(
        "disagreement", rows[apart], limit=params.disagreement_share, unit="share", value=value,
        measured=float(apart.mean()), note=f"{len(rows)} hours compared",
    )  # fmt: skip


def _compared(batch: Batch) -> tuple[Places, Bars]:
    """Return the places, ascending, of the rows that the witness has in the same quote, and its rows of these hours.

    Hours that both took from one venue are left out.
    """
    left, bars, witness = batch.left(), batch.bars, batch.witness
    if witness is None:
        return left[:0], bars.take(slice(0, 0))
    sound = _sound(batch, witness)
    places, rows = [left[:0]], [sound[:0]]
    for quote in names_in(witness.quote[sound]):
        own, theirs = left[bars.quote[left] == quote], sound[witness.quote[sound] == quote][::-1]
        _, mine, other = np.intersect1d(bars.time[own], witness.time[theirs], return_indices=True)
        places.append(own[mine])
        rows.append(theirs[other])
    found, others = np.concatenate(places), np.concatenate(rows)
    # After a handover part of the hours may come from the witness's own venue: they would agree with themselves.
    apart = venue(bars.source[found]) != venue(witness.source[others])
    order = np.flatnonzero(apart)[np.argsort(found[apart], kind="stable")]
    return found[order], witness.take(others[order])


def _sound(batch: Batch, witness: Bars) -> Places:
    """Return the places of the rows of a witness that can be compared: of the symbol, finished, with a price."""
    priced = (witness.symbol == batch.symbol) & np.isfinite(witness.close) & (witness.close > 0)
    known = (witness.time > 0) & (witness.time < CALENDAR_END) & (witness.fetched_at >= witness.time + HOUR)
    return np.flatnonzero(priced & known)


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
    lost, hours = int(missing.sum()), batch.hours
    span = int(hours[-1] - hours[0]) // HOUR + 1 if len(hours) else 0
    note = f"{len(missing)} {'gap' if len(missing) == 1 else 'gaps'} in {span} hours" if lost else ""
    measured = lost / span if span else 0.0
    limit, offenders = batch.params.gap_share, _missing(starts, missing)
    return batch.finding("gaps", lost, limit=limit, unit="share", measured=measured, offenders=offenders, note=note)


def longest_gap(batch: Batch) -> Finding:
    """Measure the longest run of missing hours."""
    starts, missing = _gaps(batch)
    limit = batch.params.longest_gap_hours
    long = missing > limit
    longest, found = int(np.max(missing, initial=0)), int(missing[long].sum())
    offenders = _missing(starts[long], missing[long])
    return batch.finding("longest_gap", found, limit=limit, unit="hours", measured=longest, offenders=offenders)


def _gaps(batch: Batch) -> tuple[Ints, Ints]:
    """Return, for every gap, the time of the first hour missing and how many are."""
    time = batch.hours
    missing = np.diff(time) // HOUR - 1
    return time[:-1][missing > 0] + HOUR, missing[missing > 0]


def _missing(starts: Ints, missing: Ints) -> list[tuple[str, str]]:
    return [(instant(at), f"{n} h missing") for at, n in zip(starts[:SHOWN], missing[:SHOWN], strict=True)]


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
