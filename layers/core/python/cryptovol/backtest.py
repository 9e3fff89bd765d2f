"""The pipeline replayed over history: refit on what was known, forecast, move on.

The first refit, at the start, is exactly what a pipeline begun at that instant would have trained and served.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from cryptovol import baselines, features, intervals, model, scores, target, training
from cryptovol.bars import Bars, Floats, Ints
from cryptovol.errors import NotEnoughBarsError
from cryptovol.params import Params
from cryptovol.times import HOUR, format_instant
from cryptovol.training import TrainingTable

Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Forecasts:
    """Out-of-sample forecasts, oldest first, shape (m,) each; `realized` is NaN where not yet known.

    `time` is the opening of the last closed bar each forecast used.
    """

    time: Ints
    predicted: Floats
    lower: Floats
    upper: Floats
    har: Floats
    persistence: Floats
    ewma: Floats
    past_mean: Floats
    realized: Floats


def table_from(bars: Bars, horizon: int, params: Params, *, start: int) -> TrainingTable:
    """Return the feature table a pipeline begun at `start` would hold: `ingest.history_hours` back, and all after."""
    kept = bars.take(bars.time >= start - HOUR * params.ingest.history_hours)
    built = features.build(kept, coverage=params.featurize.window_coverage)
    ahead = target.forward(built.log_return, horizon, coverage=params.featurize.target_coverage)
    coverage = params.featurize.window_coverage
    return TrainingTable(built.time, built.values, built.log_return, ahead, horizon=horizon, coverage=coverage)


def run(
    table: TrainingTable,
    params: Params,
    *,
    start: int,
    refit_hours: int,
    level: float,
    progress: Progress | None = None,
) -> Forecasts:
    """Return the forecasts of every hour from `start` on.

    Parameters
    ----------
    start
        Unix seconds of the first `as_of`.
    refit_hours
        Hours between two refits; each sees every bar closed by then and every label known by then.
    level
        Of the interval.

    Raises
    ------
    NotEnoughBarsError
        If `start` lies outside the bars or leaves too little history to train on.
    """
    first = int((start - HOUR - table.time[0]) // HOUR) if len(table.time) else -1
    if not 0 <= first < len(table.time):
        span = (
            f"{format_instant(int(table.time[0]))} .. {format_instant(int(table.time[-1]))}"
            if len(table.time)
            else "no bars"
        )
        raise NotEnoughBarsError(
            f"{format_instant(start)} is outside the bars ({span})", needed=first + 1, found=len(table.time)
        )
    refits = range(first, len(table.time), refit_hours)
    errors = _Errors(table, params, first)
    parts = []
    for number, at in enumerate(refits):
        if progress:
            progress(number, len(refits))
        parts.append(_stretch(table, params, at, min(at + refit_hours, len(table.time)), level=level, errors=errors))
    return Forecasts(**{name: np.concatenate([part[name] for part in parts]) for name in parts[0]})


def _known_at(table: TrainingTable, row: int) -> TrainingTable:
    """Return the table as it stood when bar `row` had just closed: later rows gone, unknown targets missing."""
    realized = table.target[: row + 1].copy()
    realized[max(row + 1 - table.horizon, 0) :] = np.nan
    return TrainingTable(
        table.time[: row + 1], table.values[: row + 1], table.log_return[: row + 1], realized,
        horizon=table.horizon, coverage=table.coverage,
    )  # fmt: skip


class _Errors:
    """Out-of-sample pairs known so far: the first walk's, then the backtest's own."""

    def __init__(self, table: TrainingTable, params: Params, first: int) -> None:
        walked = training.walk(_known_at(table, first), params.train)
        self._table = table
        self._keep = params.train.window_hours
        self._levels = params.train.levels
        self._rows = np.searchsorted(table.time, walked.time)
        self._predicted = walked.predicted

    def add(self, rows: Any, predicted: Floats) -> None:
        self._rows = np.concatenate([self._rows, rows])
        self._predicted = np.concatenate([self._predicted, predicted])

    def calibration(self, at: int) -> intervals.Calibration:
        """Return the calibration on the newest pairs whose target was known when bar `at` had closed."""
        realized = self._table.target[self._rows]
        known = np.flatnonzero((self._rows + self._table.horizon <= at) & np.isfinite(realized))[-self._keep :]
        return intervals.calibrate(realized[known], self._predicted[known], self._levels)


def _stretch(
    table: TrainingTable, params: Params, at: int, stop: int, *, level: float, errors: _Errors
) -> dict[str, Any]:
    known = _known_at(table, at)
    train = known.labelled()
    fitted = model.fit(known.values[train], known.target[train], params.train, horizon=table.horizon)
    inputs = baselines.har_inputs(table.log_return[:stop], coverage=table.coverage)
    har = baselines.fit_har(inputs[: at + 1], known.target, train)
    rows = at + np.flatnonzero(np.isfinite(table.values[at:stop]).all(axis=1))
    predicted = fitted.predict(table.values[rows])
    lower, upper = errors.calibration(at).bounds(predicted, level)
    errors.add(rows, predicted)
    past = baselines.persistence(table.log_return[:stop], table.horizon, coverage=table.coverage)
    return {
        "time": table.time[rows], "predicted": predicted, "lower": lower, "upper": upper,
        "har": har.predict(inputs[rows]), "persistence": past[rows],
        "ewma": baselines.ewma(table.log_return[:stop])[rows],
        "past_mean": np.full(len(rows), float(known.target[train].mean())), "realized": table.target[rows],
    }  # fmt: skip


def score(forecasts: Forecasts, horizon: int) -> dict[str, Any]:
    """Return the scores of the forecasts whose target is known, beside their baselines.

    Raises
    ------
    ValueError
        If no target is known yet.
    """
    known = np.isfinite(forecasts.realized) & np.isfinite(forecasts.persistence) & np.isfinite(forecasts.ewma)
    realized = forecasts.realized[known]
    models = {name: getattr(forecasts, name)[known] for name in ("predicted", "har", "ewma", "persistence")}
    every = {n: scores.summary(realized, p, past_mean=forecasts.past_mean[known]) for n, p in models.items()}
    test = scores.diebold_mariano(
        scores.qlike(realized, models["predicted"]), scores.qlike(realized, models["har"]), horizon=horizon
    )
    return {
        "rows": int(known.sum()), "model": every.pop("predicted"), "baselines": every,
        "dm_har": {"statistic": test.statistic, "p": test.p},
        "coverage": scores.coverage(realized, forecasts.lower[known], forecasts.upper[known]),
    }  # fmt: skip
