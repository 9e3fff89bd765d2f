"""Folds never let a label from the scored stretch into the fit, and cannot be made so that they would."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryptovol import folds
from cryptovol.folds import Fold


@given(
    st.integers(100, 400), st.integers(1, 300), st.integers(1, 100), st.integers(1, 40), st.integers(0, 50)
)  # fmt: skip
def test_folds_score_every_row_once_and_purge_the_horizon(start, length, step, horizon, embargo):
    """Test ranges tile the stretch; no training label reaches into its test range, and the embargo comes on top."""
    found = list(folds.walk_forward(start=start, stop=start + length, step=step, horizon=horizon, embargo=embargo))
    scored = [row for fold in found for row in range(fold.start, fold.stop)]
    assert scored == list(range(start, start + length))
    for fold in found:
        last_label = (fold.train_end - 1) + horizon
        assert last_label + embargo < fold.start


@given(st.integers(1, 200), st.integers(1, 200), st.integers(1, 50), st.integers(1, 40))
def test_a_fold_exists_exactly_if_its_labels_end_before_its_scored_rows(train_end, start, length, horizon):
    """Left-out purge is no fold, whoever makes it."""
    last_label = train_end - 1 + horizon
    if last_label < start:
        assert Fold(train_end, start, start + length, horizon).horizon == horizon
    else:
        with pytest.raises(ValueError, match=rf"not purged: .* reaches to row {last_label}, and scoring begins"):
            Fold(train_end, start, start + length, horizon)


@given(st.integers(2, 12), st.integers(1, 40), st.integers(0, 500))
def test_left_out_stretches_cover_every_row_once_and_purge_on_both_sides(members, purge, more):
    """Stretches tile the rows, oldest first and of like length; no label of a row kept overlaps with one of theirs."""
    n = members * (purge + 1) + more
    found = list(folds.left_out(n, members=members, purge=purge))
    assert len(found) == members
    assert [row for each in found for row in range(n)[each.rows]] == list(range(n))
    lengths = [each.rows.stop - each.rows.start for each in found]
    assert max(lengths) - min(lengths) <= 1
    for each in found:
        kept = np.delete(np.arange(n), each.purged)
        assert len(kept) >= 1
        assert not any(each.rows.start - purge <= row < each.rows.stop + purge for row in kept)
        assert len(kept) == n - len(range(max(each.rows.start - purge, 0), min(each.rows.stop + purge, n)))


@pytest.mark.parametrize(
    ("n", "members", "purge"), [(1000, 1, 24), (1000, 0, 24), (1000, 5, 0), (1000, 5, -1), (124, 5, 24), (0, 2, 1)]
)
def test_left_out_refuses_what_leaves_a_member_without_rows(n, members, purge):
    """One member would have nothing to fit on; without a purge labels overlap; rows must be enough for all."""
    with pytest.raises(ValueError, match=f"{n} rows cannot be split into {members} stretches with a purge of {purge}"):
        list(folds.left_out(n, members=members, purge=purge))


@pytest.mark.parametrize("wrong", [(0, 30, 40, 6), (10, 30, 30, 6), (10, 30, 20, 6), (10, 30, 40, 0)])
def test_a_fold_needs_rows_to_fit_on_and_to_score(wrong):
    """Empty and backward ranges, and no horizon, are refused."""
    with pytest.raises(ValueError, match="needs a horizon"):
        Fold(*wrong)


@pytest.mark.parametrize("rows", [np.random.default_rng(0).permutation(40), [3, 1, 2], 7.5, "10"])
def test_a_fold_cannot_hold_shuffled_rows(rows):
    """A bound is one whole number, so a permutation has nowhere to go."""
    for place in range(3):
        bounds = [10, 30, 40]
        bounds[place] = rows
        with pytest.raises(TypeError):
            Fold(*bounds, 6)


@pytest.mark.parametrize(
    "wrong", [{"step": 0}, {"horizon": 0}, {"embargo": -1}, {"start": 24}, {"start": 30, "embargo": 6}]
)
def test_folds_refuse_a_stretch_that_cannot_be_walked(wrong):
    """A stretch that begins inside the first purge and embargo cannot be scored, and steps go forward."""
    given = {"start": 48, "stop": 100, "step": 10, "horizon": 24} | wrong
    with pytest.raises(ValueError, match="no row is left|must be at least"):
        list(folds.walk_forward(**given))
