"""The model: what it is made of, what it must recover and reproduce, and what it must not have seen."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cryptovol import intervals, level, model, params
from cryptovol.errors import NotEnoughBarsError
from cryptovol.volatility import FLOOR

HORIZON = 24
SHIPPED = params.load(Path("params.yaml")).train
TRAIN = replace(
    SHIPPED, least_rows=500, members=3, threads=1, forest=replace(SHIPPED.forest, trees=15, min_child_weight=20)
)
RNG = np.random.default_rng(8)
N = 2500
VALUES = RNG.standard_normal((N, 36))
LOGS = -5 + 0.3 * VALUES[:, 0] - 0.2 * VALUES[:, 7] + 0.2 * np.abs(VALUES[:, 11])
TARGET = np.exp(LOGS + 0.05 * RNG.standard_normal(N))
EDGES = [0, 833, 1666, N]
ROWS = [slice(start, stop) for start, stop in zip(EDGES[:-1], EDGES[1:], strict=True)]
PURGED = [slice(max(rows.start - HORIZON, 0), min(rows.stop + HORIZON, N)) for rows in ROWS]


def fit(values=VALUES, target=TARGET, train=TRAIN, horizon=HORIZON):
    """Return a model."""
    return model.fit(values, target, train, horizon=horizon)


@pytest.fixture(scope="module")
def fitted():
    """Return the model of all rows."""
    return fit()


@pytest.fixture
def told(monkeypatch):
    """Return the list of what each fit tells `level.fit`: logarithms of hours not seen."""
    seen, honest = [], level.fit

    def watched(predicted_log, realized, **how):
        seen.append(predicted_log.copy())
        return honest(predicted_log, realized, **how)

    monkeypatch.setattr(level, "fit", watched)
    return seen


def own_logs(number):
    """Return what one member says of all rows, made by hand: a ridge on the rows it sees, trees on what that leaves."""
    import xgboost

    seen = np.ones(N)
    seen[PURGED[number]] = 0.0
    recent = seen * 0.5 ** (np.arange(N)[::-1] / TRAIN.half_life_hours)
    z, y = (VALUES - VALUES.mean(axis=0)) / VALUES.std(axis=0), np.log(TARGET)
    x = np.column_stack([np.ones(N), z])
    penalty = np.diag([0.0] + [TRAIN.ridge] * 36)
    line = x @ np.linalg.solve((x * recent[:, None]).T @ x + penalty, (x * recent[:, None]).T @ y)
    narrow = z.astype(np.float32)
    data = xgboost.QuantileDMatrix(narrow, label=y - line, max_bin=TRAIN.forest.bins, nthread=1)
    data.set_info(weight=seen)
    trees = model.train_booster(data, TRAIN.forest, seed=TRAIN.seed + number, threads=1)
    return line + trees.predict(xgboost.DMatrix(narrow))


def test_model_recovers_what_was_planted():
    """A log-linear law with a bend is found on rows not seen, with the level's mean kept."""
    made = fit(
        VALUES[:2000], TARGET[:2000], replace(TRAIN, ridge=10.0, forest=replace(TRAIN.forest, trees=100, l2=1.0))
    )
    got = made.predict(VALUES[2000:])
    assert np.corrcoef(np.log(got), np.log(TARGET[2000:]))[0, 1] > 0.97
    assert got.mean() / TARGET[2000:].mean() == pytest.approx(1.0, abs=0.05)


def test_model_is_the_mean_of_its_members(fitted, told):
    """Weights and trees put together say what the members, fitted by hand, say on average."""
    members = [own_logs(number) for number in range(3)]
    np.testing.assert_allclose(fitted.predict_log(VALUES), np.mean(members, axis=0), rtol=0, atol=1e-5)
    fit()
    unseen = np.concatenate([logs[rows] for logs, rows in zip(members, ROWS, strict=True)])
    np.testing.assert_allclose(told[0], unseen, rtol=0, atol=1e-5)


