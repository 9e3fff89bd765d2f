"""The 36 features: their count, their causality, their independence of price, and a slow twin of each."""

import math

import numpy as np
import pytest

from cryptovol import features, volatility
from cryptovol.errors import BarSchemaError
from cryptovol.features import FEATURE_NAMES, WARMUP
from cryptovol.testing import make_bars

N = 1100
BARS = make_bars(N, seed=5)
TABLE = features.build(BARS, coverage=0.75)


def test_features_are_exactly_36_in_four_families():
    """The four families hold 36 distinct names."""
    assert len(FEATURE_NAMES) == len(set(FEATURE_NAMES)) == 36
    assert TABLE.values.shape == (N, 36)


def test_features_are_complete_from_the_warm_up_on():
    """The first whole row is the last hour of the stated warm-up."""
    assert int(np.flatnonzero(TABLE.complete())[0]) == WARMUP - 1
    assert TABLE.complete()[WARMUP - 1 :].all()


@pytest.mark.parametrize("cut", [730, 888, 1024])
def test_features_do_not_see_a_poisoned_future(cut):
    """Changing every bar after t changes no feature up to t, in any bit."""
    poisoned = BARS.take(slice(None))
    for name in ("open", "high", "low", "close", "volume_base"):
        column = getattr(poisoned, name).copy()
        column[cut:] *= 7.0
        poisoned = type(poisoned)(**{**poisoned.columns(), name: column})
    got = features.build(poisoned, coverage=0.75).values[:cut]
    assert np.array_equal(got, TABLE.values[:cut], equal_nan=True)


@pytest.mark.parametrize("first", [1, 97, 300])
def test_features_are_bit_equal_on_a_truncated_history(first):
    """Serving from the last bars gives the very bits that training on all bars gave."""
    cut = features.build(BARS.take(slice(first, None)), coverage=0.75).values
    assert np.array_equal(cut[WARMUP - 1 :], TABLE.values[first + WARMUP - 1 :])


def test_features_are_bit_equal_from_the_warm_up_alone():
    """The warm-up's bars and not one more are enough for the newest row."""
    tail = features.build(BARS.take(slice(N - WARMUP, None)), coverage=0.75).values[-1]
    assert np.array_equal(tail, TABLE.values[-1])


def test_features_ignore_the_price_level():
    """A thousandfold price changes nothing."""
    scaled = {n: getattr(BARS, n) * 1000.0 for n in ("open", "high", "low", "close")}
    got = features.build(type(BARS)(**{**BARS.columns(), **scaled}), coverage=0.75).values
    np.testing.assert_allclose(got, TABLE.values, atol=1e-7)


def test_features_of_an_hour_without_a_bar_are_missing():
    """A gap gives a row of NaN, and rows after it come back within the coverage."""
    holed = features.build(BARS.take(np.r_[0:900, 903:N].astype(np.int64)), coverage=0.75)
    assert len(holed.time) == N
    assert np.isnan(holed.values[900:903]).all()
    assert holed.complete()[-1]


def test_features_of_a_flat_market_are_finite():
    """Zero variance gives floors and zeros, never NaN or infinity."""
    flat = {n: np.full(N, 100.0) for n in ("open", "high", "low", "close")}
    values = features.build(type(BARS)(**{**BARS.columns(), **flat}), coverage=0.75).values
    assert np.isfinite(values[WARMUP - 1 :]).all()


def test_features_refuse_unsorted_bars():
    """Bars out of order are an error, not a shuffled table."""
    with pytest.raises(BarSchemaError, match="sorted and unique"):
        features.build(BARS.take(slice(None, None, -1)), coverage=0.75)


def _slow(row: int) -> dict[str, float]:
    """Return the features of one row, written out from their definitions with plain Python."""
    c, o, h, low, v = BARS.close, BARS.open, BARS.high, BARS.low, BARS.volume_base
    r = [math.nan] + [math.log(c[i] / c[i - 1]) for i in range(1, N)]
    gk = [
        max(0.5 * math.log(h[i] / low[i]) ** 2 - (2 * math.log(2) - 1) * math.log(c[i] / o[i]) ** 2, 0.0)
        for i in range(N)
    ]

    def last(x, w, at=row):
        return list(x[at + 1 - w : at + 1])

    def mean(x):
        return math.fsum(x) / len(x)

    def decayed(x, d, w=256):
        weights = [d**k for k in range(w)]
        return math.fsum(a * b for a, b in zip(reversed(last(x, w)), weights, strict=True)) / math.fsum(weights)

    rms = {w: math.sqrt(mean([a * a for a in last(r, w)])) for w in (6, 24, 72, 168, 720)}
    week, logc = rms[168], [math.log(p) for p in c]
    out = {f"return_{w}": math.asinh(math.fsum(last(r, w)) / (week * math.sqrt(w))) for w in (6, 24, 168)}
    for w in (24, 168):
        out[f"sma_distance_{w}"] = math.asinh((logc[row] - mean(last(logc, w))) / (week * math.sqrt(w)))
    macd = decayed(logc, 1 - 2 / 13) - decayed(logc, 1 - 2 / 27)
    out["macd_12_26"] = math.asinh(macd / (week * math.sqrt(26)))
    out["drawdown_168"] = math.asinh((logc[row] - max(last(logc, 168))) / (week * math.sqrt(168)))
    out |= {f"rv_{w}": math.log(value) for w, value in rms.items()}
    out["ewma_94"] = 0.5 * math.log(decayed([0.0 if i == 0 else a * a for i, a in enumerate(r)], 0.94))
    out |= {f"gk_{w}": 0.5 * math.log(max(mean(last(gk, w)), volatility.FLOOR**2)) for w in (1, 3, 12, 24, 168)}
    park = [math.log(h[i] / low[i]) ** 2 / (4 * math.log(2)) for i in range(N)]
    out["parkinson_72"] = 0.5 * math.log(mean(last(park, 72)))
    day = [math.sqrt(g) for g in last(gk, 24)]
    out["gk_cv_24"] = math.log1p(math.sqrt(mean([(d - mean(day)) ** 2 for d in day])) / mean(day))
    out["gk_same_hours_day"] = 0.5 * math.log(mean(last(gk, 6, row - 18)))
    out["gk_same_hours_week"] = 0.5 * math.log(mean(last(gk, 6, row - 162)))
    gains, losses = ([max(s * a, 0.0) for a in last(r, 14)] for s in (1, -1))
    out["rsi_14"] = (mean(gains) - mean(losses)) / (mean(gains) + mean(losses))
    out["downside_1"] = math.asinh(min(r[row], 0.0) / week)
    for w in (24, 168):
        out[f"downside_share_{w}"] = mean([min(a, 0.0) ** 2 for a in last(r, w)]) / mean([a * a for a in last(r, w)])
    for w in (3, 24):
        out[f"volume_{w}"] = math.log(mean(last(v, w)) / mean(last(v, 168)))
    known = int(BARS.time[row]) + 3600
    for name, period in (("day", 86400), ("week", 604800)):
        for k in (1, 2):
            phase = 2 * math.pi * k * (known % period) / period
            out[f"{name}_sin_{k}"], out[f"{name}_cos_{k}"] = math.sin(phase), math.cos(phase)
    return out


@pytest.mark.parametrize("row", [720, 901, N - 1])
def test_features_equal_their_slow_twins(row):
    """Every feature is what its definition says, computed the plain way."""
    slow = _slow(row)
    assert set(slow) == set(FEATURE_NAMES)
    for j, name in enumerate(FEATURE_NAMES):
        assert TABLE.values[row, j] == pytest.approx(slow[name], abs=1e-9), name
