"""The 36 features: each against a slow twin and against pandas, and what none of them may depend on."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import rolling
from cryptovol import features
from cryptovol.bars import NUMBERS, PRICES
from cryptovol.errors import BarSchemaError
from cryptovol.features import FAMILIES, FEATURE_NAMES, MOMENTUM, PRICE, TEMPORAL, WARMUP
from cryptovol.testing import make_bars
from tests import feature_twins

N = 1300
BARS = make_bars(N, seed=5)
GAPS = np.r_[3:5, 500:640, 760:761, 905:912, 1150:1153, 1290:1297]
HOLED = BARS.take(np.delete(np.arange(N), GAPS))
SCALES = st.floats(-3, 3).map(lambda power: 10.0**power)
BLOCKS = st.sampled_from([61, 168, 300, 719, 720, 721, 1000, 1299])
HOLES = st.lists(st.tuples(st.integers(1, N - 2), st.integers(1, 60)), max_size=5)


def build(bars, coverage=0.75):
    """Return the feature table of bars."""
    return features.build(bars, coverage=coverage)


TABLE = build(BARS)


def same(one, other):
    """Return whether two arrays have the same bits, NaN for NaN."""
    return np.array_equal(one, other, equal_nan=True)


def holed(gaps):
    """Return the bars without the hours of some gaps, the first and the last bar kept."""
    missing = np.concatenate([np.arange(at, min(at + hours, N - 1)) for at, hours in gaps] or [np.empty(0, dtype=int)])
    return BARS.take(np.delete(np.arange(N), np.unique(missing)))


def with_prices(made, bars=BARS):
    """Return the bars with other prices; volumes and times stay."""
    return replace(bars, **{name: np.asarray(made(getattr(bars, name)), dtype=np.float64) for name in PRICES})


def test_features_are_exactly_36_in_four_families():
    """Price, volatility, momentum and temporal hold 36 distinct names, in the order of the columns."""
    assert list(FAMILIES) == ["price", "volatility", "momentum", "temporal"]
    assert sum(FAMILIES.values(), ()) == FEATURE_NAMES
    assert len(FEATURE_NAMES) == len(set(FEATURE_NAMES)) == 36
    assert TABLE.values.shape == (N, 36)
    assert all(TABLE.values[:, j].flags.c_contiguous for j in range(36))


@pytest.mark.parametrize("at", [720, 901, N - 1])
def test_features_equal_their_slow_twins(at):
    """Every feature is what its definition says, computed the plain way."""
    slow = feature_twins.Twin(BARS, coverage=0.75).row(at)
    assert set(slow) == set(FEATURE_NAMES)
    for name, value in zip(FEATURE_NAMES, TABLE.values[at], strict=True):
        assert value == pytest.approx(slow[name], abs=1e-9), name


@pytest.mark.parametrize("coverage", [0.5, 0.75, 1.0])
def test_features_equal_their_slow_twins_around_gaps(coverage):
    """Missing hours are left out of every window alike, and the coverage decides when there is no value."""
    near = {int(gap) + after for gap in GAPS[GAPS > 700] for after in (-1, 0, 1, 5, 160)}
    at = sorted({WARMUP - 1, N - 1, *(row for row in near if row < N)})
    slow = feature_twins.rows(HOLED, at, FEATURE_NAMES, coverage=coverage)
    got = build(HOLED, coverage).values[at]
    assert np.isnan(got).any() and (coverage == 1.0 or np.isfinite(got).all(axis=1).any())
    np.testing.assert_allclose(got, slow, atol=1e-9)


# The exponential means of pandas run on from the first bar, ours end after 256 hours: 0.97^256 is 4e-4 of the weight,
# 0.94^256 1e-7. What else differs is the rounding of pandas' running sums.
TOLERANCES = {"gk_ewma_97": 2e-3, "ewma_94": 1e-5, "macd_12_26": 1e-5}


def test_features_equal_those_of_pandas():
    """Another implementation, on a library's rolling windows, gives the same columns within the stated tolerances."""
    theirs = rolling.build(BARS, coverage=0.75)
    assert tuple(theirs.columns) == FEATURE_NAMES
    for name, ours in zip(FEATURE_NAMES, TABLE.values.T, strict=True):
        column = theirs[name].to_numpy()[WARMUP - 1 :]
        np.testing.assert_allclose(ours[WARMUP - 1 :], column, atol=TOLERANCES.get(name, 1e-6), err_msg=name)


def test_features_are_complete_from_the_warm_up_on():
    """The first whole row is the last hour of the stated warm-up, and no value comes before it."""
    assert TABLE.complete().tolist() == [False] * (WARMUP - 1) + [True] * (N - WARMUP + 1)
    assert np.isnan(TABLE.values[: WARMUP - 1]).all()
    assert not build(BARS.take(slice(0, WARMUP - 1))).complete().any()
    assert build(BARS.take(slice(0, WARMUP))).complete().tolist() == [False] * (WARMUP - 1) + [True]


