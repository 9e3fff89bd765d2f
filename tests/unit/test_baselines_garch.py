"""GARCH against hand-made recursions, planted parameters, gaps, a flat market and fits that fail."""

import math
import subprocess
import sys
import time
import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryptovol import volatility as vol
from cryptovol.baselines import garch
from cryptovol.baselines.garch import Fit, Garch
from cryptovol.baselines.recalibration import recalibrate
from cryptovol.errors import NotEnoughBarsError

ROUND = Garch(omega=1.0, alpha=0.2, beta=0.5, mean=1.0, nu=5.0, start=4.0)
INTEGRATED = Garch(omega=1e-7, alpha=0.1, beta=0.9, mean=0.0, nu=4.0, start=1e-4)


def simulated(n: int, planted: Garch, seed: int = 5):
    """Return n returns of a GARCH market with Student-t errors."""
    rng = np.random.default_rng(seed)
    errors = rng.standard_t(planted.nu, n) * math.sqrt((planted.nu - 2) / planted.nu)
    out, variance = np.empty(n), planted.start
    for t in range(n):
        out[t] = planted.mean + math.sqrt(variance) * errors[t]
        variance = planted.omega + planted.alpha * (out[t] - planted.mean) ** 2 + planted.beta * variance
    return out


PLANTED = Garch(omega=2e-6, alpha=0.1, beta=0.85, mean=0.0, nu=6.0, start=4e-5)
R = simulated(8000, PLANTED)


def slow_filter(g: Garch, log_return):
    """Return the conditional variances as the sum over all past hours, each weighted by beta to its age."""
    out: list[float] = []
    for t in range(len(log_return)):
        squares = [
            (out[s - 1] if s else g.start) if math.isnan(log_return[s]) else (log_return[s] - g.mean) ** 2
            for s in range(t + 1)
        ]
        weights = [g.beta ** (t - s) for s in range(t + 1)]
        past = sum(w * (g.omega + g.alpha * q) for w, q in zip(weights, squares, strict=True))
        out.append(past + g.beta ** (t + 1) * g.start)
    return out


def test_filter_is_the_recursion_computed_by_hand():
    """Two returns and a gap between them give the variances worked out on paper."""
    got = ROUND.filtered(np.array([3.0, np.nan, 0.0]))
    np.testing.assert_allclose(got, [1 + 0.2 * 4 + 0.5 * 4, 1 + 0.7 * 3.8, 1 + 0.2 * 1 + 0.5 * 3.66], rtol=1e-15)


def test_forecast_is_the_root_of_the_mean_expected_variance_computed_by_hand():
    """Over three hours: 3.8, then 1 + 0.7 x 3.8 = 3.66, then 1 + 0.7 x 3.66 = 3.562."""
    log_return = np.array([3.0])
    assert ROUND.forecast(log_return, 1)[0] == pytest.approx(math.sqrt(3.8), rel=1e-15)
    assert ROUND.forecast(log_return, 3)[0] == pytest.approx(math.sqrt((3.8 + 3.66 + 3.562) / 3), rel=1e-15)


@settings(max_examples=60, deadline=None)
@given(
    persistence=st.floats(0.0, 1.0),
    share=st.floats(0.0, 1.0),
    gaps=st.sets(st.integers(0, 59)),
    horizon=st.integers(1, 48),
    seed=st.integers(0, 2**16),
)
def test_filter_and_forecast_agree_with_their_slow_twins(persistence, share, gaps, horizon, seed):
    """Any parameters, gaps and horizon: the explicit sum, and the recursion run on over hours that are missing."""
    g = Garch(1e-6, share * persistence, (1 - share) * persistence, 1e-4, 4.0, 2e-5)
    log_return = np.random.default_rng(seed).standard_normal(60) * 0.01
    log_return[list(gaps)] = np.nan
    np.testing.assert_allclose(g.filtered(log_return), slow_filter(g, log_return), rtol=1e-10)
    ahead = g.filtered(np.concatenate([log_return, np.full(horizon - 1, np.nan)]))[-horizon:]
    assert g.forecast(log_return, horizon)[-1] == pytest.approx(math.sqrt(ahead.mean()), rel=1e-10)


