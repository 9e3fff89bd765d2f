"""The pipeline replayed over history: refit on what was known, forecast, move on.

The first refit, at the start, is exactly what a pipeline begun at that instant would have trained and served. Between
two refits the model stands, while its intervals are calibrated anew every six hours, as the pipeline's retraining does.
Finished refits are kept as parts, so that a run that was stopped goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from cryptovol import features, intervals, model, target, training
from cryptovol.backtest import learning
from cryptovol.backtest.parts import NoParts, Parts
from cryptovol.bars import Bars, Floats, Ints, Mask
from cryptovol.baselines.walk import walk_forward
from cryptovol.errors import NotEnoughBarsError
from cryptovol.evaluation import MODEL, Scored
from cryptovol.features import FEATURE_NAMES
from cryptovol.intervals import Calibration
from cryptovol.params import Params
from cryptovol.tables import Table
from cryptovol.times import HOUR, format_instant
from cryptovol.training import TrainingTable

Progress = Callable[[str, int, int], None]  # what is done, how far, of how many

CALIBRATE_HOURS = 6  # between two calibrations of the intervals: the pipeline's own rhythm
BASELINES = ("har", "garch", "ewma", "persistence")


@dataclass(frozen=True)
class Plan:
    """What is replayed.

    Parameters
    ----------
    start
        Unix seconds of the first `as_of`.
    refit_hours
        Hours between two refits; each sees every bar closed by then and every label known by then.
    garch
        Whether GARCH is among the baselines; it needs the arch package.
    """

    start: int
    refit_hours: int = 168
    garch: bool = True


@dataclass(frozen=True, eq=False)
class Forecasts:
    """A finished replay.

    Parameters
    ----------
    scored
        Forecasts of model and baselines, intervals by level, and what came; `time` is the opening of the last closed
        bar each forecast used.
    importance
        Shape (36,): each feature's share, the mean over the refits.
    learning_curve
        See `learning.curve`.
    refits
        How many fits the forecasts come from.
    """

    scored: Scored
    importance: Floats
    learning_curve: list[dict[str, float]]
    refits: int


def table_from(bars: Bars, horizon: int, params: Params, *, start: int) -> TrainingTable:
    """Return the feature table a pipeline begun at `start` would hold: `ingest.history_hours` back, and all after."""
    kept = bars.take(bars.time >= start - HOUR * params.ingest.history_hours)
    built = features.build(kept, coverage=params.featurize.window_coverage)
    ahead = target.forward(built.log_return, horizon, coverage=params.featurize.target_coverage)
    coverage = params.featurize.window_coverage
    return TrainingTable(built.time, built.values, built.log_return, ahead, horizon=horizon, coverage=coverage)


def run(
    table: TrainingTable, params: Params, plan: Plan, *, parts: Parts | None = None, progress: Progress | None = None
) -> Forecasts:
    """Return the forecasts of every hour from the plan's start on.

    Parameters
    ----------
    parts
        Where finished refits are kept and looked for; nowhere if not given.
    progress
        Called before each step with what is done, its number, and how many there are.

    Raises
    ------
    NotEnoughBarsError
        If the start lies outside the bars or leaves too little history to train on.
    """
    first, told = _first_row(table, plan), progress or (lambda what, done, total: None)
    kept = parts or NoParts()
    refits = range(first, len(table.time), plan.refit_hours)
    walked = kept.of("walk", lambda: _walk(table, params, first))
    found = []
    for number, at in enumerate(refits):
        told("refits", number, len(refits))
        stop = min(at + plan.refit_hours, len(table.time))
        found.append(kept.of(f"refit-{number:05d}", partial(_stretch, table, params, at, stop)))
    made = {name: np.concatenate([each[name] for each in found]) for name in ("rows", "predicted", "slope")}
    beside = kept.of("baselines", lambda: _baselines(table, plan, first, told))
    bounds = _bounds(table, params, walked, made, told)
    scored = _scored(table, made["rows"] - first, made["predicted"], beside, bounds, first)
    curve = kept.of("learning", lambda: learning.curve(table, params.train, first, told))
    importance = np.mean([each["importance"] for each in found], axis=0)
    return Forecasts(scored, importance, learning.rows(curve), len(refits))


def _first_row(table: TrainingTable, plan: Plan) -> int:
    first = int((plan.start - HOUR - table.time[0]) // HOUR) if len(table.time) else -1
    if not 0 <= first < len(table.time):
        span = "no bars"
        if len(table.time):
            span = f"{format_instant(int(table.time[0]))} .. {format_instant(int(table.time[-1]))}"
        raise NotEnoughBarsError(
            f"{format_instant(plan.start)} is outside the bars ({span})", needed=first + 1, found=len(table.time)
        )
    return first


def _known_at(table: TrainingTable, row: int) -> TrainingTable:
    """Return the table as it stood when bar `row` had just closed: later rows gone, unknown targets missing."""
    realized = table.target[: row + 1].copy()
    realized[max(row + 1 - table.horizon, 0) :] = np.nan
    return replace(
        table, time=table.time[: row + 1], values=table.values[: row + 1], log_return=table.log_return[: row + 1],
        target=realized,
    )  # fmt: skip


def _walk(table: TrainingTable, params: Params, first: int) -> Table:
    """Return what the pipeline's own first training would forecast of its newest stretch: the first errors known."""
    walked = training.walk(_known_at(table, first), params.train)
    return {"rows": np.searchsorted(table.time, walked.time), "predicted": walked.predicted}


