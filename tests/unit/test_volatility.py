"""Estimators: known values, slow twins, invariances, independence of where the history begins."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryptovol import volatility as vol

NUMBERS = st.lists(st.floats(-5, 5), min_size=1, max_size=90).map(np.array)


@given(NUMBERS, st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_window_sum_equals_its_slow_twin(x, window):
    """The doubled sum is the plain trailing sum."""
    slow = [math.fsum(x[i + 1 - window : i + 1]) if i + 1 >= window else math.nan for i in range(len(x))]
    np.testing.assert_allclose(vol.window_sum(x, window), slow, atol=1e-12)


@given(NUMBERS, st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_window_max_equals_its_slow_twin(x, window):
    """The doubled maximum is the plain trailing maximum."""
    slow = [x[i + 1 - window : i + 1].max() if i + 1 >= window else math.nan for i in range(len(x))]
    np.testing.assert_array_equal(vol.window_max(x, window), slow)


@given(NUMBERS, st.floats(0.5, 0.99), st.sampled_from([1, 2, 8, 32]))
@settings(max_examples=60, deadline=None)
def test_decayed_mean_equals_its_slow_twin(x, decay, window):
    """The doubled exponential mean is the weighted mean of the window, newest first."""
    weights = decay ** np.arange(window)
    slow = [
        float(np.dot(x[i + 1 - window : i + 1][::-1], weights) / weights.sum()) if i + 1 >= window else math.nan
        for i in range(len(x))
    ]
    np.testing.assert_allclose(vol.decayed_mean(x, decay, window=window), slow, atol=1e-10)


def test_window_sum_is_bit_equal_on_a_truncated_history():
    """A window's value does not depend, in any bit, on what came before the window."""
    x = np.random.default_rng(1).standard_normal(5000)
    for window in (3, 168, 720):
        whole, cut = vol.window_sum(x, window), vol.window_sum(x[1234:], window)
        assert np.array_equal(whole[1234 + window - 1 :], cut[window - 1 :])


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


def test_window_sum_refuses_a_window_of_zero():
    """A window below one hour is a programmer's error."""
    with pytest.raises(ValueError, match="at least 1"):
        vol.window_sum(np.ones(3), 0)


def test_decayed_mean_refuses_a_window_that_is_no_power_of_two():
    """The doubling has no value for other windows, and says so."""
    with pytest.raises(ValueError, match="power of two"):
        vol.decayed_mean(np.ones(3), 0.9, window=3)
