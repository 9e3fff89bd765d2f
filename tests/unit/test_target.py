"""The target looks ahead exactly `horizon` hours and is unknown at the end."""

import numpy as np
import pytest

from cryptovol import target


def test_target_is_the_standard_deviation_of_the_next_returns():
    """A hand-computed case: the row itself does not enter, the next two returns do."""
    r = np.array([9.0, 0.01, 0.03, -0.02, 0.0])
    got = target.forward(r, 2, coverage=1.0)
    np.testing.assert_allclose(
        got[:3], [np.std([0.01, 0.03], ddof=1), np.std([0.03, -0.02], ddof=1), np.std([-0.02, 0.0], ddof=1)]
    )


@pytest.mark.parametrize("horizon", [6, 24])
def test_target_of_the_newest_rows_is_missing(horizon):
    """The newest `horizon` rows have no target."""
    got = target.forward(np.random.default_rng(0).standard_normal(200), horizon, coverage=1.0)
    assert np.isnan(got[-horizon:]).all() and np.isfinite(got[:-horizon]).all()


def test_target_with_an_incomplete_horizon_is_missing():
    """One missing hour ahead leaves no target at full coverage."""
    r = np.full(30, 0.01)
    r[15] = np.nan
    got = target.forward(r, 6, coverage=1.0)
    assert np.isnan(got[9:15]).all() and np.isfinite(got[15])


def test_target_refuses_a_horizon_of_one():
    """A single return has no standard deviation."""
    with pytest.raises(ValueError, match="at least 2"):
        target.forward(np.zeros(5), 1, coverage=1.0)
