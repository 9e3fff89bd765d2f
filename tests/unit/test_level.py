"""From logarithms to levels: the optimum of each loss, found; order, sign and extremes kept."""

import json
import math
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cryptovol import level
from cryptovol.level import SPREAD, Level
from cryptovol.volatility import FLOOR

RNG = np.random.default_rng(6)
N = 4000
LOGS = -5.0 + 0.5 * RNG.standard_normal(N)
REALIZED = np.exp(LOGS + 0.4 * RNG.standard_normal(N))
WEIGHTS = st.sampled_from([0.0, 0.5, 3.0, 1e6])
FORECASTS = arrays(np.float64, 60, elements=st.floats(-12.0, 0.0))
TARGETS = arrays(np.float64, 60, elements=st.floats(0.0, 0.3))
BUDGET = settings(max_examples=80, deadline=None)


def loss(theta, z, logs, realized, weight):
    """Return the loss of an offset and a slope, written down once more."""
    p, y = np.exp(logs + theta[0] + theta[1] * z), np.maximum(realized, FLOOR)
    qlike = np.mean((y / p) ** 2 - np.log((y / p) ** 2) - 1.0)
    return qlike + weight * np.mean((p - y) ** 2) / max(np.var(y), FLOOR**2)


def standard(found, logs):
    """Return the standardised logarithms, cut off as in the factor."""
    return np.clip((logs - found.centre) / found.scale, -SPREAD, SPREAD)


