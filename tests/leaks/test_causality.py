"""Features at random cuts: no later bar, no earlier history, and the same bits in serving as in training."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import settings as budget
from hypothesis import strategies as st

from cryptovol import moments
from cryptovol.bars import NUMBERS
from cryptovol.errors import NotEnoughBarsError
from cryptovol.features import WARMUP
from cryptovol.testing import MemoryStore
from cryptovol.times import HOUR
from tests.leaks.leaky import COVERAGE, N, holed, honest
from tests.served import MARKET, put_bars

BARS = holed(N, gaps=((100, 104), (680, 681), (900, 903), (1100, 1101), (1250, 1290), (1380, 1382)))
TABLE = honest(BARS)
ROWS = st.integers(0, len(BARS) - 1)


@given(cut=ROWS, seed=st.integers(0, 2**32 - 1))
@budget(max_examples=25, deadline=None)
def test_features_up_to_a_cut_do_not_depend_on_the_bars_after_it(cut: int, seed: int) -> None:
    """Later bars may be any bars, or none: every feature up to the cut keeps its bits."""
    rng = np.random.default_rng(seed)
    upto = int((BARS.time[cut] - BARS.time[0]) // HOUR) + 1
    columns = {name: getattr(BARS, name).copy() for name in NUMBERS}
    for column in columns.values():
        column[cut + 1 :] *= np.exp(rng.normal(0.0, 2.0, len(column) - cut - 1))
    for other in (replace(BARS, **columns), BARS.take(slice(0, cut + 1))):
        assert np.array_equal(honest(other).values[:upto], TABLE.values[:upto], equal_nan=True)


@given(first=ROWS)
@budget(max_examples=25, deadline=None)
def test_features_do_not_depend_on_where_the_history_begins(first: int) -> None:
    """A shorter history gives, once the warm-up is whole, the bits of the longer one."""
    assume(first + WARMUP < len(BARS))
    short = honest(BARS.take(slice(first, None)))
    offset = int((BARS.time[first] - BARS.time[0]) // HOUR)
    later = offset + WARMUP - 1
    assert np.array_equal(short.values[WARMUP - 1 :], TABLE.values[later:], equal_nan=True)


@given(cut=ROWS)
@budget(max_examples=60, deadline=None)
def test_served_features_have_the_bits_of_the_training_table(cut: int) -> None:
    """At any hour, in and after gaps too, serving computes the row that training would fit on, or refuses."""
    row = TABLE.values[(BARS.time[cut] - BARS.time[0]) // HOUR]
    bars = BARS.take(slice(0, cut + 1))
    if np.isfinite(row).all():
        assert np.array_equal(moments.moment(bars, coverage=COVERAGE, source="").values, row)
        return
    with pytest.raises(NotEnoughBarsError, match=rf"needs {WARMUP} hours") as caught:
        moments.moment(bars, coverage=COVERAGE, source="")
    assert caught.value.needed == WARMUP


@given(cut=st.integers(WARMUP, len(BARS) - 1))
@budget(max_examples=15, deadline=None)
def test_features_served_from_the_store_have_the_bits_of_the_training_table(cut: int) -> None:
    """So they have through the store's months, from which only the newest are read."""
    row = TABLE.values[(BARS.time[cut] - BARS.time[0]) // HOUR]
    assume(np.isfinite(row).all())
    as_of = int(BARS.time[cut]) + HOUR
    served = moments.Moments(STORE, MARKET, coverage=COVERAGE, clock=lambda: as_of)
    assert np.array_equal(served.at("BTC", "USD", as_of).values, row)


STORE = MemoryStore()
put_bars(STORE, BARS)


def test_the_rows_tried_hold_complete_and_incomplete_ones() -> None:
    """The gaps are such that both answers occur after the warm-up."""
    rows = (BARS.time[WARMUP:] - BARS.time[0]) // HOUR
    complete = TABLE.complete()[rows]
    assert complete.any() and not complete.all()