@given(cut=st.integers(WARMUP - 1, N - 1), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_features_do_not_see_a_poisoned_future(cut, seed):
    """Changing every bar after t, or leaving it out, changes no feature up to t, in any bit."""
    rng = np.random.default_rng(seed)
    late = np.arange(N) > cut
    columns = {name: getattr(BARS, name) * np.where(late, np.exp(rng.normal(0, 2, N)), 1.0) for name in NUMBERS}
    for other in (replace(BARS, **columns), BARS.take(slice(0, cut + 1))):
        assert same(build(other).values[: cut + 1], TABLE.values[: cut + 1])


@given(first=st.integers(0, N - WARMUP), block=BLOCKS)
@settings(max_examples=20, deadline=None)
def test_features_are_bit_equal_on_a_truncated_history(first, block):
    """Serving from the last bars gives the very bits that training on all bars gave, whatever the blocks of either."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features, "BLOCK", block)
        cut = build(BARS.take(slice(first, None))).values
    assert same(cut[WARMUP - 1 :], TABLE.values[first + WARMUP - 1 :])


def test_features_are_bit_equal_from_the_warm_up_alone():
    """The warm-up's bars and not one more are enough for the newest row."""
    tail = build(BARS.take(slice(N - WARMUP, None))).values[-1]
    assert same(tail, TABLE.values[-1]) and np.isfinite(tail).all()


@given(block=BLOCKS, gaps=HOLES)
@settings(max_examples=30, deadline=None)
def test_features_are_bit_equal_in_blocks_of_any_size(block, gaps):
    """Blocks are a matter of speed: with gaps anywhere, at their borders too, one block gives the same bits."""
    bars = holed([*gaps, (max(block - 2, 1), 3)])
    whole = build(bars).values
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features, "BLOCK", block)
        assert same(build(bars).values, whole)


@given(scale=SCALES)
@settings(max_examples=10, deadline=None)
def test_features_ignore_the_price_level(scale):
    """A thousandfold price changes nothing."""
    np.testing.assert_allclose(build(with_prices(lambda p: p * scale)).values, TABLE.values, atol=1e-7)


@given(scale=SCALES)
@settings(max_examples=10, deadline=None)
def test_features_ignore_the_unit_of_the_volume(scale):
    """Volumes counted in another unit change nothing, and no feature but `volume_1` looks at them."""
    other = build(replace(BARS, volume_base=BARS.volume_base * scale)).values
    np.testing.assert_allclose(other, TABLE.values, atol=1e-9)
    at = FEATURE_NAMES.index("volume_1")
    assert same(np.delete(other, at, axis=1), np.delete(TABLE.values, at, axis=1))


@given(gaps=HOLES)
@settings(max_examples=10, deadline=None)
def test_features_of_an_hour_without_a_bar_are_missing(gaps):
    """A gap gives rows of NaN, one for each hour, and none where there is a bar on the grid's other hours."""
    bars = holed(gaps)
    table = build(bars)
    assert len(table.time) == N and (np.diff(table.time) == 3600).all()
    missing = ~np.isin(table.time, bars.time)
    assert np.isnan(table.values[missing]).all()
    temporal = table.values[WARMUP - 1 :, -len(TEMPORAL) :]
    assert same(np.isnan(temporal).all(axis=1), missing[WARMUP - 1 :])


def test_features_come_back_after_a_short_gap():
    """After three missing hours the shortest windows are whole again within 12 more, and nothing lacks in the weeks after."""
    table = build(holed([(750, 3)]))
    assert np.isfinite(table.values[764:]).all()
    assert np.isfinite(table.values[753, FEATURE_NAMES.index("rv_720")])


def test_features_of_a_flat_market_are_finite():
    """Zero variance gives floors and zeros, never NaN or infinity; so does a market without trades."""
    flat = with_prices(lambda p: np.full(N, 100.0))
    for bars in (flat, replace(flat, volume_base=np.zeros(N))):
        values = build(bars).values[WARMUP - 1 :]
        assert np.isfinite(values).all()
        column = dict(zip(FEATURE_NAMES, values.T, strict=True))
        zero = ("rsi_14", "gk_cv_24", "largest_24", "move_3", "downside_3", *PRICE)
        assert all(np.abs(column[name]).max() < 1e-6 for name in zero)
        assert all((column[name] == np.log(1e-6)).all() for name in ("rv_6", "gk_1", "gk_ewma_97", "gk_same_24"))
    assert (column["volume_1"] == 0.0).all()


@pytest.mark.parametrize("move", [0.8, 1.2])
@pytest.mark.parametrize("before", [BARS, with_prices(lambda p: np.full(N, 100.0))])
def test_a_single_hour_of_20_percent_stays_in_the_features_range(before, move):
    """In a lively market as in a dead one, one wild hour gives finite numbers, and no distance beyond a few units."""
    at = np.arange(N) >= 900
    wild = with_prices(lambda p: p * np.where(at, move, 1.0), before)
    wild = replace(wild, open=np.where(np.arange(N) == 900, before.open, wild.open))
    wild = replace(wild, high=np.maximum(wild.high, wild.open), low=np.minimum(wild.low, wild.open))
    values = build(wild).values[WARMUP - 1 :]
    assert np.isfinite(values).all()
    columns = [FEATURE_NAMES.index(name) for name in (*PRICE, *MOMENTUM) if name != "volume_1"]
    assert np.abs(values[:, columns]).max() < 4.0


@pytest.mark.parametrize("rows", [np.arange(N)[::-1], np.r_[0:N, N - 1], np.r_[0, 2, 1, 3:N]])
def test_features_refuse_bars_out_of_order(rows):
    """Bars out of order or repeated are an error, not a shuffled table."""
    with pytest.raises(BarSchemaError, match="sorted and unique"):
        build(BARS.take(rows))


def test_features_refuse_bars_off_the_hour():
    """A bar at half past has no place on the grid."""
    with pytest.raises(BarSchemaError, match="full hours"):
        build(replace(BARS, time=BARS.time + 1800))


def test_features_of_no_bars_are_no_rows():
    """An empty history has an empty table of the usual width."""
    table = build(BARS.take(slice(0, 0)))
    assert table.values.shape == (0, 36) and len(table.time) == len(table.log_return) == 0
