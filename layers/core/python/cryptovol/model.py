"""The forecast model: a ridge on 36 features for the logarithm of volatility, and boosted trees on what it leaves.

The straight line carries the level, so that a regime never seen is extrapolated and not cut off at the largest leaf;
the trees see only residuals and add what is not straight. Several such pairs, each fitted without one stretch of the
past, are averaged; what each says of the stretch it has not seen shows, over the whole past, how the predicted
logarithm must become a level. xgboost is imported inside `fit` alone.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryptovol import folds, intervals, level
from cryptovol import forest as forests
from cryptovol import volatility as vol
from cryptovol.bars import Floats
from cryptovol.errors import NotEnoughBarsError
from cryptovol.forest import Forest
from cryptovol.level import Level
from cryptovol.params import ForestParams, TrainParams


@dataclass(frozen=True, eq=False)
class Model:
    """One fitted model of one horizon.

    Parameters
    ----------
    centre, scale
        Shape (36,): mean and standard deviation of the training rows.
    weights
        Shape (36,): ridge weights of the standardised features, the mean over the members.
    intercept
        Mean log target, the mean over the members.
    forest
        Trees of all members on the standardised features, trained on the ridges' residuals.
    members
        How many pairs of ridge and trees are averaged.
    level
        From the predicted logarithm to the level.
    spread_slope
        How the size of the log error changes with the forecast, for the intervals.
    importance
        Shape (36,): each feature's share of the mean size of what ridge and trees add, sums to 1.
    """

    centre: Floats
    scale: Floats
    weights: Floats
    intercept: float
    forest: Forest
    members: int
    level: Level
    spread_slope: float
    importance: Floats

    def standardise(self, values: Floats) -> Floats:
        """Return features in units of the training rows, shape (n, 36), C order."""
        return np.ascontiguousarray((values - self.centre) / self.scale)

    def predict_log(self, values: Floats) -> Floats:
        """Return the predicted logarithm of volatility before it becomes a level, shape (n,)."""
        z = self.standardise(values)
        return self.with_trees(z, self.forest.predict(z))

    def with_trees(self, z: Floats, trees: Floats) -> Floats:
        """Return the predicted logarithm, shape (n,), of standardised features and what all trees say of them in sum."""
        # A row-wise sum, not a matrix product: one row alone gives the same bits as among thousands.
        line: Floats = self.intercept + (z * self.weights).sum(axis=1)
        return line + trees / self.members

    def predict(self, values: Floats) -> Floats:
        """Return the predicted volatility per hour.

        Parameters
        ----------
        values
            Shape (n, 36) in the order of `features.FEATURE_NAMES`, without NaN.

        Returns
        -------
        array of shape (n,)
        """
        return self.level.apply(self.predict_log(values))


@dataclass(frozen=True, eq=False)
class Origin:
    """What a model was exported from: XGBoost's own boosters, to hold the export against; never stored.

    Parameters
    ----------
    model
        As fitted.
    boosters
        One per member.
    """

    model: Model
    boosters: Sequence[Any]

    def predict(self, values: Floats) -> Floats:
        """Return the predicted volatility per hour, shape (n,), with XGBoost's own predictions for the trees' part."""
        z = self.model.standardise(values)
        narrow = z.astype(np.float32)
        trees = np.zeros(len(z))
        for booster in self.boosters:
            trees += booster.inplace_predict(narrow)
        return self.model.level.apply(self.model.with_trees(z, trees))


def fit(values: Floats, target: Floats, params: TrainParams, *, horizon: int) -> Model:
    """Return the model fitted on labelled rows; see `fit_with_origin`."""
    return fit_with_origin(values, target, params, horizon=horizon)[0]


def fit_with_origin(values: Floats, target: Floats, params: TrainParams, *, horizon: int) -> tuple[Model, Origin]:
    """Return the model fitted on labelled rows, and what it was exported from.

    Parameters
    ----------
    values
        Shape (n, 36), complete rows, oldest first.
    target
        Shape (n,), volatility per hour.
    horizon
        Hours ahead: so many rows on either side of a stretch are left out with it, because their labels overlap.

    Raises
    ------
    NotEnoughBarsError
        If there are fewer than ``params.least_rows`` rows.
    """
    if len(values) < params.least_rows:
        raise NotEnoughBarsError(
            f"{len(values)} labelled rows are too few to train on; train.least_rows is {params.least_rows}",
            needed=params.least_rows,
            found=len(values),
        )
    # One order in memory: in another, sums over the rows are rounded otherwise.
    values = np.ascontiguousarray(values)
    centre, scale = values.mean(axis=0), values.std(axis=0)
    scale = np.where(scale > 1e-12, scale, 1.0)
    z = np.ascontiguousarray((values - centre) / scale)
    y = vol.log_floor(target)
    lines = _ridges(z, y, params, horizon)
    boosters, unseen = _members(z, y, lines, params, horizon)
    mean = lines.mean(axis=0)
    made_level = level.fit(
        unseen, target, squared_error_weight=params.squared_error_weight, half_life=params.half_life_hours
    )
    forest = forests.joined([forests.from_xgboost(bytes(booster.save_raw("json"))) for booster in boosters])
    importance = _importance(z, mean[1:], boosters)
    known = np.clip(unseen, -level.LARGEST_LOG, level.LARGEST_LOG)
    slope = intervals.spread_slope(made_level.apply(known), target)
    made = Model(centre, scale, mean[1:], float(mean[0]), forest, params.members, made_level, slope, importance)
    return made, Origin(made, boosters)


def _ridges(z: Floats, y: Floats, params: TrainParams, horizon: int) -> Floats:
    """Return intercept and weights of each member, shape (members, 37), by least squares with a ridge on the weights.

    A row's square weighs half after each half-life: how volatility answers to its past drifts over the years.
    """
    # The target as a column of one matrix product: rounding of a matrix times a vector depends on the number of cores.
    x = np.column_stack([np.ones(len(z)), z, y])
    x *= 0.5 ** (np.arange(len(z))[::-1, None] / (2.0 * params.half_life_hours))
    products = x.T @ x
    penalty = np.diag([0.0] + [params.ridge] * z.shape[1])
    found = []
    for block in folds.left_out(len(z), members=params.members, purge=horizon):
        without = x[block.purged]
        own = products - without.T @ without
        found.append(np.linalg.solve(own[:-1, :-1] + penalty, own[:-1, -1]))
    return np.array(found)


def _members(z: Floats, y: Floats, lines: Floats, params: TrainParams, horizon: int) -> tuple[list[Any], Floats]:
    """Return each member's booster, and the predicted logarithm of each row by the member that has not seen it."""
    xgboost = _xgboost()
    narrow = z.astype(np.float32)
    data = xgboost.QuantileDMatrix(narrow, label=y, max_bin=params.forest.bins, nthread=params.threads)
    boosters, unseen = [], np.empty(len(z))
    for number, block in enumerate(folds.left_out(len(z), members=params.members, purge=horizon)):
        weight = np.ones(len(z), dtype=np.float32)
        weight[block.purged] = 0.0
        line = lines[number, 0] + z @ lines[number, 1:]
        data.set_info(label=y - line, weight=weight)
        booster = train_booster(data, params.forest, seed=params.seed + number, threads=params.threads)
        unseen[block.rows] = line[block.rows] + booster.inplace_predict(narrow[block.rows])
        boosters.append(booster)
    return boosters, unseen


