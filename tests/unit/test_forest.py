"""The numpy forest against XGBoost itself."""

import numpy as np
import pytest

from cryptovol import forest, model, tables
from cryptovol.errors import BundleRefusedError
from cryptovol.params import ForestParams

PARAMS = ForestParams(trees=40, depth=5, learning_rate=0.1, min_child_weight=5, subsample=0.7, colsample=0.7, l2=1.0, bins=256)


@pytest.fixture(scope="module")
def planted():
    """Return features, a target with structure, and the booster fitted to it."""
    rng = np.random.default_rng(4)
    x = rng.standard_normal((3000, 8))
    y = np.sin(x[:, 0]) + (x[:, 1] > 0.3) * x[:, 2] + 0.1 * rng.standard_normal(3000)
    return x, model.train_booster(x, y, PARAMS, seed=1, threads=1)


def test_forest_equals_xgboost(planted):
    """The flat arrays give XGBoost's own predictions to 1e-6 on rows seen and unseen, extremes included."""
    import xgboost

    x, booster = planted
    fresh = np.vstack([x[:500], 3 * np.random.default_rng(9).standard_normal((500, 8)), np.full((1, 8), 1e9)])
    got = forest.from_xgboost(bytes(booster.save_raw("json"))).predict(fresh)
    np.testing.assert_allclose(got, booster.predict(xgboost.DMatrix(fresh.astype(np.float32))), rtol=1e-6, atol=1e-6)


def test_forest_of_one_row_has_the_bits_of_the_whole(planted):
    """A row alone gives the very number it gives among thousands."""
    x, booster = planted
    trees = forest.from_xgboost(bytes(booster.save_raw("json")))
    whole = trees.predict(x[:1200])
    assert all(trees.predict(x[i : i + 1])[0] == whole[i] for i in (0, 511, 512, 1199))


def test_forest_survives_its_own_bytes(planted):
    """Saved and loaded, the forest is the same and so are its bytes."""
    x, booster = planted
    trees = forest.from_xgboost(bytes(booster.save_raw("json")))
    data = tables.encode_npz(trees.arrays())
    loaded = forest.from_arrays(tables.decode_npz(data), features=8)
    assert np.array_equal(loaded.predict(x), trees.predict(x))
    assert tables.encode_npz(loaded.arrays()) == data


def test_forest_refuses_a_node_that_points_outside(planted):
    """A tampered index is refused at load, not read at random at prediction."""
    arrays = forest.from_xgboost(bytes(planted[1].save_raw("json"))).arrays()
    arrays["left"] = arrays["left"].copy()
    arrays["left"][0, 0] = 10_000
    with pytest.raises(BundleRefusedError, match="outside"):
        forest.from_arrays(arrays, features=8)
