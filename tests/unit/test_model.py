"""The model: what it must recover, reproduce and refuse."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cryptovol import model, params
from cryptovol.errors import NotEnoughBarsError

TRAIN = params.load(Path("params.yaml")).train
TRAIN = replace(TRAIN, least_rows=500, threads=1, forest=replace(TRAIN.forest, trees=30, min_child_weight=20))
RNG = np.random.default_rng(8)
VALUES = RNG.standard_normal((2500, 36))
TARGET = np.exp(-5 + 0.3 * VALUES[:, 0] - 0.2 * VALUES[:, 7] + 0.05 * RNG.standard_normal(2500))


def test_model_recovers_a_straight_line():
    """A planted log-linear law is found, with the level's mean kept."""
    fitted = model.fit(VALUES[:2000], TARGET[:2000], TRAIN)
    got = fitted.predict(VALUES[2000:])
    assert np.corrcoef(np.log(got), np.log(TARGET[2000:]))[0, 1] > 0.97
    assert got.mean() / TARGET[2000:].mean() == pytest.approx(1.0, abs=0.05)


def test_model_fitted_twice_gives_the_same_bits():
    """Same rows, parameters and seed: the same model, bit for bit."""
    first, second = (model.fit(VALUES, TARGET, replace(TRAIN, threads=2)) for _ in range(2))
    assert np.array_equal(first.predict(VALUES), second.predict(VALUES))


def test_model_of_one_row_has_the_bits_of_the_whole():
    """Serving one row gives the number the backtest gave among thousands."""
    fitted = model.fit(VALUES, TARGET, TRAIN)
    whole = fitted.predict(VALUES)
    assert all(fitted.predict(VALUES[i : i + 1])[0] == whole[i] for i in (0, 17, 2499))


def test_model_survives_a_constant_feature():
    """A feature without spread is ignored, not divided by zero."""
    flat = VALUES.copy()
    flat[:, 3] = 1.0
    assert np.isfinite(model.fit(flat, TARGET, TRAIN).predict(flat)).all()


def test_model_refuses_too_few_rows():
    """Too little history is told with both numbers."""
    with pytest.raises(NotEnoughBarsError, match="499 labelled rows") as caught:
        model.fit(VALUES[:499], TARGET[:499], TRAIN)
    assert (caught.value.needed, caught.value.found) == (500, 499)
