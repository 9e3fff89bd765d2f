"""The numpy forest against XGBoost itself."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings

from cryptovol import explain, forest, model, tables
from cryptovol.errors import BundleRefusedError
from cryptovol.params import ForestParams

from tests import forest_twins

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


@pytest.mark.parametrize(
    "how", [{"gamma": 2.0, "tree_method": "exact"}, {"grow_policy": "lossguide", "max_leaves": 40, "max_depth": 0}]
)
def test_forest_equals_xgboost_whatever_shape_its_trees_have(planted, how):
    """Pruned trees, whose cut-off nodes stay in the file, and deep narrow ones are exported as they forecast."""
    import xgboost

    x, _ = planted
    y = np.sin(3 * x[:, 0]) * x[:, 1]
    chosen = {"base_score": 0.0, "eta": 0.5, "max_depth": 7, "tree_method": "approx", "nthread": 1, **how}
    booster = xgboost.train(chosen, xgboost.DMatrix(x.astype(np.float32), label=y), 20)
    made = arrays_of(booster)
    np.testing.assert_allclose(made.predict(x), booster.inplace_predict(x.astype(np.float32)), rtol=1e-6, atol=1e-6)
    told = booster.predict(xgboost.DMatrix(x[:20].astype(np.float32)), pred_contribs=True)
    ways = explain.paths(made)
    np.testing.assert_allclose([ways.contributions(row) for row in x[:20]], told[:, :-1], rtol=0, atol=1e-5)


def test_forest_of_one_row_has_the_bits_of_the_whole(planted):
    """A row alone gives the very number it gives among thousands, in whatever memory order."""
    x, booster = planted
    trees = arrays_of(booster)
    whole = trees.predict(x[:1200])
    assert all(trees.predict(x[i : i + 1])[0] == whole[i] for i in (0, 127, 128, 511, 512, 1199))
    assert np.array_equal(trees.predict(np.asfortranarray(x[:1200])), whole)


@settings(deadline=None, max_examples=200)
@given(forest_twins.FORESTS, forest_twins.ROWS)
def test_forest_equals_its_slow_twin(made, row):
    """Trees of every shape, rows on a threshold and infinite ones: the walk ends where recursion does, alone or not."""
    wanted = pytest.approx(forest_twins.predict(made, row[0]), abs=1e-12)
    with np.errstate(over="ignore"):
        assert made.predict(row)[0] == wanted and made.predict(np.repeat(row, 3, axis=0)).tolist() == [wanted] * 3


def test_forest_sends_a_row_on_a_threshold_right():
    """Below the threshold in float32 is left; what float32 rounds up to the threshold is not below."""
    made = forest_twins.forest_of([(0, np.float32(0.1), (1.0, 5), (2.0, 5))])
    exact = float(np.float32(0.1))
    rows = np.array([[np.nextafter(np.float32(0.1), np.float32(0))], [exact - 1e-12], [exact]], dtype=np.float64)
    assert made.predict(rows).tolist() == [1.0, 2.0, 2.0]
    assert [made.predict(rows[i : i + 1])[0] for i in range(3)] == [1.0, 2.0, 2.0]


def test_forest_of_no_rows_is_no_numbers(planted):
    """An empty table gives an empty answer."""
    assert arrays_of(planted[1]).predict(np.empty((0, 8))).shape == (0,)


def test_export_lays_children_side_by_side(planted):
    """However XGBoost numbers a tree's nodes, the export forecasts the same, and carries each node's training weight."""
    x, booster = planted
    body = json.loads(booster.save_raw("json"))
    trees = body["learner"]["gradient_booster"]["model"]["trees"]
    for tree in trees:
        _shuffle(tree)
    shuffled, plain = forest.from_xgboost(json.dumps(body).encode()), arrays_of(booster)
    assert all(np.array_equal(array, shuffled.arrays()[name]) for name, array in plain.arrays().items())
    split = plain.left != np.arange(plain.left.shape[1])
    t, n = np.nonzero(split)
    np.testing.assert_allclose(
        plain.cover[t, n], plain.cover[t, plain.left[t, n]] + plain.cover[t, plain.left[t, n] + 1]
    )
    assert plain.cover[0, 0] == trees[0]["sum_hessian"][0] > 0


def _shuffle(tree):
    """Number a tree's nodes anew, the root excepted."""
    order = np.r_[0, 1 + np.random.default_rng(1).permutation(len(tree["left_children"]) - 1)]
    place = np.argsort(order)
    for name in ("left_children", "right_children"):
        tree[name] = [-1 if tree[name][old] < 0 else int(place[tree[name][old]]) for old in order]
    for name in ("split_indices", "split_conditions", "sum_hessian"):
        tree[name] = [tree[name][old] for old in order]


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


@pytest.mark.parametrize(
    ("name", "where", "number"),
    [
        ("left", (0, 0), 10_000),
        ("left", (0, 0), -1),
        ("left", (0, 1), 0),
        ("feature", (2, 0), 8),
        ("feature", (2, 0), -1),
    ],
)
def test_forest_refuses_a_node_that_points_outside(planted, name, where, number):
    """A tampered index, one that leads back to the root included, is refused at load, not read at random at prediction."""
    arrays = arrays_of(planted[1]).arrays()
    arrays[name] = arrays[name].copy()
    arrays[name][where] = number
    with pytest.raises(BundleRefusedError, match=f"node {where[1]} of tree {where[0]} points outside"):
        forest.from_arrays(arrays, features=8)


def test_forest_refuses_a_last_node_with_one_child(planted):
    """A left child in the last place would have its right one in the next tree."""
    arrays = arrays_of(planted[1]).arrays()
    arrays["left"] = arrays["left"].copy()
    arrays["left"][0, 0] = arrays["left"].shape[1] - 1
    with pytest.raises(BundleRefusedError, match="node 0 of tree 0"):
        forest.from_arrays(arrays, features=8)


@pytest.mark.parametrize("name", ["feature", "threshold", "left", "value", "cover"])
def test_forest_refuses_arrays_that_are_no_forest(planted, name):
    """A missing array, one of another shape and one of another type are each named."""
    arrays = arrays_of(planted[1]).arrays()
    with pytest.raises(BundleRefusedError, match=f"lacks the arrays {name}"):
        forest.from_arrays({n: a for n, a in arrays.items() if n != name}, features=8)
    for bad in (arrays[name][:, :-1], arrays[name][:, :0], arrays[name].astype(np.float64), arrays[name].ravel()):
        with pytest.raises(BundleRefusedError, match="differ in shape or type"):
            forest.from_arrays({**arrays, name: bad}, features=8)


def test_forest_refuses_to_be_empty(planted):
    """Arrays that agree on having nothing in them are no forest."""
    nothing = {name: array[:, :0] for name, array in arrays_of(planted[1]).arrays().items()}
    with pytest.raises(BundleRefusedError, match="differ in shape or type"):
        forest.from_arrays(nothing, features=8)
