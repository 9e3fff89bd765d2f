"""Baselines walked over history: the backtest's own numbers, nothing known too early, gaps, and fits that fail."""

import logging
from dataclasses import replace

import numpy as np
import pytest

from cryptovol import backtest, baselines, target
from cryptovol import volatility as vol
from cryptovol.backtest import Plan
from cryptovol.baselines import garch, walk
from cryptovol.baselines.recalibration import recalibrate
from cryptovol.errors import NotEnoughBarsError
from cryptovol.testing import make_bars
from cryptovol.times import HOUR

H = 24
R = vol.log_returns(make_bars(2300, seed=3).close)
Y = target.forward(R, H, coverage=1.0)
SPAN = {"horizon": H, "first": 1900, "stop": 2300, "refit_hours": 96, "coverage": 0.75}
NAMES = {"persistence", "ewma", "har", "past_mean", "garch"}


@pytest.fixture(scope="module")
def walked():
    """Return the baselines of 400 hours, GARCH refitted every eight days."""
    return walk.walk_forward(R, Y, **SPAN, garch_refit_hours=192)


def slow_walk(log_return, realized, *, horizon, first, stop, refit_hours, coverage):
    """Return HAR, persistence, EWMA and past mean row by row, each from a history cut at its own row."""
    out = {"persistence": [], "ewma": [], "har": [], "past_mean": []}
    for row in range(first, stop):
        if (row - first) % refit_hours == 0:
            cut, known = log_return[: row + 1], realized[: row + 1].copy()
            known[row + 1 - horizon :] = np.nan
            inputs = baselines.har_inputs(cut, coverage=coverage)
            rows = np.isfinite(known) & np.isfinite(inputs).all(axis=1)
            har, mean = baselines.fit_har(inputs, known, rows), known[rows].mean()
        past = log_return[: row + 1]
        out["persistence"].append(baselines.persistence(past, horizon, coverage=coverage)[-1])
        out["ewma"].append(baselines.ewma(past)[-1])
        out["har"].append(har.predict(baselines.har_inputs(past, coverage=coverage)[-1:])[0])
        out["past_mean"].append(mean)
    return out


def test_walk_equals_a_history_cut_at_every_hour(walked):
    """Bit for bit, every forecast is what somebody would have computed who stood at that hour."""
    for name, values in slow_walk(R, Y, **SPAN).items():
        assert np.array_equal(walked[name], np.array(values)), name


def test_walk_equals_the_backtest_on_the_same_rows(quick):
    """Fitted on the rows with all features, the baselines are the backtest's to the last bit."""
    bars = make_bars(2300, seed=3)
    start = int(bars.time[2150]) + HOUR
    longer = replace(quick, ingest=replace(quick.ingest, history_hours=2151))
    table = backtest.table_from(bars, H, longer, start=start)
    found = backtest.run(table, longer, Plan(start, refit_hours=48, garch=False)).scored
    first, n = int(np.searchsorted(table.time, start - HOUR)), len(table.time)
    whole = np.isfinite(table.values).all(axis=1)
    span = {"horizon": H, "first": first, "stop": n, "refit_hours": 48, "coverage": table.coverage}
    got = walk.walk_forward(table.log_return, table.target, **span, rows=whole, garch=False)
    at = np.searchsorted(table.time, found.time) - first
    assert len(at) > 140 and set(got) == NAMES - {"garch"}
    shown = {**found.forecasts, "past_mean": found.past_mean}
    for name in got:
        assert np.array_equal(got[name][at], shown[name]), name


def test_garch_of_the_walk_is_a_fit_on_what_was_known(walked):
    """At the third refit the forecast is that of a fit on the returns so far, recalibrated on the known targets."""
    before, at = garch.fit(R, 1901), 1900 + 192
    found = garch.fit(R, at + 1, last=before).garch
    raw = found.forecast(R[: at + 1], H)
    known = np.isfinite(Y[: at + 1]) & np.isfinite(baselines.har_inputs(R[: at + 1], coverage=0.75)).all(axis=1)
    known[at + 1 - H :] = False
    line = recalibrate(raw, Y[: at + 1], known)
    assert walked["garch"][192] == line.apply(raw)[-1]


def test_forecasts_up_to_t_do_not_see_a_poisoned_future(walked):
    """Every return after t multiplied by nine, and the targets with them, changes no forecast made up to t."""
    cut = 2150
    poisoned = np.where(np.arange(2300) > cut, 9.0 * R, R)
    again = walk.walk_forward(poisoned, target.forward(poisoned, H, coverage=1.0), **SPAN, garch_refit_hours=192)
    for name in NAMES:
        assert np.array_equal(again[name][: cut + 1 - 1900], walked[name][: cut + 1 - 1900]), name
        assert not np.array_equal(again[name], walked[name]), name


@pytest.mark.parametrize(("ago", "known"), [(H, True), (H - 1, False)])
def test_a_target_is_known_once_its_last_hour_has_closed(walked, ago, known):
    """At the first refit the target of `horizon` hours ago is fitted on, and the next one is not."""
    changed = Y.copy()
    changed[1900 - ago] *= 3.0
    again = walk.walk_forward(R, changed, **SPAN, garch_refit_hours=192)
    for name in ("har", "past_mean", "garch"):
        assert bool(again[name][0] != walked[name][0]) is known, name


