"""The mistakes that projects of this kind make with data and model, each as a test that it is not made here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cryptovol import backtest, drift, gate, leaks, model, promotion, target
from cryptovol.bars import NUMBERS, PRICES, Bars, Floats
from cryptovol.callers import check_bars
from cryptovol.errors import BarSchemaError
from cryptovol.features import FEATURE_NAMES, WARMUP
from cryptovol.params import Params
from cryptovol.testing import make_bars
from cryptovol.times import HOUR
from cryptovol.volatility import HOURS_PER_YEAR, log_returns
from tests.leaks.leaky import honest

N = 1400
BARS = make_bars(N, seed=9)
VALUES = honest(BARS).values
RNG = np.random.default_rng(2)


def changed(row: int) -> Bars:
    """Return the bars with all numbers of one bar replaced."""
    columns = {name: getattr(BARS, name).copy() for name in NUMBERS}
    for name in NUMBERS:
        columns[name][row] *= 1.5
    return replace(BARS, **columns)


def times_prices(factor: float) -> Bars:
    """Return the bars at another price level."""
    return replace(BARS, **{name: getattr(BARS, name) * factor for name in PRICES})


def test_windows_are_in_hours_and_the_longest_is_the_stated_warm_up() -> None:
    """The newest row changes with the bar `WARMUP - 1` hours before it and not with the one before that."""
    newest = N - 1
    assert not np.array_equal(honest(changed(newest - WARMUP + 1)).values[newest], VALUES[newest])
    assert np.array_equal(honest(changed(newest - WARMUP)).values[newest], VALUES[newest])


@pytest.mark.parametrize("minutes", [5, 30])
def test_bars_of_minutes_are_refused_and_not_taken_for_hours(minutes: int) -> None:
    """Twelve bars an hour would make a day of two hours: features, gate and API refuse them."""
    start = int(BARS.time[0])
    fine = replace(BARS, time=start + 60 * minutes * np.arange(N, dtype=np.int64))
    with pytest.raises(BarSchemaError, match="full hours"):
        honest(fine)
    with pytest.raises(BarSchemaError, match="full hour"):
        check_bars(fine, int(fine.time[-1]) + HOUR, symbol="BTC", log_return_limit=0.4)


def test_the_target_is_of_as_many_hours_as_the_horizon_says() -> None:
    """The 24 h target is the deviation of the 24 coming hourly returns: not of 12 hours, not of 12 days."""
    returns = log_returns(BARS.close)
    for horizon in (6, 24):
        ahead = target.forward(returns, horizon, coverage=1.0)
        assert ahead[1000] == pytest.approx(np.std(returns[1001 : 1001 + horizon], ddof=1), rel=1e-9)
    assert HOURS_PER_YEAR == 8760


def test_the_target_is_of_returns_and_not_of_price_levels() -> None:
    """A price that climbs evenly has no volatility, though its levels spread; a price ten times as high has the same."""
    climbing = log_returns(np.exp(0.01 * np.arange(100.0)))
    assert np.nanmax(target.forward(climbing, 24, coverage=1.0)) < 1e-8
    returns = [log_returns(close) for close in (BARS.close, 10 * BARS.close)]
    one, ten = (target.forward(each, 24, coverage=1.0) for each in returns)
    np.testing.assert_allclose(one, ten, rtol=1e-6)


def test_only_the_warm_up_and_the_horizon_are_lost_of_a_history(quick: Params) -> None:
    """Of n hours without a gap all but the warm-up and the newest labels can be trained on."""
    table = backtest.table_from(BARS, 24, quick, start=int(BARS.time[-1]) + HOUR)
    assert int(table.labelled().sum()) == N - (WARMUP - 1) - 24


def test_three_years_are_fetched_by_default(params: Params) -> None:
    """Not 720 hours, of which 250 would remain: a month of history is no history."""
    assert params.ingest.history_hours >= 3 * HOURS_PER_YEAR


def test_36_features_are_named_built_and_fitted() -> None:
    """Names, columns and what the model is given are one number."""
    assert len(FEATURE_NAMES) == len(set(FEATURE_NAMES)) == VALUES.shape[1] == 36


def test_no_feature_is_a_price_level_or_a_clock_that_runs_on() -> None:
    """At a thousandfold price, and 104 weeks later, every feature is what it was."""
    np.testing.assert_allclose(honest(times_prices(1000.0)).values, VALUES, atol=1e-6)
    later = honest(replace(BARS, time=BARS.time + 104 * 168 * HOUR))
    np.testing.assert_allclose(later.values, VALUES, atol=1e-9)


def bent(rows: int) -> tuple[Floats, Floats]:
    """Return features, and targets of a real size that follow one of them in a V and no straight line."""
    values = RNG.standard_normal((rows, 36))
    noise = 0.3 * RNG.standard_normal(rows)
    return values, np.exp(np.log(0.005) + 0.4 * np.abs(values[:, 4]) + noise)


def test_the_shipped_regularisation_lets_the_trees_split(params: Params) -> None:
    """With the parameters as shipped trees split on rows as few as allowed, and on a year's find what no line can."""
    train = replace(params.train, threads=1)
    values, volatility = bent(HOURS_PER_YEAR + 1000)
    few = model.fit(values[: train.least_rows], volatility[: train.least_rows], train, horizon=24)
    assert len(np.unique(few.forest.predict(few.standardise(values[-1000:])))) > 100
    got = np.log(model.fit(values[:-1000], volatility[:-1000], train, horizon=24).predict(values[-1000:]))
    assert np.corrcoef(got, np.abs(values[-1000:, 4]))[0, 1] > 0.8


