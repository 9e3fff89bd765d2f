"""The block `tune` of `params.yaml`: budget, folds and space of the search for parameters."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SpaceParams:
    """Lowest and highest value of each searched number; for trees and depth whole numbers."""

    ridge: tuple[float, ...]
    trees: tuple[int, ...]
    depth: tuple[int, ...]
    learning_rate: tuple[float, ...]
    min_child_weight: tuple[float, ...]
    subsample: tuple[float, ...]
    colsample: tuple[float, ...]
    l2: tuple[float, ...]


@dataclass(frozen=True)
class TuneParams:
    """The search for parameters.

    Parameters
    ----------
    trials, seconds
        Budget: trials of one horizon's study, and seconds of all horizons together; stored trials count.
    folds, test_hours
        How many blocks are scored, and how long each is.
    stride_hours
        Hours between two rows of a fit.
    startup_trials
        Trials drawn at random before the estimator has its say.
    prune_after_trials
        Complete trials before any is cut short.
    """

    trials: int
    seconds: float
    folds: int
    test_hours: int
    stride_hours: int
    startup_trials: int
    prune_after_trials: int
    space: SpaceParams
