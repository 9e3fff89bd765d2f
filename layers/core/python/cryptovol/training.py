"""From a feature table to a bundle: walk-forward forecasts of the newest stretch, then one fit on everything.

Scores, intervals and the promotion decision rest on the walk-forward forecasts alone; the final model, which serves,
has seen those hours and is never scored on them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cryptovol import baselines, bundle, drift, folds, intervals, model, scores, tables
from cryptovol.bars import Floats, Ints, Mask
from cryptovol.bundle import Bundle
from cryptovol.errors import NotEnoughBarsError
from cryptovol.params import TrainParams
from cryptovol.times import format_instant

Progress = Callable[[int, int], None]

# Baselines that a training does not score, and why: named, so that nobody takes their absence for a victory.
LEFT_OUT = {
    "garch": "GARCH(1,1) is fitted by arch, which needs scipy and pandas and does not fit in a function beside XGBoost; "
    "`cryptovol backtest` scores it on the same rows"
}


@dataclass(frozen=True, eq=False)
class TrainingTable:
    """Labelled history of one pair and horizon on the hourly grid, oldest first.

    Parameters
    ----------
    time
        Shape (n,), unix seconds.
    values
        Shape (n, 36).
    log_return
        Shape (n,).
    target
        Shape (n,), volatility per hour; NaN where not yet known.
    horizon
        Hours ahead.
    coverage
        The window coverage the features were built with.
    """

    time: Ints
    values: Floats
    log_return: Floats
    target: Floats
    horizon: int
    coverage: float

    def labelled(self) -> Mask:
        """Return the rows with all features and a known target, shape (n,)."""
        whole: Mask = np.isfinite(self.values).all(axis=1) & np.isfinite(self.target)
        return whole


@dataclass(frozen=True, eq=False)
class Window:
    """Out-of-sample forecasts of the newest stretch, oldest first, shape (m,) each.

    `fold` numbers the refit that made each row's forecast; `past_mean` is the mean target known at that refit, and
    `slope` its model's `spread_slope`.
    """

    time: Ints
    realized: Floats
    predicted: Floats
    har: Floats
    persistence: Floats
    ewma: Floats
    past_mean: Floats
    slope: Floats
    fold: Ints


def walk(table: TrainingTable, params: TrainParams, progress: Progress | None = None) -> Window:
    """Return walk-forward forecasts of the newest ``params.window_hours`` labelled hours.

    Raises
    ------
    NotEnoughBarsError
        If fewer than ``params.least_rows`` labelled rows lie before the stretch.
    """
    labelled = table.labelled()
    stop = int(np.flatnonzero(labelled)[-1]) + 1 if labelled.any() else 0
    start = stop - params.window_hours
    before = int(labelled[: max(start - table.horizon, 0)].sum())
    if before < params.least_rows:
        needed = params.least_rows + params.window_hours + table.horizon
        raise NotEnoughBarsError(
            f"training at horizon {table.horizon} needs {needed} labelled hours "
            f"({params.least_rows} to fit, {params.window_hours} to score), found {int(labelled.sum())}",
            needed=needed,
            found=int(labelled.sum()),
        )
    every = list(folds.walk_forward(start=start, stop=stop, step=params.refit_hours, horizon=table.horizon))
    inputs = baselines.har_inputs(table.log_return, coverage=table.coverage)
    parts = []
    for number, fold in enumerate(every):
        if progress:
            progress(number, len(every) + 1)
        parts.append(_forecast(table, params, fold, labelled=labelled, inputs=inputs, number=number))
    return Window(**{name: np.concatenate([part[name] for part in parts]) for name in parts[0]})


def _forecast(
    table: TrainingTable, params: TrainParams, fold: folds.Fold, *, labelled: Mask, inputs: Floats, number: int
) -> dict[str, Any]:
    """Return one fold's forecasts; nothing at or after its first scored row minus the horizon is fitted on."""
    train, test = labelled.copy(), labelled.copy()
    train[fold.train_end :] = False
    test[: fold.start] = False
    test[fold.stop :] = False
    fitted = model.fit(table.values[train], table.target[train], params, horizon=table.horizon)
    har = baselines.fit_har(inputs, table.target, train)
    past = baselines.persistence(table.log_return, table.horizon, coverage=table.coverage)
    rows = int(test.sum())
    return {
        "time": table.time[test],
        "realized": table.target[test],
        "predicted": fitted.predict(table.values[test]),
        "har": har.predict(inputs[test]),
        "persistence": past[test],
        "ewma": baselines.ewma(table.log_return)[test],
        "past_mean": np.full(rows, float(table.target[train].mean())),
        "slope": np.full(rows, fitted.spread_slope),
        "fold": np.full(rows, number, dtype=np.int64),
    }


