"""Conformal intervals hold their level, follow a change of regime, and scale with the forecast."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryptovol import intervals
from cryptovol.errors import ConfigError
from cryptovol.intervals import GAIN, LEAST_SHARE, MOST_SHARE, WARM

LEVELS = (0.5, 0.8, 0.9, 0.95)
H = 6


def made(n, *, seed=6, spread=0.4):
    """Return realized and predicted volatility whose log error has the given spread per hour."""
    rng = np.random.default_rng(seed)
    predicted = np.exp(rng.standard_normal(n)) * 0.01
    return predicted * np.exp(spread * rng.standard_t(4, n)), predicted


def calibrated(realized, predicted):
    """Return the calibration at all levels."""
    return intervals.calibrate(realized, predicted, LEVELS, horizon=H)


@pytest.mark.parametrize("level", LEVELS)
def test_interval_holds_its_level_on_fresh_hours(level):
    """Calibrated on one half, the interval covers the other half as often as it says."""
    realized, predicted = made(8000)
    lower, upper = calibrated(realized[:4000], predicted[:4000]).bounds(predicted[4000:], level)
    inside = np.mean((realized[4000:] >= lower) & (realized[4000:] <= upper))
    assert inside == pytest.approx(level, abs=0.025)


def test_interval_widens_in_a_wilder_regime():
    """Where the newest errors are wider than the stretch's, the interval is wider than plain quantiles give."""
    spread = np.where(np.arange(2160) < 1440, 0.2, 0.5)
    realized, predicted = made(2160, spread=spread)
    lower, upper = calibrated(realized, predicted).errors[0.9]
    plain = np.quantile(np.log(realized / predicted), (0.05, 0.95))
    assert lower < plain[0] and upper > plain[1]


def test_interval_narrows_in_a_calmer_regime():
    """Where the newest errors are smaller, so is the interval."""
    spread = np.where(np.arange(2160) < 1440, 0.5, 0.2)
    realized, predicted = made(2160, spread=spread)
    lower, upper = calibrated(realized, predicted).errors[0.9]
    plain = np.quantile(np.log(realized / predicted), (0.05, 0.95))
    assert upper - lower < plain[1] - plain[0]


def slow_share(errors, nominal):
    """Return the share left outside after the replay, each interval drawn from the errors known at its hour."""
    share = nominal
    for row in range(WARM + H, len(errors)):
        known = [*errors[:WARM], *errors[WARM : row - H + 1]]
        rank = sum(each < errors[row] for each in known) / len(known)
        miss = not share / 2 <= rank <= 1 - share / 2
        share += GAIN * (nominal - (1.0 if miss else 0.0))
        share = min(max(share, LEAST_SHARE * nominal), min(MOST_SHARE * nominal, 1.0))
    return share


@given(seed=st.integers(0, 2**16), n=st.integers(WARM + H, 500))
def test_replay_equals_its_slow_twin(seed, n):
    """Ranks kept in order give what counting every known error at every hour gives."""
    errors = np.random.default_rng(seed).standard_t(3, n)
    assert intervals._outside(intervals._ranks(errors, H), 0.1) == slow_share(errors.tolist(), 0.1)


def test_replay_uses_an_error_only_once_it_is_known():
    """The rank of an hour does not move with errors of the hours whose horizon reaches past it."""
    errors = np.random.default_rng(1).standard_normal(400)
    row = 300
    changed = errors.copy()
    changed[row - H + 1 : row] = 50.0
    at = row - WARM - H
    assert intervals._ranks(changed, H)[at] == intervals._ranks(errors, H)[at]
    lower, higher = changed.copy(), changed.copy()
    lower[row - H], higher[row - H] = -50.0, 50.0
    assert intervals._ranks(lower, H)[at] > intervals._ranks(higher, H)[at]


def test_levels_are_nested():
    """A wider level has the wider interval."""
    errors = calibrated(*made(2160)).errors
    ends = [errors[level] for level in LEVELS]
    assert [low for low, _ in ends] == sorted((low for low, _ in ends), reverse=True)
    assert [high for _, high in ends] == sorted(high for _, high in ends)


def test_interval_scales_with_the_level_of_the_forecast():
    """Twice the forecast, twice the interval."""
    found = calibrated(*made(200))
    (low, double), (high, twice) = (bound.tolist() for bound in found.bounds(np.array([1.0, 2.0]), 0.9))
    assert double == pytest.approx(2 * low) and twice == pytest.approx(2 * high)


def test_interval_of_an_unknown_level_is_refused():
    """The error lists the levels that exist."""
    found = calibrated(np.ones(50), np.ones(50))
    with pytest.raises(ConfigError, match=r"0\.5, 0\.8, 0\.9, 0\.95"):
        found.bounds(np.ones(1), 0.99)


def test_calibration_refuses_too_few_hours():
    """Thirty errors are the least."""
    with pytest.raises(ValueError, match="at least 30"):
        calibrated(np.ones(29), np.ones(29))


def test_spread_slope_finds_wider_errors_in_quiet_hours():
    """Errors that shrink as the level grows give a negative slope, half of the plain regression's; even ones give none."""
    rng = np.random.default_rng(2)
    predicted = 0.01 * np.exp(0.5 * rng.standard_normal(20_000))
    noise = rng.standard_normal(20_000)
    slope = intervals.spread_slope(predicted, predicted * np.exp(0.3 * noise * (predicted / 0.01) ** -0.4))
    assert slope == pytest.approx(-0.2, abs=0.03)
    assert intervals.spread_slope(predicted, predicted * np.exp(0.3 * noise)) == pytest.approx(0.0, abs=0.03)
    assert intervals.spread_slope(np.full(50, 0.01), predicted[:50]) == 0.0


def test_sloped_intervals_are_wider_for_quiet_hours():
    """With a negative slope the interval of a low forecast is wider, relative to it, than that of a high one."""
    realized, predicted = made(2160)
    found = intervals.calibrate(realized, predicted, LEVELS, horizon=H, slope=-0.2)
    lower, upper = found.bounds(np.array([found.usual / 2, found.usual, found.usual * 2]), 0.9)
    width = np.log(upper / lower)
    assert width[0] > width[1] > width[2]
    assert found.bounds(np.array([found.usual]), 0.9)[1][0] == pytest.approx(
        found.usual * math.exp(found.errors[0.9][1])
    )


def test_sloped_intervals_stop_widening_far_out():
    """Beyond four times the usual level the width stays as it is."""
    realized, predicted = made(2160)
    found = intervals.calibrate(realized, predicted, LEVELS, horizon=H, slope=-0.5)
    far = found.usual * np.array([4.0, 40.0])
    lower, upper = found.bounds(far, 0.9)
    assert np.allclose(np.log(upper / lower), np.log(upper / lower)[0])
