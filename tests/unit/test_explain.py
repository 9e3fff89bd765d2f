"""Contributions: Shapley values by the definition, by XGBoost, and adding up to the forecast."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings

from cryptovol import explain, model, params
from cryptovol.level import SPREAD, Level

from tests import forest_twins

SHIPPED = params.load(Path("params.yaml")).train
TRAIN = replace(
    SHIPPED, least_rows=500, members=3, threads=1, ridge=10.0,
    forest=replace(SHIPPED.forest, trees=15, depth=6, min_child_weight=5, colsample=0.5, l2=1.0),
)  # fmt: skip
RNG = np.random.default_rng(12)
VALUES = 5.0 + 2.0 * RNG.standard_normal((2000, 36))
Z = (VALUES - VALUES.mean(axis=0)) / VALUES.std(axis=0)
TARGET = np.exp(-5 + 0.3 * Z[:, 0] + 0.4 * np.abs(Z[:, 11]) * Z[:, 2] + 0.05 * RNG.standard_normal(2000))


@pytest.fixture(scope="module")
def fitted():
    """Return a model of three members and what it was exported from."""
    return model.fit_with_origin(VALUES, TARGET, TRAIN, horizon=24)


@settings(deadline=None, max_examples=200)
@given(forest_twins.FORESTS, forest_twins.ROWS)
def test_contributions_are_shapley_values(made, row):
    """Trees of every shape, features twice on a path, rows on a threshold: the values of the definition, over all subsets."""
    with np.errstate(over="ignore"):
        ways = explain.paths(made)
        base, wanted = forest_twins.shapley(made, row[0])
        np.testing.assert_allclose(ways.contributions(row[0]), wanted, rtol=0, atol=1e-12)
        assert ways.base == pytest.approx(base, abs=1e-12)


def test_contributions_equal_those_of_xgboost(fitted):
    """Summed over the members, bias included, they are what each booster says of its own trees."""
    import xgboost

    made, origin = fitted
    z = made.standardise(VALUES[:100])
    told = sum(b.predict(xgboost.DMatrix(z.astype(np.float32)), pred_contribs=True) for b in origin.boosters)
    ways = explain.paths(made.forest)
    np.testing.assert_allclose([ways.contributions(row) for row in z], told[:, :-1], rtol=0, atol=1e-5)
    assert ways.base == pytest.approx(told[0, -1], abs=1e-5)
    assert np.abs(told[:, :-1]).max() > 0.1 and made.forest.depth == 6


def test_path_that_no_training_row_took_is_shared_by_halves():
    """Weights of zero, as from rows left out of a fit, give finite values that still add up."""
    made = forest_twins.forest_of([(0, 0.5, (1.0, 0), (1, 0.5, (2.0, 0), (4.0, 0)))])
    ways = explain.paths(made)
    assert ways.base == 0.5 * 1.0 + 0.5 * (0.5 * 2.0 + 0.5 * 4.0)
    np.testing.assert_allclose(ways.contributions(np.array([1.0, 1.0])), [1.25, 0.75])


def test_the_lines_part_is_weight_times_distance_from_the_mean(fitted):
    """Without trees and bend a feature adds its weight times its standardised value; the base is the intercept."""
    made = replace(fitted[0], forest=forest_twins.forest_of([(0.0, 1)]), level=Level(0.0, 1.0, 0.0, 0.0))
    told = explain.explain(made, explain.paths(made.forest), VALUES[7])
    np.testing.assert_allclose(told.contributions, Z[7] * made.weights, rtol=0, atol=1e-12)
    assert told.base == made.intercept


@pytest.mark.parametrize("slope", [-0.3, 0.0, 0.5])
@pytest.mark.parametrize("far", [0.0, 10.0, -10.0, 40.0])
def test_explanation_adds_up_to_the_forecast(fitted, slope, far):
    """Base and contributions are the forecast's logarithm, within the level's cut-offs, across one and beyond both."""
    made = replace(fitted[0], level=replace(fitted[0].level, slope=slope, offset=0.1))
    rows = VALUES[:20].copy()
    rows[:, 0] += far * VALUES[:, 0].std()
    ways = explain.paths(made.forest)
    for row in rows:
        told = explain.explain(made, ways, row)
        assert told.base + told.contributions.sum() == pytest.approx(np.log(made.predict(row[None]))[0], abs=1e-12)


def test_explanation_within_the_cut_offs_stretches_each_part_alike(fitted):
    """The level's bend multiplies every part by its slope and leaves their order as it was."""
    level = Level(fitted[0].intercept, 10.0, 0.0, 5.0)
    plain, bent = (replace(fitted[0], level=each) for each in (replace(level, slope=0.0), level))
    ways = explain.paths(plain.forest)
    parts = [explain.explain(each, ways, VALUES[3]).contributions for each in (plain, bent)]
    np.testing.assert_allclose(parts[1], 1.5 * parts[0], rtol=1e-12)


def test_explanation_of_a_base_beyond_the_cut_offs(fitted):
    """Where the mean itself is cut off, parts count by the mean slope on the way, and the sum is kept."""
    centre = fitted[0].intercept + 1.01 * SPREAD
    made = replace(fitted[0], level=Level(centre, 1.0, 0.0, 0.8))
    ways = explain.paths(made.forest)
    row = VALUES[int(np.argmax(made.predict_log(VALUES)))]
    told = explain.explain(made, ways, row)
    assert made.level.stretch(made.intercept, made.predict_log(row[None])[0]) not in (1.0, 1.8)
    assert told.base + told.contributions.sum() == pytest.approx(np.log(made.predict(row[None]))[0], abs=1e-12)