def test_model_learns_its_level_from_hours_its_members_have_not_seen(fitted, told):
    """The level is the one that `level.fit` finds on what each member says of its own stretch."""
    fit()
    how = {"squared_error_weight": TRAIN.squared_error_weight, "half_life": TRAIN.half_life_hours}
    assert fitted.level == level.fit(told[0], TARGET, **how)
    assert np.array_equal(fitted.predict(VALUES), fitted.level.apply(fitted.predict_log(VALUES)))


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_member_has_not_seen_the_labels_of_its_stretch(told, number):
    """With other labels in a stretch and its purge, its member says the same of it, and the other members do not."""
    rows, purged = ROWS[number], PURGED[number]
    other = TARGET.copy()
    other[purged] *= np.exp(RNG.normal(1.0, 1.0, len(other[purged])))
    fit()
    fit(target=other)
    honest, poisoned = told
    np.testing.assert_allclose(poisoned[rows], honest[rows], rtol=0, atol=1e-5)
    assert np.abs(np.delete(poisoned, np.r_[rows]) - np.delete(honest, np.r_[rows])).max() > 0.01


def test_a_member_does_see_the_label_next_to_its_purge(told):
    """The test above can fail: labels one row beyond the purge change what the member says."""
    rows, purged = ROWS[1], PURGED[1]
    other = TARGET.copy()
    other[[purged.start - 1, purged.stop]] *= 1000.0
    fit()
    fit(target=other)
    assert np.abs(told[0][rows] - told[1][rows]).max() > 1e-4


def test_model_fitted_twice_gives_the_same_bytes():
    """Same rows, parameters and seed, on two threads: the same model, bit for bit."""
    first, second = (fit(train=replace(TRAIN, threads=2)) for _ in range(2))
    for name in ("centre", "scale", "weights", "importance"):
        assert getattr(first, name).tobytes() == getattr(second, name).tobytes()
    assert all(np.array_equal(array, second.forest.arrays()[name]) for name, array in first.forest.arrays().items())
    for name in ("intercept", "members", "level", "spread_slope"):
        assert getattr(first, name) == getattr(second, name)


FITTED_ELSEWHERE = """
import numpy as np
from pathlib import Path
from cryptovol import model, params

rng = np.random.default_rng(0)
values = rng.standard_normal((20_000, 36))
target = np.exp(-5 + 0.3 * values[:, 0] + 0.1 * rng.standard_normal(20_000))
made = model.fit(values, target, params.load(Path("params.yaml")).train, horizon=24)
print(made.weights.tobytes().hex(), made.intercept, made.level, made.forest.value.sum(dtype=float))
"""


