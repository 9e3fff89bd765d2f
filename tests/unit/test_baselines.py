"""Baselines against hand-made cases."""

import numpy as np
import pytest

from cryptovol import baselines

R = np.random.default_rng(3).standard_normal(3000) * 0.01
R[0] = np.nan


def test_persistence_is_the_past_window():
    """Persistence forecasts the standard deviation just seen."""
    got = baselines.persistence(R, 24, coverage=0.75)
    assert got[100] == pytest.approx(np.std(R[77:101], ddof=1))


def test_ewma_of_constant_size_is_that_size():
    """Returns of one size have that size as EWMA volatility."""
    assert baselines.ewma(np.full(400, 0.02))[-1] == pytest.approx(0.02)


def test_har_recovers_a_planted_law():
    """A target made by HAR's own law is found again, level included."""
    inputs = baselines.har_inputs(R, coverage=0.75)
    target = np.exp(-1.0 + inputs @ np.array([0.1, 0.3, 0.2, 0.2]))
    rows = np.isfinite(target)
    har = baselines.fit_har(inputs, target, rows)
    np.testing.assert_allclose(har.coefficients, [-1.0, 0.1, 0.3, 0.2, 0.2], atol=1e-6)
    np.testing.assert_allclose(har.predict(inputs[rows]), target[rows], rtol=1e-6)
