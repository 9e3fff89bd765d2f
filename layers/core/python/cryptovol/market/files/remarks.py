"""What a reader of a bar file should be told of it, as sentences: what was skipped, turned round, or not given."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cryptovol.bars import PRICES, Bars, Floats, Ints
from cryptovol.market.files.fields import NO_TIME
from cryptovol.market.files.rawtext import RawText
from cryptovol.market.files.rows import UNKNOWN, Rows
from cryptovol.times import HOUR, format_instant

UNITS = {1: "seconds", 10**3: "milliseconds", 10**6: "microseconds", 10**9: "nanoseconds"}
CALENDAR = 2**37  # unix seconds that can be written as a date


def remarks(text: RawText, rows: Rows, bars: Bars, *, turned: Ints, unnamed: int) -> list[str]:
    """Return the notes on a file.

    Parameters
    ----------
    text
        The file as it was read.
    rows
        In the file's own order.
    bars
        The same rows, those of the tables `turned` in the opposite order.
    unnamed
        How many rows do not name their pair in full.
    """
    return [
        *_layout(text),
        *_order(text, turned),
        *_times(rows),
        *_dates(rows),
        *_repeats(rows),
        *_early(rows),
        *_absent(rows, bars, unnamed),
    ]


def _layout(text: RawText) -> Iterator[str]:
    if text.skipped:
        first = text.skipped[0]
        yield f"{_count(len(text.skipped), 'line')} above the header skipped, first {first[:80]!r}"
    if text.dump:
        yield "no header: the columns were taken for those of Binance's public dumps"
    if len(text.layouts) > 1:
        headers = len({layout.names for layout in text.layouts})
        yield f"{len(text.layouts)} captures in one file, under {_count(headers, 'header')} of their own"


def _order(text: RawText, turned: Ints) -> Iterator[str]:
    if not len(turned):
        return
    if len(text.layouts) == 1:
        yield "the file is newest first: it was read from its end"
    else:
        yield f"{_count(len(turned), 'capture')} newest first: read from the end"


def _times(rows: Rows) -> Iterator[str]:
    timed = rows.time != NO_TIME
    units, counts = np.unique(rows.unit[timed], return_counts=True)
    if len(units) > 1:
        kinds = zip(units.tolist(), counts.tolist(), strict=True)
        yield "times are mixed: " + ", ".join(f"{UNITS[unit]} in {_count(count, 'row')}" for unit, count in kinds)
    if not timed.all():
        line = rows.line[~timed][0]
        yield f"{_count(int((~timed).sum()), 'row')} without a time, first in line {line}: read as 1970-01-01T00:00:00Z"


def _dates(rows: Rows) -> Iterator[str]:
    if not rows.astray.any():
        return
    first = int(np.flatnonzero(rows.astray)[0])
    yield (
        f"in {_count(int(rows.astray.sum()), 'row')} the date column disagrees with the time column, which counts: "
        f"first in line {rows.line[first]}, {_instant(rows.stated[first])} against {_instant(rows.time[first])}"
    )


def _repeats(rows: Rows) -> Iterator[str]:
    """Tell the hours of a pair that come more than once, and in how many of them the numbers differ."""
    timed = np.flatnonzero(rows.time != NO_TIME)
    order = timed[np.lexsort((rows.time[timed], rows.pair[timed]))]
    time, pair = rows.time[order], rows.pair[order]
    again = np.flatnonzero((time[1:] == time[:-1]) & (pair[1:] == pair[:-1]))
    if not len(again):
        return
    before, after = rows.table[order[again]], rows.table[order[again + 1]]
    differs = ~((before == after) | (np.isnan(before) & np.isnan(after)))
    chosen = (again, again[differs.any(axis=1)], again[differs[:, : len(PRICES)].any(axis=1)])
    hours, other, dearer = (_hours(time[at], pair[at]) for at in chosen)
    yield (
        f"{_count(hours, 'hour')} given more than once, first {_instant(time[again[0]])}: the numbers differ in "
        f"{other:,}, the prices in {dearer:,}"
    )


def _hours(time: Ints, pair: Ints) -> int:
    """Return how many different times of one pair there are; both are sorted by pair, then time."""
    return int(np.count_nonzero(np.diff(time) | np.diff(pair))) + 1 if len(time) else 0


def _early(rows: Rows) -> Iterator[str]:
    """Tell the hours read before they had ended, and how many of them were not read again afterwards."""
    known = (rows.fetched != UNKNOWN) & (rows.time != NO_TIME)
    early = known & (rows.fetched < rows.time + HOUR)
    if early.any():
        hours = np.unique(rows.time[early])
        never = len(np.setdiff1d(hours, rows.time[known & ~early]))
        yield f"{_count(len(hours), 'hour')} read before the end, {never:,} of them never again"


def _absent(rows: Rows, bars: Bars, unnamed: int) -> Iterator[str]:
    if unnamed:
        row = int(np.argmax(bars.time))
        taken = f"{bars.symbol[row]}/{bars.quote[row]}".strip("/") or "none"
        who = "the file does not" if unnamed == len(rows) else f"{_count(unnamed, 'row')} do not"
        yield f"{who} name the whole pair: taken as {taken}"
    if np.isnan(rows.table[:, -1]).all():
        yield "no quote volume is given"
    if (rows.fetched == UNKNOWN).any():
        yield "the file does not say when its rows were fetched: nothing shows that its newest hour had ended"


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def _instant(seconds: Floats | Ints) -> str:
    value = int(seconds)
    return format_instant(value) if 0 <= value < CALENDAR else str(value)