def test_the_unit_of_the_target_does_not_meet_the_regulariser(params: Params) -> None:
    """Volatilities a hundred times smaller give forecasts a hundred times smaller: nothing is compared with 0.005."""
    train = replace(params.train, threads=1, forest=replace(params.train.forest, trees=20))
    values, volatility = bent(train.least_rows)
    large, small = (model.fit(values, volatility * factor, train, horizon=24).predict(values) for factor in (1.0, 0.01))
    np.testing.assert_allclose(small, 0.01 * large, rtol=1e-3)


def test_the_scaler_travels_with_the_model(params: Params) -> None:
    """Features in other units give the same forecasts: the model scales what it is given, the caller does nothing."""
    train = replace(params.train, threads=1, forest=replace(params.train.forest, trees=20))
    values, volatility = bent(train.least_rows)
    units = 10.0 ** RNG.integers(-3, 4, 36)
    plain = model.fit(values, volatility, train, horizon=24).predict(values[:50])
    other = model.fit(values * units, volatility, train, horizon=24).predict(values[:50] * units)
    np.testing.assert_allclose(other, plain, rtol=1e-2)


def test_a_constant_model_is_not_promoted(params: Params) -> None:
    """A forecast that never changes passes a limit on RMSE; against HAR on the same hours it does not."""
    level = np.convolve(RNG.standard_normal(2400), np.ones(200) / 10, mode="valid")
    realized = np.exp(-5 + 0.5 * level + 0.1 * RNG.standard_normal(len(level)))
    constant, har = np.full(len(level), realized.mean()), np.exp(-5 + 0.5 * level)
    assert np.sqrt(np.mean((constant - realized) ** 2)) < 0.051
    verdict = promotion.decide(realized, constant, har, None, horizon=24, params=params.promotion)
    assert not verdict.promote


def test_a_score_as_claimed_elsewhere_makes_us_look_for_a_leak(params: Params) -> None:
    """Scores past what an honest model shows here count as a leak, and honest ones do not."""
    honest_r2 = {6: 0.65, 24: 0.75}  # the best quarter of a year of any simulated coin: docs/leaks.md
    for horizon, limit in zip(params.featurize.horizons, params.promotion.suspect_r2_log, strict=True):
        assert leaks.suspicious(0.95, horizon=horizon, limit=limit)
        assert not leaks.suspicious(honest_r2[horizon], horizon=horizon, limit=limit)


def test_a_healthy_row_is_not_out_of_distribution() -> None:
    """The bounds come from the training rows: few of these lie outside, instead of 16 of 37 for ever."""
    rows = VALUES[np.isfinite(VALUES).all(axis=1)]
    bounds = drift.fit_bounds(rows)
    assert np.mean([len(bounds.outside(row)) for row in rows]) < 0.36
    assert not ((bounds.lower == -1.0) & (bounds.upper == 1.0)).any()


def test_the_unfinished_candle_is_taken_out_by_time(params: Params) -> None:
    """The gate compares UTC with UTC: half an hour before a bar closes it is no bar, whatever its position."""
    as_of = int(BARS.time[-1]) + HOUR // 2
    report = gate.check(BARS, as_of=as_of, params=params.gate, symbol="BTC", quote="USD")
    assert "future" in report.refused_by and not report.clean[-1] and report.clean[:-1].all()


def test_the_gate_sees_a_high_below_its_low(params: Params) -> None:
    """A bar whose high is below its low does not pass."""
    high = BARS.high.copy()
    high[700] = BARS.low[700] * 0.9
    report = gate.check(
        replace(BARS, high=high), as_of=int(BARS.time[-1]) + HOUR, params=params.gate, symbol="BTC", quote="USD"
    )
    assert not report.clean[700] and report.counts["range"] == 1


def test_no_check_of_the_workflows_may_fail_unseen() -> None:
    """No step is forgiven: a gate whose failure is ignored never fires."""
    text = "".join(path.read_text(encoding="utf-8") for path in Path(".github/workflows").glob("*.y*ml"))
    assert "make check" in text
    assert "continue-on-error" not in text and "|| true" not in text