def _stretch(table: TrainingTable, params: Params, at: int, stop: int) -> Table:
    """Return the forecasts of rows ``[at, stop)`` by the model fitted when bar `at` had just closed."""
    known = _known_at(table, at)
    train = known.labelled()
    fitted = model.fit(known.values[train], known.target[train], params.train, horizon=table.horizon)
    rows = at + np.flatnonzero(np.isfinite(table.values[at:stop]).all(axis=1))
    slope = np.full(len(rows), fitted.spread_slope)
    predicted = fitted.predict(table.values[rows])
    return {"rows": rows, "predicted": predicted, "slope": slope, "importance": fitted.importance}


def _baselines(table: TrainingTable, plan: Plan, first: int, told: Progress) -> Table:
    whole: Mask = np.all(np.isfinite(table.values), axis=1)
    return walk_forward(
        table.log_return, table.target, horizon=table.horizon, first=first, stop=len(table.time),
        refit_hours=plan.refit_hours, coverage=table.coverage, rows=whole,
        garch=plan.garch, progress=lambda done, total: told("baselines", done, total),
    )  # fmt: skip


def _bounds(
    table: TrainingTable, params: Params, walked: Table, forecast: Table, told: Progress
) -> dict[float, tuple[Floats, Floats]]:
    """Return each level's interval of every forecast, calibrated on the newest errors known by then."""
    rows, predicted = forecast["rows"], forecast["predicted"]
    every, made = np.concatenate([walked["rows"], rows]), np.concatenate([walked["predicted"], predicted])
    realized, own = table.target[every], len(walked["rows"])
    ends = {level: (np.empty(len(rows)), np.empty(len(rows))) for level in params.train.levels}
    starts = np.flatnonzero(np.diff(rows // CALIBRATE_HOURS, prepend=-1))
    for number, begin in enumerate(starts):
        told("intervals", number, len(starts))
        stop = starts[number + 1] if number + 1 < len(starts) else len(rows)
        # The calibration is made when the first of these bars has closed, like a training at that instant.
        known = every[: own + begin] + table.horizon <= rows[begin]
        newest = np.flatnonzero(known & np.isfinite(realized[: own + begin]))[-params.train.window_hours :]
        calibration = intervals.calibrate(
            realized[newest], made[newest], params.train.levels, horizon=table.horizon,
            slope=float(forecast["slope"][begin]),
        )  # fmt: skip
        _fill(ends, calibration, predicted, slice(int(begin), int(stop)))
    return ends


def _fill(ends: Any, calibration: Calibration, predicted: Floats, here: slice) -> None:
    for level, (lower, upper) in ends.items():
        lower[here], upper[here] = calibration.bounds(predicted[here], level)


def _scored(
    table: TrainingTable, at: Ints, predicted: Floats, beside: Table, bounds: dict[float, tuple[Floats, Floats]], first: int
) -> Scored:  # fmt: skip
    forecasts = {MODEL: predicted, **{name: beside[name][at] for name in BASELINES if name in beside}}
    rows = first + at
    return Scored(table.time[rows], table.target[rows], beside["past_mean"][at], forecasts, bounds, table.horizon)


def shares(importance: Floats) -> list[dict[str, Any]]:
    """Return the features by share, largest first, each with its family."""
    family = {name: kind for kind, names in features.FAMILIES.items() for name in names}
    order = np.argsort(-importance, kind="stable")
    return [
        {"feature": FEATURE_NAMES[j], "family": family[FEATURE_NAMES[j]], "share": float(importance[j])} for j in order
    ]
