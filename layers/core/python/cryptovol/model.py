"""The forecast model: a ridge on 36 features for the logarithm of volatility, and boosted trees on what it leaves.

The straight line carries the level, so that a regime never seen is extrapolated and not cut off at the largest leaf;
the trees see only residuals and add what is not straight. xgboost is imported inside `fit` alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cryptovol import forest as forests
from cryptovol import volatility as vol
from cryptovol.bars import Floats
from cryptovol.errors import NotEnoughBarsError
from cryptovol.forest import Forest
from cryptovol.params import ForestParams, TrainParams


@dataclass(frozen=True, eq=False)
class Model:
    """One fitted model of one horizon.

    Parameters
    ----------
    centre, scale
        Shape (36,): mean and standard deviation of the training rows.
    weights
        Shape (36,): ridge weights of the standardised features.
    intercept
        Mean log target.
    forest
        Trees on the standardised features, trained on the ridge's residual.
    correction
        Factor from the exponential of the predicted log to the level.
    """

    centre: Floats
    scale: Floats
    weights: Floats
    intercept: float
    forest: Forest
    correction: float

    def standardise(self, values: Floats) -> Floats:
        """Return features in units of the training rows, shape (n, 36), C order."""
        return np.ascontiguousarray((values - self.centre) / self.scale)

    def predict_log(self, values: Floats) -> Floats:
        """Return the predicted logarithm of volatility before correction, shape (n,)."""
        z = self.standardise(values)
        # A row-wise sum, not a matrix product: one row alone gives the same bits as among thousands.
        line: Floats = self.intercept + (z * self.weights).sum(axis=1)
        return line + self.forest.predict(z)

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
        return np.exp(self.predict_log(values)) * self.correction


def fit(values: Floats, target: Floats, params: TrainParams) -> Model:
    """Return the model fitted on labelled rows.

    Parameters
    ----------
    values
        Shape (n, 36), complete rows, oldest first.
    target
        Shape (n,), volatility per hour.

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
    centre, scale = values.mean(axis=0), values.std(axis=0)
    scale = np.where(scale > 1e-12, scale, 1.0)
    z = np.ascontiguousarray((values - centre) / scale)
    y = vol.log_floor(target)
    intercept = float(y.mean())
    gram = z.T @ z + params.ridge * np.eye(z.shape[1])
    weights = np.linalg.solve(gram, z.T @ (y - intercept))
    residual = y - intercept - (z * weights).sum(axis=1)
    trees = fit_forest(z, residual, params.forest, seed=params.seed, threads=params.threads)
    plain = Model(centre, scale, weights, intercept, trees, 1.0)
    return Model(centre, scale, weights, intercept, trees, level_correction(plain.predict(values), target))


def level_correction(predicted: Floats, target: Floats) -> float:
    """Return the factor that makes the mean prediction of the training rows their mean realized volatility.

    The exponential of a mean logarithm lies below the mean; forecasts are used as levels.
    """
    return float(np.mean(np.maximum(target, vol.FLOOR)) / np.mean(predicted))


def fit_forest(z: Floats, residual: Floats, params: ForestParams, *, seed: int, threads: int) -> Forest:
    """Return boosted trees fitted to a residual by squared error.

    Parameters
    ----------
    z
        Shape (n, 36), standardised features.
    residual
        Shape (n,), what the ridge leaves of the log target.
    """
    booster = train_booster(z, residual, params, seed=seed, threads=threads)
    return forests.from_xgboost(bytes(booster.save_raw("json")))


def train_booster(z: Floats, residual: Floats, params: ForestParams, *, seed: int, threads: int) -> Any:
    """Return the XGBoost booster itself; `fit_forest` keeps only its arrays."""
    import xgboost

    settings = {
        "objective": "reg:squarederror",
        "base_score": 0.0,
        "tree_method": "hist",
        "max_depth": params.depth,
        "eta": params.learning_rate,
        "min_child_weight": params.min_child_weight,
        "subsample": params.subsample,
        "colsample_bytree": params.colsample,
        "lambda": params.l2,
        "seed": seed,
        "nthread": threads,
    }
    data = xgboost.DMatrix(z.astype(np.float32), label=residual)
    return xgboost.train(settings, data, num_boost_round=params.trees)
