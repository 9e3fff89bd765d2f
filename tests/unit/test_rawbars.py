"""Laying bars on: who may revise whom, and the same history however the rows arrive."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryptovol import bars as bars_module
from cryptovol import rawbars
from cryptovol.bars import Bars
from cryptovol.testing import START
from cryptovol.times import HOUR

Row = tuple[int, int, str]  # hour, close, source
NAMES = ("a", "b", "repair:b", "repair:c")
rows = st.lists(st.tuples(st.integers(0, 12), st.integers(1, 4), st.sampled_from(NAMES)), max_size=40)
limits = st.none() | st.integers(0, 13)


def _bars(own: list[Row]) -> Bars:
    """Return bars in the order given; every price of a row is its close."""
    made = bars_module.make(
        [START + hour * HOUR for hour, _, _ in own], [[float(close)] * 4 for _, close, _ in own],
        volume_base=[1.0] * len(own), volume_quote=[np.nan] * len(own), symbol="BTC", quote="USD", source="",
        fetched_at=START,
    )  # fmt: skip
    return replace(made, source=np.array([name for _, _, name in own], dtype=np.str_)) if own else made


def _rows(bars: Bars) -> list[Row]:
    return [
        (int(time - START) // HOUR, int(close), str(name))
        for time, close, name in zip(bars.time, bars.close, bars.source, strict=True)
    ]


def _one_by_one(stored: dict[int, Row], own: list[Row], limit: int | None) -> tuple[dict[int, Row], list[int]]:
    """Return what a dictionary by hour becomes, row after row, and how many were new, revised, repaired, ignored."""
    held, counts = dict(stored), [0, 0, 0, 0]
    for row in own:
        hour, close, name = row
        lent, old = name.startswith("repair:"), held.get(hour)
        if old is None:
            held[hour] = row
            counts[2 if lent else 0] += 1
            continue
        allowed = old[2] == name or (limit is not None and hour >= limit)
        if not lent and (old[2].startswith("repair:") or (close != old[1] and allowed)):
            held[hour] = row
            counts[1] += 1
        elif old[2] != name:
            counts[3] += 1
    return held, counts


def _lay(stored: Bars, own: list[Row], limit: int | None = None) -> rawbars.Laid:
    return rawbars.lay(stored, _bars(own), replace_from=None if limit is None else START + limit * HOUR)


@given(rows, rows, limits)
def test_lay_is_what_a_dictionary_does_row_by_row(old: list[Row], new: list[Row], limit: int | None) -> None:
    """Bars and counts are those of a dictionary by hour to which the rows come one after the other."""
    held, _ = _one_by_one({}, old, None)
    stored = _lay(bars_module.empty(), old).bars
    assert _rows(stored) == [held[hour] for hour in sorted(held)]
    expected, counts = _one_by_one(held, new, limit)
    laid = _lay(stored, new, limit)
    assert _rows(laid.bars) == [expected[hour] for hour in sorted(expected)]
    assert [laid.new, laid.revised, laid.repaired, laid.ignored] == counts
    assert laid.changed == bool(counts[0] or counts[1] or counts[2])


@given(rows, limits, st.data())
def test_lay_gives_one_history_for_any_split_into_batches(own: list[Row], limit: int | None, data: Any) -> None:
    """However a stream of rows, repeats and revisions is cut into batches, bars and counts come out the same."""
    cuts = sorted(data.draw(st.lists(st.integers(0, len(own)), max_size=6)))
    whole, bars, counts = _lay(bars_module.empty(), own, limit), bars_module.empty(), np.zeros(4, dtype=int)
    for start, stop in zip([0, *cuts], [*cuts, len(own)], strict=True):
        laid = _lay(bars, own[start:stop], limit)
        bars = laid.bars
        counts += [laid.new, laid.revised, laid.repaired, laid.ignored]
    assert _rows(bars) == _rows(whole.bars)
    assert counts.tolist() == [whole.new, whole.revised, whole.repaired, whole.ignored]


@given(st.dictionaries(st.integers(0, 30), st.integers(1, 9)), st.data())
def test_lay_gives_one_history_for_any_order_and_any_repeats(prices: dict[int, int], data: Any) -> None:
    """Bars that are not revised may come in any order, any number of times, in any batches, and are counted once."""
    own: list[Row] = [(hour, close, "a") for hour, close in prices.items()]
    more = data.draw(st.lists(st.sampled_from(own), max_size=20)) if own else []
    mixed = data.draw(st.permutations([*own, *more]))
    middle = data.draw(st.integers(0, len(mixed)))
    first = _lay(bars_module.empty(), mixed[:middle])
    second = _lay(first.bars, mixed[middle:])
    assert _rows(second.bars) == sorted(own)
    assert first.new + second.new == len(own) and not (second.revised or second.repaired or second.ignored)


@given(rows, limits)
def test_lay_twice_changes_nothing(own: list[Row], limit: int | None) -> None:
    """The state after a batch is one that the batch's last words leave as it is."""
    once = _lay(bars_module.empty(), own, limit).bars
    again = rawbars.lay(once, once, replace_from=None if limit is None else START + limit * HOUR)
    assert not again.changed and not again.ignored and _rows(again.bars) == _rows(once)


@given(st.sets(st.integers(0, 60)), st.integers(0, 60), st.integers(0, 60))
def test_missing_hours_lie_between_two_bars(held: set[int], start: int, end: int) -> None:
    """An hour is missing if it is asked about, has no bar, and some earlier and some later hour has."""
    time = START + HOUR * np.array(sorted(held), dtype=np.int64)
    found = rawbars.missing(time, start=START + start * HOUR, end=START + end * HOUR)
    expected = [h for h in range(start, end) if h not in held and held and min(held) < h < max(held)]
    assert ((found - START) // HOUR).tolist() == expected


@given(st.sets(st.integers(0, 80)), st.integers(1, 20))
def test_spans_hold_all_hours_and_are_short_and_few(hours: set[int], longest: int) -> None:
    """Every hour is in exactly one span, no span is too long, and two neighbours would not fit into one."""
    found = rawbars.spans(HOUR * np.array(sorted(hours), dtype=np.int64), longest=longest)
    for hour in hours:
        assert sum(start <= hour * HOUR < end for start, end in found) == 1
    assert all(end - start <= longest * HOUR and start // HOUR in hours for start, end in found)
    assert all(later[0] + HOUR - earlier[0] > longest * HOUR for earlier, later in zip(found, found[1:], strict=False))


@pytest.mark.parametrize(("name", "expected"), [("repair:coinbase", True), ("coinbase", False), ("", False)])
def test_a_borrowed_bar_is_told_by_its_source(name: str, expected: bool) -> None:
    """Only a source that begins with the mark is borrowed."""
    assert rawbars.is_repair(np.array([name])).tolist() == [expected]
