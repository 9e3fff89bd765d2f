"""The numpy forest against XGBoost itself."""

from dataclasses import replace

import numpy as np
import pytest

from cryptovol import forest, model, tables
from cryptovol.errors import BundleRefusedError
from cryptovol.params import ForestParams

PARAMS = ForestParams(
    trees=40, depth=5, learning_rate=0.1, min_child_weight=5, subsample=0.7, colsample=0.7, l2=1.0, bins=256
)


def booster_of(x, y, forest_params=PARAMS):
    """Return the booster fitted to a target."""
    import xgboost

    data = xgboost.QuantileDMatrix(x.astype(np.float32), label=y, max_bin=forest_params.bins, nthread=1)
    return model.train_booster(data, forest_params, seed=1, threads=1)


def arrays_of(booster):
    """Return the booster as a forest."""
    return forest.from_xgboost(bytes(booster.save_raw("json")))


@pytest.fixture(scope="module")
def planted():
    """Return features, a target with structure, and the booster fitted to it."""
    rng = np.random.default_rng(4)
    x = rng.standard_normal((3000, 8))
    y = np.sin(x[:, 0]) + (x[:, 1] > 0.3) * x[:, 2] + 0.1 * rng.standard_normal(3000)
    return x, booster_of(x, y)


def test_forest_equals_xgboost(planted):
    """The flat arrays give XGBoost's own predictions to 1e-6 on rows seen and unseen, extremes included."""
    import xgboost

    x, booster = planted
    fresh = np.vstack([x, 3 * np.random.default_rng(9).standard_normal((20_000, 8)), np.full((1, 8), 1e9)])
    got = arrays_of(booster).predict(fresh)
    np.testing.assert_allclose(got, booster.predict(xgboost.DMatrix(fresh.astype(np.float32))), rtol=1e-6, atol=1e-6)


def test_forest_of_one_row_has_the_bits_of_the_whole(planted):
    """A row alone gives the very number it gives among thousands."""
    x, booster = planted
    trees = arrays_of(booster)
    whole = trees.predict(x[:1200])
    assert all(trees.predict(x[i : i + 1])[0] == whole[i] for i in (0, 511, 512, 1199))


def test_forest_survives_its_own_bytes(planted):
    """Saved and loaded, the forest is the same and so are its bytes."""
    x, booster = planted
    trees = arrays_of(booster)
    data = tables.encode_npz(trees.arrays())
    loaded = forest.from_arrays(tables.decode_npz(data), features=8)
    assert np.array_equal(loaded.predict(x), trees.predict(x))
    assert tables.encode_npz(loaded.arrays()) == data


def test_joined_forest_is_the_sum_of_its_parts(planted):
    """Forests of other sizes and depths, one of bare leaves among them, add up, each tree as it was."""
    x, booster = planted
    shallow = booster_of(x, x[:, 3] ** 2, replace(PARAMS, trees=7, depth=2))
    bare = booster_of(x, x[:, 3], replace(PARAMS, trees=3, min_child_weight=1e9))
    parts = [arrays_of(each) for each in (bare, booster, shallow)]
    joined = forest.joined(parts)
    assert len(joined.value) == 3 + 40 + 7 and joined.depth == max(each.depth for each in parts) > parts[2].depth
    assert parts[0].depth == 0
    np.testing.assert_allclose(joined.predict(x), sum(each.predict(x) for each in parts), rtol=0, atol=1e-12)


def test_joined_forest_survives_its_own_bytes_and_splits_into_its_parts(planted):
    """The order of the parts is kept, what pads a smaller tree is a leaf, and the table is one that loads."""
    x, booster = planted
    small, large = arrays_of(booster_of(x, x[:, 3], replace(PARAMS, trees=5, depth=1))), arrays_of(booster)
    joined = forest.joined([small, large])
    nodes = small.value.shape[1]
    assert np.array_equal(joined.value[:5, :nodes], small.value) and not joined.value[:5, nodes:].any()
    assert np.array_equal(joined.threshold[5:], large.threshold)
    assert (joined.left[:5, nodes:] == np.arange(nodes, large.value.shape[1])).all()
    loaded = forest.from_arrays(tables.decode_npz(tables.encode_npz(joined.arrays())), features=8)
    assert np.array_equal(loaded.predict(x), joined.predict(x))


def test_joined_forest_of_one_is_that_one(planted):
    """Nothing is added or moved."""
    one = arrays_of(planted[1])
    assert all(np.array_equal(array, one.arrays()[name]) for name, array in forest.joined([one]).arrays().items())


def test_forest_refuses_a_node_that_points_outside(planted):
    """A tampered index is refused at load, not read at random at prediction."""
    arrays = arrays_of(planted[1]).arrays()
    arrays["left"] = arrays["left"].copy()
    arrays["left"][0, 0] = 10_000
    with pytest.raises(BundleRefusedError, match="outside"):
        forest.from_arrays(arrays, features=8)
