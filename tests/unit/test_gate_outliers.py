"""Outliers: returns and volumes held against the hours before them, counted and left in."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryptovol.gate.medians import above_median
from cryptovol.testing import START, make_bars
from cryptovol.times import HOUR, format_instant
from tests.bar_faults import assign, both, drop, freeze, scale
from tests.gates import AS_OF, N, check, finding

amounts = st.one_of(st.floats(0, 1e308), st.sampled_from([0.0, 1.0, 1.0, 2.0, 60.0, 1e308]))


def reference(values: list[float], times: float, window: int) -> dict[int, float]:
    """Return places and ratios by taking the median before every value."""
    found = {}
    for place, value in enumerate(values):
        past = sorted(values[max(0, place - window) : place])
        if len(past) < max(1, window // 4):
            continue
        with np.errstate(over="ignore"):
            low, high = np.float64(past[(len(past) - 1) // 2]), past[len(past) // 2]
            median = low if len(past) % 2 else (low + high) / 2
            if median > 0 and value > times * median:
                found[place] = float(value / median)
    return found


@settings(max_examples=200)
@given(st.lists(amounts, max_size=120), st.sampled_from([0.5, 1.0, 3.0, 50.0]), st.integers(1, 70))
def test_outliers_are_those_found_by_every_median(values: list[float], times: float, window: int) -> None:
    """The quick way, which takes few medians, finds what taking all of them finds."""
    places, ratios = above_median(np.array(values), times=times, window=window)
    assert dict(zip(places.tolist(), ratios.tolist(), strict=True)) == reference(values, times, window)


@pytest.mark.parametrize("seed", range(3))
def test_outliers_over_the_shipped_window_are_those_found_by_every_median(seed: int) -> None:
    """With heavy tails and the window of 720 hours the quick way loses nothing either."""
    values = np.abs(np.random.default_rng(seed).standard_t(2, 2500))
    places, ratios = above_median(values, times=8.0, window=720)
    expected = reference(values.tolist(), 8.0, 720)
    assert len(expected) > 5 and dict(zip(places.tolist(), ratios.tolist(), strict=True)) == expected


def test_a_crash_is_counted_and_stays_in() -> None:
    """A fall of a third in one hour is an outlier that the model gets to see."""
    report = check(scale(slice(1000, N), 0.67)(make_bars(N)))
    found = finding(report, "outlier_return")
    assert report.clean.all() and not report.refused and not found.quarantined and found.found == 1
    assert report.marks["outlier_return"].tolist() == [1000]
    time, value = found.offenders[0]
    assert (
        time == format_instant(START + 1000 * HOUR) and value.startswith("log return -0.3942 is ") and "scales" in value
    )


def test_a_volume_of_another_unit_is_counted_and_stays_in() -> None:
    """A volume a thousand times too large is told with its multiple of the median."""
    bars = make_bars(N)
    report = check(assign("volume_base", 1000, 1000 * float(np.median(bars.volume_base[280:1000])))(bars))
    assert report.clean.all() and report.marks["outlier_volume"].tolist() == [1000]
    assert finding(report, "outlier_volume").offenders[0][1].endswith("is 1000.0 times the median")


def test_outliers_are_judged_by_what_came_before_alone() -> None:
    """Cutting the bars off after an outlier changes nothing about it, and what is to come makes none."""
    bars = both(scale(slice(1000, N), 0.7), assign("volume_base", 1200, 1e6))(make_bars(N))
    whole = check(bars)
    for end in (1001, 1201, 1500):
        part = check(bars.take(slice(0, end)), as_of=START + end * HOUR)
        for rule, rows in whole.marks.items():
            assert part.marks[rule].tolist() == [row for row in rows.tolist() if row < end]


def test_hours_with_too_little_before_them_are_not_judged() -> None:
    """A quarter of the window must be there: 180 returns or volumes."""
    early = both(scale(slice(180, N), 0.7), assign("volume_base", 179, 1e6))(make_bars(N))
    assert not any(check(early).counts.values())
    late = both(scale(slice(181, N), 0.7), assign("volume_base", 180, 1e6))(make_bars(N))
    counts = check(late).counts
    assert (counts["outlier_return"], counts["outlier_volume"]) == (1, 1)


def test_a_move_over_a_gap_is_no_hourly_return() -> None:
    """What happened in a missing hour cannot be held against one hour's scale."""
    assert check(drop(999)(scale(slice(1000, N), 0.67)(make_bars(N)))).counts["outlier_return"] == 0


def test_a_market_that_stands_still_has_no_scale() -> None:
    """Where most returns are nothing, a move is not measured against nothing."""
    report = check(both(freeze(0, N), scale(slice(1200, N), 1.1))(make_bars(N)), frozen_hours=N)
    assert report.counts["outlier_return"] == 0 and report.clean.all()


def test_scale_is_that_of_a_normal_variable() -> None:
    """A return of just under 25 standard deviations of calm noise passes, of well over it does not."""
    noise = np.random.default_rng(5).standard_normal(N) * 0.002
    for size, found in ((22.0, 0), (28.0, 1)):
        moves = noise.copy()
        moves[1500] = size * 0.002
        level = 30_000 * np.exp(np.cumsum(moves))
        bars = make_bars(N)
        flat = both(*(assign(name, slice(None), level) for name in ("open", "high", "low", "close")))(bars)
        assert check(flat, as_of=AS_OF).counts["outlier_return"] == found
