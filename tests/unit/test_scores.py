"""Scores: known values and what must win must win."""

import numpy as np
import pytest

from cryptovol import scores

RNG = np.random.default_rng(11)
REALIZED = np.exp(RNG.standard_normal(1500) * 0.4) * 0.005


def test_qlike_is_zero_for_a_perfect_forecast_and_positive_else():
    """Perfect is zero; halving costs more than doubling."""
    assert scores.qlike(REALIZED, REALIZED).max() == pytest.approx(0.0, abs=1e-12)
    assert scores.qlike(REALIZED, REALIZED / 2).mean() > scores.qlike(REALIZED, REALIZED * 2).mean() > 0


def test_summary_of_a_perfect_forecast():
    """R² is one and every error zero."""
    got = scores.summary(REALIZED, REALIZED, past_mean=np.full(1500, 0.005))
    assert got["rmse"] == got["mae"] == 0.0 and got["r2"] == got["r2_log"] == 1.0 and got["bias"] == 1.0


def test_summary_of_the_past_mean_has_no_skill():
    """Forecasting the past mean has R² zero by definition."""
    mean = np.full(1500, 0.005)
    assert scores.summary(REALIZED, mean, past_mean=mean)["r2"] == 0.0


def test_summary_refuses_nothing():
    """No rows is an error and not a perfect score."""
    with pytest.raises(ValueError, match="nothing to score"):
        scores.summary(REALIZED[:0], REALIZED[:0], past_mean=REALIZED[:0])


def test_diebold_mariano_tells_a_planted_loser():
    """A forecast with added noise is worse, significantly, and the sign says which."""
    good, bad = REALIZED * 1.05, REALIZED * np.exp(0.5 * RNG.standard_normal(1500))
    test = scores.diebold_mariano(scores.qlike(REALIZED, bad), scores.qlike(REALIZED, good), horizon=6)
    assert test.is_worse(0.001)
    back = scores.diebold_mariano(scores.qlike(REALIZED, good), scores.qlike(REALIZED, bad), horizon=6)
    assert not back.is_worse(0.05) and back.statistic == pytest.approx(-test.statistic)


def test_diebold_mariano_of_equal_losses_is_no_difference():
    """Equal losses give p one."""
    loss = scores.qlike(REALIZED, REALIZED * 1.1)
    assert scores.diebold_mariano(loss, loss, horizon=24).p == 1.0


def test_coverage_counts_what_lies_inside():
    """Half inside is one half."""
    assert scores.coverage(np.array([1.0, 3.0]), np.zeros(2), np.full(2, 2.0)) == 0.5


def test_diebold_mariano_is_the_sum_over_all_pairs_of_hours():
    """The statistic is that of the Bartlett-weighted sum over every pair of hours, written out."""
    loss = RNG.random(60).cumsum() / 10
    other = RNG.random(60)
    away = (loss - other) - (loss - other).mean()
    lags = 20  # a third of the rows
    apart = np.abs(np.subtract.outer(np.arange(60), np.arange(60)))
    variance = (np.maximum(1 - apart / (lags + 1), 0) * np.outer(away, away)).sum() / 60
    test = scores.diebold_mariano(loss, other, horizon=24)
    assert test.statistic == pytest.approx((loss - other).mean() / np.sqrt(variance / 60))