def test_filter_of_50000_hours_takes_less_than_a_tenth_of_a_second():
    """The best of three runs counts, so that a busy machine does not."""
    log_return, took = np.resize(R, 50_000), []
    for _ in range(3):
        begun = time.perf_counter()
        PLANTED.filtered(log_return)
        took.append(time.perf_counter() - begun)
    assert min(took) < 0.1


def test_returns_after_t_change_nothing_up_to_t():
    """With every later return poisoned, filter, forecast and fit up to t are the same bits."""
    poisoned = R.copy()
    poisoned[3000:] = 7.0
    assert np.array_equal(PLANTED.filtered(poisoned)[:3000], PLANTED.filtered(R)[:3000])
    assert np.array_equal(PLANTED.forecast(poisoned, 24)[:3000], PLANTED.forecast(R, 24)[:3000])
    assert garch.fit(poisoned, 3000) == garch.fit(R, 3000)
    assert garch.fit(poisoned, 3001) != garch.fit(R, 3001)


def test_fit_recovers_planted_parameters():
    """Eight thousand hours of a GARCH market give its parameters back, within their standard errors or so."""
    found = garch.fit(R, len(R))
    assert found.converged and found.garch is not None and found.garch.stationary
    assert found.garch.alpha == pytest.approx(PLANTED.alpha, abs=0.03)
    assert found.garch.beta == pytest.approx(PLANTED.beta, abs=0.05)
    assert found.garch.nu == pytest.approx(PLANTED.nu, abs=1.0)
    long_run = found.garch.omega / (1 - found.garch.persistence)
    assert long_run == pytest.approx(PLANTED.omega / (1 - PLANTED.persistence), rel=0.25)


def test_fit_does_not_depend_on_the_unit():
    """Returns a thousand times as large have the same alpha, beta and nu, and a million times the variance."""
    small, large = (garch.fit(R[:2000] * unit, 2000).garch for unit in (1.0, 1000.0))
    assert small and large
    assert (large.alpha, large.beta, large.nu) == pytest.approx((small.alpha, small.beta, small.nu), rel=1e-3)
    assert (large.omega, large.start) == pytest.approx((small.omega * 1e6, small.start * 1e6), rel=1e-3)


def test_fit_leaves_missing_hours_out():
    """A gap in the grid fits as if the hours on either side of it were neighbours."""
    gapped = np.concatenate([R[:900], np.full(30, np.nan), R[900:2000]])
    found, whole = garch.fit(gapped, len(gapped)), garch.fit(R, 2000)
    assert found.garch == whole.garch and (found.stop, whole.stop) == (2030, 2000)


def test_a_fit_begun_at_the_last_one_finds_the_same_optimum():
    """Where the optimiser begins matters little for where it ends."""
    warm, cold = garch.fit(R, 6000, last=garch.fit(R, 5000)), garch.fit(R, 6000)
    assert warm.garch and cold.garch
    assert (warm.garch.alpha, warm.garch.beta) == pytest.approx((cold.garch.alpha, cold.garch.beta), abs=2e-3)


def test_persistence_of_one_is_told_and_still_forecast():
    """Without a finite long-run variance the forecast grows by the constant, hour by hour."""
    assert not INTEGRATED.stationary and ROUND.stationary
    assert not replace(INTEGRATED, beta=0.9 - 1e-9).stationary and replace(INTEGRATED, beta=0.9 - 1e-4).stationary
    variance = INTEGRATED.filtered(np.array([0.01]))[0]
    expected = math.sqrt(np.mean([variance + k * 1e-7 for k in range(24)]))
    assert INTEGRATED.forecast(np.array([0.01]), 24)[0] == pytest.approx(expected, rel=1e-12)