def train_booster(data: Any, params: ForestParams, *, seed: int, threads: int) -> Any:
    """Return the XGBoost booster fitted to the labels of a DMatrix by squared error."""
    settings = {
        "objective": "reg:squarederror",
        "base_score": 0.0,
        "tree_method": "hist",
        "max_bin": params.bins,
        "max_depth": params.depth,
        "eta": params.learning_rate,
        "min_child_weight": params.min_child_weight,
        "subsample": params.subsample,
        "colsample_bytree": params.colsample,
        "lambda": params.l2,
        "seed": seed,
        "nthread": threads,
    }
    return _xgboost().train(settings, data, num_boost_round=params.trees)


def _xgboost() -> Any:
    """Return the library, told before it is loaded to let its threads sleep while they wait for each other.

    They spin by default: where another process has the other core, each of a fit's thousands of short parallel stretches then
    burns the rest of a time slice, and a fit of one second takes ten.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import xgboost

    return xgboost


def _importance(z: Floats, weights: Floats, boosters: list[Any]) -> Floats:
    """Return each feature's share, shape (36,): the mean size of its part of the line, plus of the trees' sum by gain."""
    line = np.abs(weights) * np.abs(z).mean(axis=0)
    sample: NDArray[np.float32] = z[:: max(len(z) // 2000, 1)].astype(np.float32)
    gains, size = np.zeros(len(weights)), 0.0
    for booster in boosters:
        for name, gain in booster.get_score(importance_type="total_gain").items():
            gains[int(name[1:])] += gain
        size += float(np.abs(booster.inplace_predict(sample)).mean()) / len(boosters)
    both = line + (gains / gains.sum() * size if gains.sum() > 0 else 0.0)
    total = both.sum()
    return both / total if total > 0 else np.full(len(weights), 1.0 / len(weights))
