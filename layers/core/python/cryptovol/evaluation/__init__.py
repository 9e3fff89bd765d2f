"""How forecasts are evaluated: against what came and against the baselines, on the same rows, in every light that matters.

The result is plain JSON values without NaN, so that a page, a file and a person at a terminal see the same numbers.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cryptovol import scores
from cryptovol.bars import Floats
from cryptovol.evaluation import groups, held
from cryptovol.evaluation.scored import LEAST, MODEL, MOST, Scored, common
from cryptovol.evaluation.verdict import verdict
from cryptovol.times import HOUR, format_instant

__all__ = ["LEAST", "MODEL", "MOST", "Scored", "evaluate"]

LEVEL = 0.9  # of the interval that is drawn and told first
LEAST_TESTED = 8  # hours a Diebold-Mariano test needs


def evaluate(scored: Scored) -> dict[str, Any]:
    """Return the evaluation of a run of forecasts as plain JSON values.

    All forecasts are scored on the same rows: those with a realized value and every forecast. `time`, `first` and
    `last` are openings of the last closed bar used, as in predictions.csv; months and hours of the day are those of the
    instant at which a forecast was made, an hour later.

    Returns
    -------
    dict
        ``models, rows, first, last, horizon_hours``;
        ``left_out``: rows by reason, see `scored.common`;
        ``scores``: by model, see `scores.summary`;
        ``dm``: by baseline ``{qlike, squared_error}``, each statistic, p and rows of the test of the model against it
        (negative: the model loses less), None where there are too few rows;
        ``verdict``: ``{outcome, against, sentence}``, see `verdict`;
        ``level, interval_rows, coverage, interval, worst_30d, coverage_over_time``: see `held`;
        ``by_month, by_hour, by_regime, calibration``: see `groups`;
        ``series``: the last forecast of each day, for a chart.

    Raises
    ------
    NotEnoughBarsError
        If no row can be scored.
    """
    rows, left_out = common(scored)
    level = min(rows.bounds, key=lambda each: abs(each - LEVEL), default=None)
    loss = {name: scores.qlike(rows.realized, forecast) for name, forecast in rows.forecasts.items()}
    errors = {n: scores.summary(rows.realized, f, past_mean=rows.past_mean) for n, f in rows.forecasts.items()}
    tests = _tests(rows, loss)
    return {
        "format": 1,
        "models": list(rows.forecasts),
        "rows": len(rows),
        "first": format_instant(int(rows.time[0])),
        "last": format_instant(int(rows.time[-1])),
        "horizon_hours": rows.horizon,
        "left_out": left_out,
        "scores": errors,
        "dm": tests,
        "verdict": verdict(errors, tests),
        "level": level,
        **held.intervals(rows),
        "by_month": groups.by_month(rows, loss, level),
        "by_hour": groups.by_hour(rows, loss),
        "by_regime": groups.by_regime(rows, loss, level),
        "calibration": groups.calibration(rows),
        "series": _series(rows, level),
    }


def _tests(rows: Scored, loss: dict[str, Floats]) -> dict[str, Any]:
    square = {name: (forecast - rows.realized) ** 2 for name, forecast in rows.forecasts.items()}
    return {
        name: {"qlike": _test(loss, name, rows.horizon), "squared_error": _test(square, name, rows.horizon)}
        for name in rows.forecasts if name != MODEL
    }  # fmt: skip


def _test(loss: dict[str, Floats], name: str, horizon: int) -> dict[str, float] | None:
    if len(loss[name]) < LEAST_TESTED:
        return None
    found = scores.diebold_mariano(loss[MODEL], loss[name], horizon=horizon)
    return {"statistic": found.statistic, "p": found.p, "rows": found.rows}


def _series(rows: Scored, level: float | None) -> dict[str, Any]:
    """Return the last forecast of each UTC day, with HAR's where there is one and the interval of `level`."""
    daily = rows.take(held.last_of_each(rows.time // (24 * HOUR)))
    out: dict[str, Any] = {
        "time": [format_instant(at) for at in daily.time.tolist()],
        "realized": daily.realized.tolist(), MODEL: daily.forecasts[MODEL].tolist(), "level": level,
    }  # fmt: skip
    if "har" in daily.forecasts:
        out["har"] = daily.forecasts["har"].tolist()
    if level is not None:
        for name, end in zip(("lower", "upper"), daily.bounds[level], strict=True):
            out[name] = [value if np.isfinite(value) else None for value in end.tolist()]
    return out
