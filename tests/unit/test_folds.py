"""Folds never let a label from the scored stretch into the fit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryptovol import folds


@given(st.integers(50, 400), st.integers(1, 300), st.integers(1, 100), st.integers(1, 40))
def test_folds_score_every_row_once_and_purge_the_horizon(start, length, step, horizon):
    """Test ranges tile the stretch; no training label reaches into its test range."""
    found = list(folds.walk_forward(start=start, stop=start + length, step=step, horizon=horizon))
    scored = [row for fold in found for row in range(fold.start, fold.stop)]
    assert scored == list(range(start, start + length))
    for fold in found:
        last_label = (fold.train_end - 1) + horizon
        assert last_label < fold.start


def test_folds_refuse_a_start_with_nothing_before():
    """A stretch that begins inside the first purge cannot be scored."""
    with pytest.raises(ValueError, match="no row is left"):
        list(folds.walk_forward(start=24, stop=100, step=10, horizon=24))
