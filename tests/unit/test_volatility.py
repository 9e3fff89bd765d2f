"""Estimators of volatility: known values, missing hours, invariances."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryptovol import volatility as vol


def test_realized_volatility_is_the_sample_standard_deviation():
    """Realized volatility is numpy's standard deviation with one degree of freedom less."""
    r = np.random.default_rng(2).standard_normal(50) * 0.01
    got = vol.realized_volatility(r, 24, coverage=1.0)
    np.testing.assert_allclose(got[-1], np.std(r[-24:], ddof=1), rtol=1e-12)


def test_realized_volatility_leaves_missing_hours_out():
    """A missing hour is neither zero nor interpolated: the rest of the window counts."""
    r = np.random.default_rng(3).standard_normal(24) * 0.01
    r[5] = np.nan
    got = vol.realized_volatility(r, 24, coverage=0.75)[-1]
    np.testing.assert_allclose(got, np.nanstd(r, ddof=1), rtol=1e-12)
    assert math.isnan(vol.realized_volatility(r, 24, coverage=1.0)[-1])


def test_root_mean_square_is_about_zero_and_leaves_missing_hours_out():
    """A market that climbs evenly has a root mean square, though no spread; a missing hour counts for nothing."""
    r = np.full(30, 0.01)
    r[20] = np.nan
    got = vol.root_mean_square(r, 24, coverage=0.75)
    assert np.isnan(got[:23]).all() and got[-1] == pytest.approx(0.01, rel=1e-12)
    assert vol.realized_volatility(r, 24, coverage=0.75)[-1] == pytest.approx(0.0, abs=1e-9)
    assert math.isnan(vol.root_mean_square(r, 24, coverage=1.0)[-1])


@given(st.integers(0, 40))
@settings(max_examples=10, deadline=None)
def test_ewma_is_the_recursion_of_riskmetrics(seed):
    """The cut-off mean is within a millionth of the recursion that runs on from the first hour."""
    r = np.random.default_rng(seed).standard_normal(700) * 0.01
    state = r[0] ** 2
    for value in r[1:]:
        state = 0.94 * state + 0.06 * value**2
    got = vol.ewma(r)
    assert got[-1] == pytest.approx(math.sqrt(state), rel=1e-6)
    assert np.isnan(got[: vol.EWMA_WINDOW - 1]).all() and np.isfinite(got[vol.EWMA_WINDOW - 1 :]).all()


def test_log_returns_are_missing_over_a_gap():
    """No return is made over an hour without a bar, on neither side."""
    r = vol.log_returns(np.array([1.0, np.e, np.nan, 2.0, 2.0]))
    np.testing.assert_array_equal(np.isnan(r), [True, False, True, True, False])
    assert r[1] == 1.0


def test_parkinson_is_known_for_a_range_of_e():
    """A range of one log unit has Parkinson variance 1 / (4 ln 2)."""
    np.testing.assert_allclose(vol.parkinson(np.array([np.e]), np.array([1.0])), 1 / (4 * math.log(2)))


def test_garman_klass_is_zero_for_a_flat_bar_and_grows_with_the_range():
    """More range, no less volatility; a bar that did not move has none."""
    one = np.ones(3)
    got = vol.garman_klass(one, np.array([1.0, 1.1, 1.2]), one, one)
    assert got[0] == 0.0 and got[0] < got[1] < got[2]


@given(st.floats(0.001, 1000.0))
@settings(max_examples=30, deadline=None)
def test_range_estimators_ignore_the_price_level(scale):
    """Doubling all prices moves no volatility."""
    o, h, low, c = (np.array([v]) for v in (100.0, 103.0, 99.0, 101.0))
    np.testing.assert_allclose(
        vol.garman_klass(o * scale, h * scale, low * scale, c * scale), vol.garman_klass(o, h, low, c), rtol=1e-9
    )


def test_log_floor_keeps_a_flat_market_finite():
    """Zero volatility becomes the floor, a missing one stays missing."""
    got = vol.log_floor(np.array([0.0, np.nan, 0.01]))
    assert got[0] == math.log(vol.FLOOR) and math.isnan(got[1]) and got[2] == math.log(0.01)
