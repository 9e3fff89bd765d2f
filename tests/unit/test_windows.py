"""Trailing windows: slow twins with gaps, and the bits of a window that nothing outside of it may touch."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryptovol.windows import Trailing, window_max

HOURS = st.lists(st.one_of(st.floats(-5, 5), st.just(math.nan)), min_size=1, max_size=90).map(np.array)
WHOLE = st.lists(st.floats(-5, 5), min_size=1, max_size=90).map(np.array)
WINDOWS = st.integers(1, 100)  # longer than the history, too
COVERAGES = st.sampled_from([0.0, 0.5, 0.75, 1.0])
POWERS = st.sampled_from([1, 2, 4, 8, 32, 128])
ROWS = st.integers(0, 899)
BUDGET = settings(max_examples=80, deadline=None)
RNG = np.random.default_rng(1)
LONG = RNG.standard_normal(900)


def ends(x, window):
    """Return, for each hour, the hours of the window that ends there, or None where the history is too short."""
    return [x[i + 1 - window : i + 1] if i + 1 >= window else None for i in range(len(x))]


def there(hours):
    """Return the hours that are not missing, as plain numbers."""
    return [float(v) for v in hours if not math.isnan(v)]


def same(one, other):
    """Return whether two arrays have the same bits, NaN for NaN."""
    return np.array_equal(one, other, equal_nan=True)


@given(HOURS, WINDOWS)
@BUDGET
def test_sum_equals_its_slow_twin(x, window):
    """The sum of sums is the plain sum of the hours that are there, and missing before the first whole window."""
    slow = [math.nan if w is None else math.fsum(there(w)) for w in ends(x, window)]
    np.testing.assert_allclose(Trailing(x, coverage=1.0).sum(window), slow, atol=1e-12)


@given(HOURS, WINDOWS, COVERAGES)
@BUDGET
def test_mean_equals_its_slow_twin(x, window, coverage):
    """The mean is over the hours that are there, and missing where fewer than the coverage, or none, are."""

    def mean(hours):
        found = [] if hours is None else there(hours)
        return math.fsum(found) / len(found) if found and len(found) >= coverage * window else math.nan

    got = Trailing(x, coverage=coverage).mean(window)
    np.testing.assert_allclose(got, [mean(w) for w in ends(x, window)], atol=1e-12)


@pytest.mark.parametrize(("coverage", "least"), [(0.75, 5), (0.5, 3), (1.0, 6), (0.0, 1), (0.1, 1)])
def test_coverage_of_a_window_is_rounded_up(coverage, least):
    """Three quarters of six hours are five: with four there is no mean. Without any hour there never is one."""
    found = []
    for there in range(7):
        x = np.r_[np.full(6 - there, np.nan), np.ones(there)]
        found.append(math.isfinite(Trailing(x, coverage=coverage).mean(6)[-1]))
    assert found == [there >= least for there in range(7)]


@given(HOURS, st.floats(0.5, 0.99), POWERS)
@BUDGET
def test_decayed_mean_equals_its_slow_twin(x, decay, window):
    """The exponential mean weighs an hour by its age; missing hours lose their weight and shift no other's."""

    def mean(hours):
        pairs = [] if hours is None else [(v, decay**age) for age, v in enumerate(hours[::-1]) if not math.isnan(v)]
        return math.fsum(v * w for v, w in pairs) / math.fsum(w for _, w in pairs) if pairs else math.nan

    got = Trailing(x, coverage=1.0).decayed_mean(decay, window=window)
    np.testing.assert_allclose(got, [mean(w) for w in ends(x, window)], atol=1e-10)


@given(HOURS, WINDOWS)
@BUDGET
def test_window_max_equals_its_slow_twin(x, window):
    """The doubled maximum is the plain one; a window with a missing hour has none."""
    slow = [math.nan if w is None or np.isnan(w).any() else max(map(float, w)) for w in ends(x, window)]
    np.testing.assert_array_equal(window_max(x, window), slow)


@given(WHOLE, st.integers(1, 40))
@BUDGET
def test_windows_of_one_hour_are_the_hours(x, wider):
    """A window of one hour is that hour, in every bit, whatever wider windows were asked before it."""
    trailing = Trailing(x, coverage=1.0)
    trailing.sum(wider)
    for got in (trailing.sum(1), trailing.mean(1), trailing.decayed_mean(0.9, window=1), window_max(x, 1)):
        assert same(got, x)


EVERY = {
    "sum": lambda x, w: Trailing(x, coverage=0.5).sum(w),
    "mean": lambda x, w: Trailing(x, coverage=0.5).mean(w),
    "decayed_mean": lambda x, w: Trailing(x, coverage=0.5).decayed_mean(0.97, window=1 << (w.bit_length() - 1)),
    "window_max": window_max,
}