def test_rows_left_out_are_not_fitted_on(walked):
    """A target spoilt in a row that may not be fitted on changes nothing."""
    rows = np.arange(2300) % 7 != 0
    spoilt = np.where(rows, Y, 9.0)
    clean, again = (walk.walk_forward(R, y, **SPAN, rows=rows, garch_refit_hours=192) for y in (Y, spoilt))
    for name in NAMES:
        assert np.array_equal(clean[name], again[name]), name
    assert not np.array_equal(clean["har"], walked["har"])


def test_gaps_leave_a_forecast_where_there_can_be_one():
    """Two days without a bar: no persistence over that stretch, while GARCH goes on with its expectation."""
    gapped = R.copy()
    gapped[2000:2048] = np.nan
    got = walk.walk_forward(gapped, target.forward(gapped, H, coverage=1.0), **SPAN)
    assert np.isfinite(got["garch"]).all() and np.isfinite(got["past_mean"]).all()
    assert np.isnan(got["persistence"][2030 - 1900]) and np.isnan(got["har"][2030 - 1900])
    assert np.isfinite(got["persistence"][2100 - 1900 :]).all() and np.isfinite(got["har"][2200 - 1900 :]).all()


def test_a_flat_market_gives_the_floor_and_no_nan():
    """Prices that never move are forecast at the floor by every baseline."""
    flat = np.zeros(2300)
    got = walk.walk_forward(flat, target.forward(flat, H, coverage=1.0), **SPAN)
    for name in NAMES - {"past_mean"}:
        np.testing.assert_allclose(got[name], vol.FLOOR, rtol=1e-9, err_msg=name)
    assert np.array_equal(got["past_mean"], np.zeros(400))


def test_garch_is_refitted_at_the_first_refit_after_its_own_interval():
    """Every 200 hours falls between refits every 96: it is refitted at every third; progress counts the refits."""
    fits, seen = [], []
    walk.walk_forward(R, Y, **SPAN, garch_refit_hours=200, told=fits.append, progress=lambda *at: seen.append(at))
    assert [fit.stop for fit in fits] == [1901, 1901 + 288] and all(fit.converged for fit in fits)
    assert seen == [(k, 5) for k in range(5)]


def failing(monkeypatch, *lengths):
    """Let the optimiser fail on histories of these lengths."""
    whole = garch._maximised
    monkeypatch.setattr(
        garch, "_maximised", lambda r, scale, b: (None, "no luck") if len(r) in lengths else whole(r, scale, b)
    )


def test_a_fit_that_fails_keeps_the_parameters_and_is_told(monkeypatch, caplog):
    """The forecasts go on with the last parameters; the caller is told, or else the log."""
    failing(monkeypatch, 1900 + 96, 1900 + 192)
    fits = []
    got = walk.walk_forward(R, Y, **SPAN, garch_refit_hours=96, told=fits.append)
    assert [fit.failures for fit in fits] == [0, 1, 2, 0, 0] and fits[2].garch == fits[0].garch
    assert np.isfinite(got["garch"]).all() and not caplog.records
    with caplog.at_level(logging.WARNING):
        walk.walk_forward(R, Y, **SPAN, garch_refit_hours=96)
    assert [record.args[2] for record in caplog.records] == [1, 2]
    assert "first 1997 hours (no luck), 1 time(s)" in caplog.text and "stay in force" in caplog.text


def test_before_any_fit_converges_there_is_no_garch_forecast(monkeypatch, caplog):
    """A first fit that fails leaves NaN until the next, and says so; the other baselines do not mind."""
    failing(monkeypatch, 1900)
    got = walk.walk_forward(R, Y, **SPAN, garch_refit_hours=192)
    assert np.isnan(got["garch"][:192]).all() and np.isfinite(got["garch"][192:]).all()
    assert np.isfinite(got["har"]).all() and "no GARCH forecast yet" in caplog.text


def test_too_little_history_is_refused_with_the_numbers():
    """No known target, or too few returns for GARCH, ends the walk before it has begun."""
    with pytest.raises(NotEnoughBarsError, match="need 5 hours with a known target 24 hours ahead, found 0") as caught:
        walk.walk_forward(R, Y, **{**SPAN, "first": 100})
    assert (caught.value.needed, caught.value.found) == (5, 0)
    thin, short = np.where(np.arange(2300) < 400, np.nan, R), {**SPAN, "coverage": 0.3, "first": 800}
    with pytest.raises(NotEnoughBarsError, match="GARCH needs 500 hourly returns, found 401 in the first 801"):
        walk.walk_forward(thin, Y, **short)
    assert np.isfinite(walk.walk_forward(thin, Y, **short, garch=False)["har"]).all()


@pytest.mark.parametrize(
    "wrong", [{"first": -1}, {"first": 2300}, {"stop": 2301}, {"first": 2000, "stop": 1999}, {"refit_hours": 0}]
)
def test_rows_outside_the_grid_are_an_error(wrong):
    """A span that is empty or leaves the grid, or no step between refits, is the caller's mistake."""
    with pytest.raises(ValueError, match="grid of 2300 hours|at least 1"):
        walk.walk_forward(R, Y, **{**SPAN, **wrong})