def test_model_is_the_same_on_one_core_and_on_several():
    """How many threads the linear algebra has, which a function and a laptop differ in, changes no bit of a model."""
    told = {
        subprocess.run(
            [sys.executable, "-c", FITTED_ELSEWHERE],
            env={**os.environ, "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads},
            capture_output=True, text=True, check=True,
        ).stdout
        for threads in ("1", "2")
    }  # fmt: skip
    assert len(told) == 1 and told.pop()


def test_line_follows_what_has_changed():
    """Where the weight of a feature has doubled, the line lies nearer to the new weight than the share of its hours."""
    rng = np.random.default_rng(3)
    values = rng.standard_normal((3000, 36))
    weight = np.where(np.arange(3000) < 2000, 0.1, 0.2)
    target = np.exp(-5.0 + weight * values[:, 0] + 0.05 * rng.standard_normal(3000))
    line = {
        half_life: fit(values, target, replace(TRAIN, ridge=1.0, half_life_hours=half_life)).weights[0]
        for half_life in (400.0, 1e9)
    }
    assert line[1e9] == pytest.approx(0.133, abs=0.01)
    assert line[400.0] > 0.155


def test_model_of_another_seed_has_other_trees_and_the_same_line(fitted):
    """The seed decides what the trees are shown, nothing else."""
    other = fit(train=replace(TRAIN, seed=TRAIN.seed + 100))
    assert np.array_equal(other.weights, fitted.weights)
    assert not np.array_equal(other.forest.value, fitted.forest.value)


def test_members_differ_and_each_adds_its_trees(fitted):
    """No member is another's copy; the forest holds the trees of all."""
    assert fitted.members == 3 and len(fitted.forest.value) == 3 * TRAIN.forest.trees
    one, two, three = (fitted.forest.value[k * 15 : (k + 1) * 15] for k in range(3))
    assert not np.array_equal(one, two) and not np.array_equal(two, three)


def test_model_of_one_row_has_the_bits_of_the_whole(fitted):
    """Serving one row gives the number the backtest gave among thousands, in whatever memory order."""
    whole = fitted.predict(VALUES)
    assert all(fitted.predict(VALUES[i : i + 1])[0] == whole[i] for i in (0, 17, 511, 512, 2499))
    assert np.array_equal(fitted.predict(np.asfortranarray(VALUES)), whole)


def test_the_shape_of_the_memory_does_not_change_the_fit(fitted):
    """Columns that lie together, as a new feature table has them, and rows that do, as a stored one has, fit one model.

    Sums over rows are rounded in another order in the one than in the other; a backtest has the first, the pipeline the
    second, and both must forecast the same bits.
    """
    other = fit(values=np.asfortranarray(VALUES))
    assert np.array_equal(other.centre, fitted.centre) and np.array_equal(other.scale, fitted.scale)
    assert np.array_equal(other.predict(VALUES), fitted.predict(VALUES))


def test_importance_finds_what_was_planted(fitted):
    """Shares sum to one; the two features of the line and the one of the bend, which only trees see, come first."""
    assert fitted.importance.shape == (36,) and (fitted.importance >= 0).all()
    assert fitted.importance.sum() == pytest.approx(1.0, abs=1e-12)
    assert set(np.argsort(fitted.importance)[-3:]) == {0, 7, 11}
    assert fitted.importance[0] > fitted.importance[7]


def test_model_survives_a_constant_feature():
    """A feature without spread is ignored, not divided by zero."""
    flat = VALUES.copy()
    flat[:, 3] = 1.0
    made = fit(values=flat)
    assert np.isfinite(made.predict(flat)).all()
    assert made.weights[3] == made.importance[3] == 0.0


def test_model_of_nothing_but_constants_is_a_constant():
    """Features and market without a move give the target itself, and every feature the same share."""
    made = fit(values=np.ones((N, 36)), target=np.full(N, 0.01))
    np.testing.assert_allclose(made.predict(np.ones((5, 36))), 0.01, rtol=1e-5)
    np.testing.assert_allclose(made.importance, 1 / 36)


def test_model_of_a_dead_market_forecasts_the_floor():
    """Zero volatility throughout is forecast as the smallest there is, whatever the features say."""
    made = fit(target=np.zeros(N))
    np.testing.assert_allclose(made.predict(VALUES), FLOOR, rtol=1e-5)


def test_hopeless_parameters_break_no_run():
    """Trees that overshoot without end give a model that is scored as the poor one it is, and no warning, no NaN."""
    wild = replace(TRAIN.forest, trees=120, learning_rate=1.0, min_child_weight=1, l2=0.0, depth=8)
    made = fit(train=replace(TRAIN, forest=wild))
    assert np.abs(made.predict_log(VALUES)).max() > 100
    assert np.isfinite([made.level.offset, made.level.slope, made.spread_slope]).all()


def test_model_learns_how_its_errors_spread_from_hours_not_seen(fitted, told):
    """The slope of the intervals is the one of the forecasts of each member's own stretch."""
    fit()
    assert fitted.spread_slope == intervals.spread_slope(fitted.level.apply(told[0]), TARGET)


def test_model_refuses_too_few_rows():
    """Too little history is told with both numbers."""
    with pytest.raises(NotEnoughBarsError, match="499 labelled rows") as caught:
        fit(VALUES[:499], TARGET[:499])
    assert (caught.value.needed, caught.value.found) == (500, 499)


def test_shipped_parameters_fit_the_fewest_rows_allowed():
    """The regularisation as shipped, on as few rows as it is allowed to see, leaves trees that split."""
    rows = SHIPPED.least_rows
    made = fit(VALUES[:rows], TARGET[:rows], replace(SHIPPED, threads=1))
    assert made.members == SHIPPED.members and made.forest.depth > 0
    assert len(np.unique(made.forest.predict(made.standardise(VALUES[:rows])))) > 100