def score(window: Window, horizon: int, levels: tuple[float, ...]) -> dict[str, Any]:
    """Return the scores of the model and its baselines on the same hours, fold by fold and together."""
    forecasts = {
        "model": window.predicted, "har": window.har, "ewma": window.ewma, "persistence": window.persistence,
    }  # fmt: skip
    every = {n: scores.summary(window.realized, p, past_mean=window.past_mean) for n, p in forecasts.items()}
    losses = [scores.qlike(window.realized, p) for p in (window.predicted, window.har)]
    test = scores.diebold_mariano(losses[0], losses[1], horizon=horizon)
    each = [float(losses[0][window.fold == k].mean()) for k in np.unique(window.fold)]
    return {
        "rows": len(window.time),
        "first": format_instant(int(window.time[0])),
        "last": format_instant(int(window.time[-1])),
        "model": every.pop("model"),
        "baselines": every,
        "dm_har": {"statistic": test.statistic, "p": test.p},
        "fold_qlike": each,
        "coverage": _coverage(window, horizon, levels),
        "left_out": dict(LEFT_OUT),
    }


def _coverage(window: Window, horizon: int, levels: tuple[float, ...]) -> dict[str, float]:
    """Return the share of hours inside the intervals that were calibrated on earlier folds only."""
    inside: dict[float, list[Mask]] = {level: [] for level in levels}
    for number in np.unique(window.fold)[1:]:
        now = window.fold == number
        first = int(np.flatnonzero(now)[0])
        known = slice(0, max(first - horizon, 0))
        calibration = intervals.calibrate(
            window.realized[known], window.predicted[known], levels, horizon=horizon, slope=float(window.slope[first])
        )
        for level in levels:
            lower, upper = calibration.bounds(window.predicted[now], level)
            inside[level].append((window.realized[now] >= lower) & (window.realized[now] <= upper))
    return {str(level): float(np.concatenate(hits).mean()) for level, hits in inside.items() if hits}


@dataclass(frozen=True, eq=False)
class Built:
    """A trained bundle.

    Parameters
    ----------
    bundle
        As it loads from its files.
    files
        By name.
    export_difference
        Largest relative difference of its forecasts from those of XGBoost's own trees, on every labelled hour.
    """

    bundle: Bundle
    files: dict[str, bytes]
    export_difference: float


def build_bundle(
    table: TrainingTable,
    params: TrainParams,
    *,
    header: Mapping[str, Any],
    progress: Progress | None = None,
) -> Built:
    """Return the trained bundle and its files, held against the trees it was exported from.

    Parameters
    ----------
    table
        History up to the instant of training.
    header
        ``name, symbol, quote, market, sources, trained_at, spec``; the data's range and digest are added here.
    progress
        Called with (fits done, fits in all).
    """
    window = walk(table, params, progress)
    labelled = table.labelled()
    inputs = baselines.har_inputs(table.log_return, coverage=table.coverage)
    values = table.values[labelled]
    final, origin = model.fit_with_origin(values, table.target[labelled], params, horizon=table.horizon)
    har = baselines.fit_har(inputs, table.target, labelled)
    kept = {"time": window.time, "realized": window.realized, "predicted": window.predicted, "har": window.har}
    data = {
        "rows": int(labelled.sum()),
        "first": format_instant(int(table.time[labelled][0])),
        "last": format_instant(int(table.time[labelled][-1])),
    }
    trained = Bundle(
        "",
        {**header, "horizon": table.horizon, "data": data},
        score(window, table.horizon, params.levels),
        final,
        har,
        intervals.calibrate(
            window.realized, window.predicted, params.levels, horizon=table.horizon, slope=final.spread_slope
        ),
        drift.fit_bounds(values),
        drift.fit_reference(values),
        kept,
    )
    files = bundle.encode(trained)
    loaded = bundle.decode(files, trained.header, tables.sha256(files[bundle.MANIFEST]))
    return Built(loaded, files, difference(loaded.predict(values), origin.predict(values)))


def difference(found: Floats, wanted: Floats) -> float:
    """Return the largest relative difference of two forecasts of the same hours; NaN where one is no number."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return float(np.max(np.abs(found - wanted) / wanted))