def test_a_fit_at_the_bound_is_not_called_stationary():
    """A market that is now calm, now wild is found with a persistence of one, never more, and told as such."""
    level = np.where(np.arange(6000) // 1000 % 2, 0.002, 0.012)
    market = np.random.default_rng(1).standard_t(5, 6000) * level
    found = garch.fit(market, 6000).garch
    assert found and found.persistence == pytest.approx(1.0, abs=1e-6) and found.persistence <= 1.0 + 1e-15
    assert not found.stationary and np.isfinite(found.forecast(market, 24)).all()


@pytest.mark.parametrize("drift", [0.0, 1e-5])
def test_a_flat_market_is_forecast_at_the_floor(drift):
    """Returns of one size, gaps among them, give the floor and no NaN."""
    flat = np.full(2000, drift)
    flat[500:520] = np.nan
    found = garch.fit(flat, 2000)
    assert found.converged and found.garch and "flat" in found.message
    assert np.array_equal(found.garch.forecast(flat, 24), np.full(2000, vol.FLOOR))
    assert garch.fit(R, 2000, last=found).garch == garch.fit(R, 2000).garch


def test_too_few_returns_are_refused_with_the_numbers():
    """Missing hours do not count, and the error carries what was needed and found."""
    gapped = R[:600].copy()
    gapped[:101] = np.nan
    with pytest.raises(NotEnoughBarsError, match="needs 500 hourly returns, found 499 in the first 600") as caught:
        garch.fit(gapped, 600)
    assert (caught.value.needed, caught.value.found) == (500, 499)
    gapped[0] = 0.01
    assert garch.fit(gapped, 600).stop == 600


def test_a_fit_that_fails_keeps_the_last_parameters_and_is_counted(monkeypatch):
    """Both starts fail: what was in force stays so, and the failures in a row are counted until one converges."""
    good, tried = garch.fit(R, 1000), []
    monkeypatch.setattr(garch, "_maximised", lambda known, scale, before: (tried.append(before), (None, "no"))[1])
    once = garch.fit(R, 1100, last=good)
    twice = garch.fit(R, 1200, last=once)
    assert once == Fit(good.garch, 1, 1100, "no") and twice == Fit(good.garch, 2, 1200, "no")
    assert tried == [good.garch, None] * 2 and not twice.converged
    assert garch.fit(R, 1000) == Fit(None, 1, 1000, "no")
    monkeypatch.undo()
    assert garch.fit(R, 1300, last=twice).failures == 0


def test_arch_leaves_no_warning_and_no_filter_behind(monkeypatch):
    """Whatever arch's optimiser warns of, nobody hears it, and the filters of the process stay as they were."""
    from arch.univariate import ConstantMean

    plain, asked = ConstantMean.fit, []

    def warning(self, **options):
        asked.append(options)
        warnings.warn("overflow", RuntimeWarning, stacklevel=2)
        return plain(self, **options)

    monkeypatch.setattr(ConstantMean, "fit", warning)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        before = list(warnings.filters)
        assert garch.fit(np.random.default_rng(0).standard_cauchy(3000), 3000).failures in (0, 1)
        assert list(warnings.filters) == before
    assert not seen and len(asked) == 1


def test_an_optimum_far_from_the_returns_is_no_optimum():
    """A market that moved once in 3,000 hours never gets that one move as its mean."""
    once = np.zeros(3000)
    once[1500] = 0.3
    found = garch.fit(once, 3000)
    assert found.garch is None or abs(found.garch.mean) < 0.01
    assert found.converged == (found.garch is not None)


def test_recalibration_recovers_a_planted_line_and_the_level():
    """The line is found again, and the mean of the recalibrated forecasts is the mean realized."""
    rng = np.random.default_rng(2)
    forecast = np.exp(rng.normal(-5.0, 0.5, 3000))
    exact = recalibrate(forecast, np.exp(-1.5 + 0.7 * np.log(forecast)), np.ones(3000, dtype=bool))
    assert (exact.intercept, exact.slope, exact.correction) == pytest.approx((-1.5, 0.7, 1.0), rel=1e-9)
    noisy = np.exp(-1.5 + 0.7 * np.log(forecast) + rng.normal(0.0, 0.6, 3000))
    line = recalibrate(forecast, noisy, np.ones(3000, dtype=bool))
    assert line.apply(forecast).mean() == pytest.approx(noisy.mean(), rel=1e-9) and line.correction > 1.1


def test_recalibration_looks_at_its_rows_alone():
    """Other rows may hold anything."""
    forecast, target = np.abs(R[:400]) + 1e-3, np.abs(R[400:800]) + 1e-3
    rows = np.arange(400) < 300
    spoilt = np.where(rows, target, np.nan)
    assert recalibrate(forecast, spoilt, rows) == recalibrate(forecast, target, rows)


def test_baselines_load_no_heavy_package():
    """In a fresh interpreter, importing every baseline loads neither arch nor what it stands on."""
    program = (
        "import sys, cryptovol.baselines.walk, cryptovol.baselines.garch; "
        "print(sorted({'arch', 'scipy', 'pandas', 'statsmodels'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
