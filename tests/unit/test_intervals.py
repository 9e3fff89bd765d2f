"""Conformal intervals hold their level and scale with the forecast."""

import numpy as np
import pytest

from cryptovol import intervals
from cryptovol.errors import ConfigError

RNG = np.random.default_rng(6)
LEVELS = (0.5, 0.8, 0.9, 0.95)


@pytest.mark.parametrize("level", LEVELS)
def test_interval_holds_its_level_on_fresh_hours(level):
    """Calibrated on one half, the interval covers the other half as often as it says."""
    predicted = np.exp(RNG.standard_normal(8000)) * 0.01
    realized = predicted * np.exp(0.4 * RNG.standard_t(4, 8000))
    lower, upper = intervals.calibrate(realized[:4000], predicted[:4000], LEVELS).bounds(predicted[4000:], level)
    inside = np.mean((realized[4000:] >= lower) & (realized[4000:] <= upper))
    assert inside == pytest.approx(level, abs=0.025)


def test_interval_scales_with_the_level_of_the_forecast():
    """Twice the forecast, twice the interval."""
    found = intervals.calibrate(np.exp(RNG.standard_normal(200)), np.ones(200), LEVELS)
    (low, double), (high, twice) = (bound.tolist() for bound in found.bounds(np.array([1.0, 2.0]), 0.9))
    assert double == pytest.approx(2 * low) and twice == pytest.approx(2 * high)


def test_interval_of_an_unknown_level_is_refused():
    """The error lists the levels that exist."""
    found = intervals.calibrate(np.ones(50), np.ones(50), LEVELS)
    with pytest.raises(ConfigError, match=r"0\.5, 0\.8, 0\.9, 0\.95"):
        found.bounds(np.ones(1), 0.99)


def test_calibration_refuses_too_few_hours():
    """Thirty errors are the least."""
    with pytest.raises(ValueError, match="at least 30"):
        intervals.calibrate(np.ones(29), np.ones(29), LEVELS)