def test_level_without_weight_is_the_optimum_of_qlike():
    """Where no slope is to be found, QLIKE's factor is the root of the mean squared ratio: of lognormal errors exp(s²)."""
    logs = np.tile([-5.5, -4.5], N // 2)
    errors = 0.4 * np.repeat(RNG.standard_normal(N // 2), 2)
    found = level.fit(logs, np.exp(logs + errors), squared_error_weight=0.0)
    assert found.slope == pytest.approx(0.0, abs=1e-8)
    assert math.exp(found.offset) == pytest.approx(math.sqrt(np.mean(np.exp(2 * errors))), rel=1e-8)
    assert math.exp(found.offset) == pytest.approx(math.exp(0.4**2), rel=0.02)


def test_level_of_a_large_weight_is_the_least_squares_factor():
    """With the same errors at each level it is the mean ratio: of lognormal errors exp(s²/2), less than QLIKE's."""
    logs = np.tile([-5.5, -4.5], N // 2)
    errors = 0.4 * np.repeat(RNG.standard_normal(N // 2), 2)
    found = level.fit(logs, np.exp(logs + errors), squared_error_weight=1e9)
    assert found.slope == pytest.approx(0.0, abs=1e-6)
    assert math.exp(found.offset) == pytest.approx(np.mean(np.exp(errors)), rel=1e-6)
    assert math.exp(found.offset) == pytest.approx(math.exp(0.4**2 / 2), rel=0.02)


def test_level_lies_between_the_two_losses():
    """The more the squared error weighs, the lower the factor of the middle."""
    offsets = [level.fit(LOGS, REALIZED, squared_error_weight=w).offset for w in (0.0, 1.0, 10.0, 1e6)]
    assert offsets == sorted(offsets, reverse=True) and offsets[0] - offsets[-1] > 0.04


def test_level_finds_a_planted_slope():
    """Forecasts too small when low and too large when high are set right at both ends."""
    told = -5.0 + 0.6 * (LOGS + 5.0)
    found = level.fit(told, np.exp(LOGS), squared_error_weight=3.0)
    inside = np.abs(LOGS + 5.0) < 2.5 * 0.5
    np.testing.assert_allclose(found.apply(told)[inside], np.exp(LOGS)[inside], rtol=0.02)


@pytest.mark.parametrize("weight", [0.0, 0.3, 3.0, 100.0])
def test_no_step_from_the_solution_lowers_the_loss(weight):
    """The gradient is zero there: small steps in offset and slope, either way, change the loss by their square alone."""
    found = level.fit(LOGS, REALIZED, squared_error_weight=weight)
    z, theta = standard(found, LOGS), np.array([found.offset, found.slope])
    least = loss(theta, z, LOGS, REALIZED, weight)
    for step in (np.array([1e-4, 0.0]), np.array([0.0, 1e-4])):
        up, down = (loss(theta + way * step, z, LOGS, REALIZED, weight) for way in (1, -1))
        assert least < min(up, down)
        assert abs(up - down) / 2e-4 < 1e-6 * (1 + weight)


@given(FORECASTS, TARGETS, WEIGHTS, arrays(np.float64, 30, elements=st.floats(-200.0, 200.0)))
@BUDGET
def test_level_keeps_order_and_sign_on_any_input(logs, realized, weight, fresh):
    """Whatever it was fitted on, a level is positive and finite, and the larger logarithm has no smaller level."""
    found = level.fit(logs, realized, squared_error_weight=weight)
    got = found.apply(np.sort(fresh))
    assert np.isfinite(got).all() and (got > 0).all()
    assert (np.diff(got) >= -1e-9 * got[1:]).all()


def test_level_of_a_model_far_off_is_a_number():
    """Logarithms that no volatility has are cut off in the fit: a hopeless model is found to be one, and breaks no run."""
    far = LOGS + 500.0 * RNG.standard_normal(N)
    found = level.fit(far, REALIZED, squared_error_weight=3.0)
    assert np.isfinite([found.centre, found.scale, found.offset, found.slope]).all()
    assert found.apply(np.array([1e300, -1e300])).tolist() == [np.inf, 0.0]


def test_level_does_not_turn_the_order_of_useless_forecasts_round():
    """Forecasts that are high where the market is calm become one constant, the best there is, and no mirror image."""
    found = level.fit(-10.0 - LOGS, np.exp(LOGS), squared_error_weight=0.0)
    got = found.apply(np.sort(-10.0 - LOGS))
    inside = slice(N // 100, -N // 100)
    assert found.slope == -found.scale
    assert np.ptp(got[inside]) < 1e-12
    assert got[N // 2] == pytest.approx(math.sqrt(np.mean(np.exp(2 * LOGS))), rel=0.02)


@given(st.floats(-12.0, 0.0), TARGETS, WEIGHTS)
@example(-1.1400249811856575, np.full(60, 0.125), 1e6)  # whose mean differs from it by rounding
@BUDGET
def test_level_of_constant_predictions_is_one_factor(log, realized, weight):
    """Without spread there is no slope, and the constant is shifted to the best one."""
    found = level.fit(np.full(60, log), realized, squared_error_weight=weight)
    assert found.slope == pytest.approx(0.0, abs=0.01)
    if weight == 0.0 and realized.max() > 1e-3:
        best = math.sqrt(np.mean(np.maximum(realized, FLOOR) ** 2))
        assert found.apply(np.full(1, log))[0] == pytest.approx(best, rel=1e-6)


@pytest.mark.parametrize("weight", [0.0, 3.0])
@pytest.mark.parametrize("value", [0.0, 0.01])
def test_level_of_a_flat_target_is_that_target(weight, value):
    """A market that always has the same volatility is forecast to have it, at the floor if it has none."""
    logs = np.log(max(value, FLOOR)) + 0.05 * RNG.standard_normal(500)
    found = level.fit(logs, np.full(500, value), squared_error_weight=weight)
    np.testing.assert_allclose(found.apply(logs), max(value, FLOOR), rtol=0.1)


def test_level_fitted_in_another_unit_is_the_same_factor():
    """Forecasts and realized volatilities in per cent give the factor of those in fractions."""
    one = level.fit(LOGS, REALIZED, squared_error_weight=3.0)
    other = level.fit(LOGS + math.log(100.0), REALIZED * 100.0, squared_error_weight=3.0)
    assert (other.offset, other.slope, other.scale) == pytest.approx((one.offset, one.slope, one.scale), rel=1e-9)


def test_factor_stays_as_it_is_far_from_what_was_seen():
    """Beyond three standard deviations the factor is that of three, so that a regime never seen is not blown up."""
    found = Level(-5.0, 0.5, 0.1, 0.2)
    far = found.apply(np.array([-5.0 + 0.5 * 3, -5.0 + 0.5 * 9, -5.0 - 0.5 * 9]))
    np.testing.assert_allclose(far, np.exp([-3.5 + 0.7, -0.5 + 0.7, -9.5 - 0.5]), rtol=1e-12)


def test_level_survives_json_in_every_bit():
    """As it is stored with a model, it gives the very same numbers."""
    found = level.fit(LOGS, REALIZED, squared_error_weight=3.0)
    loaded = Level(**json.loads(json.dumps(asdict(found))))
    assert loaded == found
    assert np.array_equal(loaded.apply(LOGS), found.apply(LOGS))


def test_old_errors_weigh_less():
    """With a half-life, a factor that changed is learned from the newer rows; without one, from all alike."""
    rng = np.random.default_rng(3)
    log = -5.0 + 0.5 * rng.standard_normal(8000)
    factor = np.where(np.arange(8000) < 4000, 2.0, 1.0)
    realized = np.exp(log) * factor
    plain = level.fit(log, realized, squared_error_weight=0.0)
    recent = level.fit(log, realized, squared_error_weight=0.0, half_life=400.0)
    at = np.array([-5.0])
    assert plain.apply(at)[0] == pytest.approx(np.exp(-5.0) * np.sqrt(2.5), rel=0.02)
    assert recent.apply(at)[0] == pytest.approx(np.exp(-5.0), rel=0.01)


@given(st.floats(-20, 20), st.floats(-20, 20), st.floats(-2, 3))
def test_stretch_leads_from_one_logarithm_to_another(start, stop, slope):
    """Between any two predicted logarithms the forecast's moves by their distance times the stretch, cut-offs or not."""
    made = Level(centre=-5.0, scale=2.0, offset=0.3, slope=slope)
    moved = made.log(stop) - made.log(start)
    assert (stop - start) * made.stretch(start, stop) == pytest.approx(moved, abs=1e-12)
    assert made.log(start) == pytest.approx(math.log(made.apply(np.array([start]))[0]), abs=1e-12)


@pytest.mark.parametrize(("at", "wanted"), [(-5.0, 1.25), (0.9, 1.25), (1.1, 1.0), (-11.1, 1.0)])
def test_stretch_at_one_point_is_the_slope_there(at, wanted):
    """Inside the cut-offs, three scales either way of the centre, the factor bends the level; outside it does not."""
    assert Level(centre=-5.0, scale=2.0, offset=0.3, slope=0.5).stretch(at, at) == wanted
