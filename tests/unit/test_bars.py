"""Bars as columns: closed by time, merged by time."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryptovol import bars as bars_module
from cryptovol.bars import Bars
from cryptovol.errors import BarSchemaError
from cryptovol.testing import START, make_bars
from cryptovol.times import HOUR

hours = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 5)), max_size=60)


def _bars(rows: list[tuple[int, int]]) -> Bars:
    """Return bars with the given hours and closes; every price of a row is its close."""
    prices = [[float(close)] * 4 for _, close in rows]
    return bars_module.make(
        [START + hour * HOUR for hour, _ in rows], prices, volume_base=[1.0] * len(rows), volume_quote=[np.nan] * len(rows),
        symbol="BTC", quote="USD", source="test", fetched_at=START,
    )  # fmt: skip


def test_bars_refuse_columns_of_unequal_length() -> None:
    """Columns of unequal length are no bars."""
    with pytest.raises(BarSchemaError, match="unequal"):
        replace(make_bars(3), close=np.ones(2))


@pytest.mark.parametrize(("seconds", "expected"), [(-1, 4), (0, 5), (1, 5)])
def test_closed_by_keeps_a_bar_from_the_second_it_closes(seconds: int, expected: int) -> None:
    """A bar is known at its opening time plus 3600 s and not a second before."""
    assert len(make_bars(10).closed_by(START + 5 * HOUR + seconds)) == expected


def test_between_includes_start_and_excludes_end() -> None:
    """An interval of opening times is closed at its start and open at its end."""
    found = make_bars(10).between(START + 2 * HOUR, START + 4 * HOUR)
    assert found.time.tolist() == [START + 2 * HOUR, START + 3 * HOUR]


def test_concat_of_nothing_is_empty() -> None:
    """No parts and empty parts give no bars."""
    assert len(bars_module.concat([])) == 0
    assert len(bars_module.concat([bars_module.empty(), make_bars(2), bars_module.empty()])) == 2


def test_stamped_keeps_long_source_names_whole() -> None:
    """A source name longer than the one before is not cut to its width."""
    found = make_bars(2).stamped(source="replay:a-file-with-a-long-name", fetched_at=7)
    assert set(found.source.tolist()) == {"replay:a-file-with-a-long-name"} and found.fetched_at.tolist() == [7, 7]


@given(hours, hours)
def test_merge_equals_a_dictionary_of_the_newest_rows(old: list[tuple[int, int]], new: list[tuple[int, int]]) -> None:
    """Merging is what a dictionary by time does, and counts what it changed."""
    stored = bars_module.merge(bars_module.empty(), _bars(old)).bars
    merged = bars_module.merge(stored, _bars(new))
    expected = {**dict(old), **dict(new)}
    assert merged.bars.time.tolist() == [START + hour * HOUR for hour in sorted(expected)]
    assert merged.bars.close.tolist() == [float(expected[hour]) for hour in sorted(expected)]
    assert merged.new == len(set(dict(new)) - set(dict(old)))
    assert merged.revised == sum(dict(old)[hour] != close for hour, close in dict(new).items() if hour in dict(old))


@given(hours)
def test_merge_twice_changes_nothing(rows: list[tuple[int, int]]) -> None:
    """Merging the same bars again adds and revises nothing."""
    once = bars_module.merge(bars_module.empty(), _bars(rows)).bars
    again = bars_module.merge(once, _bars(rows))
    assert (again.new, again.revised, len(again.bars)) == (0, 0, len(once))


def test_merge_keeps_the_stored_row_when_only_the_fetch_time_differs() -> None:
    """A row fetched again with the same numbers is not rewritten, so its bytes stay."""
    stored = make_bars(5)
    merged = bars_module.merge(stored, stored.stamped(source="other", fetched_at=1))
    assert merged.revised == 0 and merged.bars.source.tolist() == stored.source.tolist()
