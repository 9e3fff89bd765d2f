"""Drift: quiet on healthy data, loud and precise on a planted shift."""

import numpy as np
import pytest

from cryptovol import drift, tables


def _series(seed: int, n: int = 15_000) -> np.ndarray:
    """Return 36 autocorrelated features that share one slow factor, shape (n, 36)."""
    rng = np.random.default_rng(seed)
    factor = np.zeros(n)
    noise = rng.standard_normal((n, 37))
    for i in range(1, n):
        factor[i] = 0.999 * factor[i - 1] + 0.045 * noise[i, 36]
    own = np.empty((n, 36))
    state = np.zeros(36)
    for i in range(n):
        state = 0.95 * state + 0.1 * noise[i, :36]
        own[i] = state
    return factor[:, None] + own


VALUES = _series(1)
REFERENCE = drift.fit_reference(VALUES[:12_000])


def test_drift_is_quiet_on_healthy_later_data():
    """No evaluation of data from the same market alarms above the limit of 0.15."""
    ratios = [len(REFERENCE.drifted(VALUES[:end])) / 36 for end in range(12_500, 15_000, 250)]
    assert max(ratios) <= 0.15


def test_drift_names_the_shifted_features():
    """A shift of one standard deviation in seven features is found, and hardly a neighbour is blamed."""
    shifted = VALUES.copy()
    planted = [2, 5, 11, 17, 20, 28, 33]
    shifted[-500:, planted] += VALUES[:12_000].std(axis=0)[planted]
    found = set(REFERENCE.drifted(shifted))
    assert len(found & set(planted)) >= 6 and len(found - set(planted)) <= 1


def test_drift_survives_its_own_bytes():
    """The stored reference decides as the fitted one."""
    loaded = drift.from_arrays(tables.decode_npz(tables.encode_npz(REFERENCE.arrays())))
    assert loaded is not None and loaded.drifted(VALUES) == REFERENCE.drifted(VALUES)


def test_drift_of_too_little_history_is_not_told():
    """Without enough windows to calibrate there is no reference, and no number is made up."""
    assert drift.fit_reference(VALUES[:9_999]) is None
    assert drift.from_arrays(tables.decode_npz(tables.encode_npz({}))) is None


def test_drift_refuses_less_than_a_window():
    """Fewer rows than a window are an error, not a ratio of zero."""
    with pytest.raises(ValueError, match="500 rows"):
        REFERENCE.drifted(VALUES[:499])


def test_bounds_flag_only_what_was_never_seen():
    """A value far outside counts, one inside does not, a missing one does."""
    bounds = drift.fit_bounds(VALUES)
    row = np.median(VALUES, axis=0)
    row[3], row[9] = 1e3, np.nan
    assert bounds.outside(row) == [3, 9]