@pytest.mark.parametrize("name", EVERY)
@given(window=st.integers(1, 400), first=ROWS, gaps=st.lists(st.integers(0, 899), max_size=5))
@settings(max_examples=40, deadline=None)
def test_windows_do_not_depend_on_where_the_history_begins(name, window, first, gaps):
    """From its first whole window on, a history cut anywhere has the bits of the whole one."""
    x = LONG.copy()
    x[gaps] = np.nan
    whole, cut = EVERY[name](x, window), EVERY[name](x[first:], window)
    assert same(cut[window - 1 :], whole[first + window - 1 :])


@pytest.mark.parametrize("name", EVERY)
@given(window=st.integers(1, 400), gap=ROWS)
@settings(max_examples=40, deadline=None)
def test_windows_do_not_depend_on_gaps_elsewhere(name, window, gap):
    """A window without a gap has the bits it has in a history without one."""
    x = LONG.copy()
    x[gap] = np.nan
    elsewhere = np.r_[0:gap, min(gap + window, 900) : 900]
    assert same(EVERY[name](x, window)[elsewhere], EVERY[name](LONG, window)[elsewhere])


@given(HOURS, WINDOWS, st.integers(0, 89))
@BUDGET
def test_windows_do_not_know_later_hours(x, window, cut):
    """Whatever follows an hour, the windows that end there or before keep their bits."""
    for name, made in EVERY.items():
        assert same(made(x[: cut + 1], window), made(x, window)[: cut + 1]), name


@pytest.mark.parametrize("window", [1, 2, 4, 8, 64])
def test_sums_may_be_written_into(window):
    """What is done to a sum changes neither the series nor the sums that later windows are made of."""
    x = LONG[:200].copy()
    trailing, fresh = Trailing(x, coverage=1.0), Trailing(LONG[:200], coverage=1.0)
    trailing.sum(window)[:] = 1e9
    assert same(x, LONG[:200])
    for other in (1, window, 2 * window, 2 * window + 1):
        assert same(trailing.sum(other), fresh.sum(other))


@pytest.mark.parametrize("gap", [[], [3]])
def test_means_leave_the_series_and_the_sums_alone(gap):
    """A mean, also over a power of two hours, divides a copy."""
    x = LONG[:200].copy()
    x[gap] = np.nan
    before, trailing = x.copy(), Trailing(x, coverage=0.5)
    sums = [trailing.sum(w) for w in (1, 8, 24)]
    for window in (1, 8, 24):
        trailing.mean(window)
    trailing.decayed_mean(0.9, window=8)
    assert same(x, before)
    assert all(same(trailing.sum(w), held) for w, held in zip((1, 8, 24), sums, strict=True))


@given(HOURS, st.lists(st.integers(0, 89), max_size=4), WINDOWS, POWERS)
@BUDGET
def test_series_counted_together_have_the_bits_of_series_counted_alone(x, more, window, power):
    """What series lack is counted once for those that lack the same, and apart where one lacks more."""
    other = x * x
    other[[row for row in more if row < len(x)]] = np.nan
    known = []
    for series in (x, other, x + 1.0):
        alone, beside = Trailing(series, coverage=0.5), Trailing(series, coverage=0.5, known=known)
        assert same(beside.mean(window), alone.mean(window))
        assert same(beside.decayed_mean(0.9, window=power), alone.decayed_mean(0.9, window=power))
    assert len(known) == (1 if same(np.isnan(other), np.isnan(x)) else 2)


def test_windows_longer_than_the_history_have_no_value():
    """They are missing at every hour, and no error."""
    for name, made in EVERY.items():
        assert np.isnan(made(LONG[:5], 8)).all(), name
        assert made(LONG[:0], 8).shape == (0,), name


def test_cancellation_does_not_reach_later_windows():
    """An hour a billion times as large leaves no trace in the windows after it, as it would in a cumulative sum."""
    x = LONG.copy()
    x[100] = 1e9
    assert same(Trailing(x, coverage=1.0).mean(24)[124:], Trailing(LONG, coverage=1.0).mean(24)[124:])


@pytest.mark.parametrize("window", [0, -1, -24])
def test_sum_refuses_a_window_below_one_hour(window):
    """A window below one hour is a programmer's error."""
    for made in (Trailing(np.ones(3), coverage=1.0).sum, Trailing(np.ones(3), coverage=1.0).mean):
        with pytest.raises(ValueError, match=f"at least 1, not {window}"):
            made(window)


@pytest.mark.parametrize("window", [0, -2, 3, 24, 255])
def test_decayed_mean_refuses_a_window_that_is_no_power_of_two(window):
    """The doubling has no value for other windows, and says so."""
    with pytest.raises(ValueError, match=f"power of two, not {window}"):
        Trailing(np.ones(3), coverage=1.0).decayed_mean(0.9, window=window)
