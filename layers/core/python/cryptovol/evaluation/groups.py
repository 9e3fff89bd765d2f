"""The same scores in parts: by month, hour of the day and regime; and is a forecast of x followed by x?"""

from __future__ import annotations

from typing import Any

import numpy as np

from cryptovol.bars import Floats, Ints
from cryptovol.evaluation.held import inside
from cryptovol.evaluation.scored import MODEL, Scored
from cryptovol.times import HOUR
from cryptovol.volatility import FLOOR

REGIMES, DECILES = 5, 10
BY_HOUR = (MODEL, "har")

Body = dict[str, Any]


def _means(values: Floats, group: Ints, count: int) -> list[float | None]:
    """Return the mean of each group's finite values, None where it has none."""
    there = np.isfinite(values)
    total = np.bincount(group[there], weights=values[there], minlength=count)
    rows = np.bincount(group[there], minlength=count)
    return [t / n if n else None for t, n in zip(total.tolist(), rows.tolist(), strict=True)]


def _by_name(columns: dict[str, list[float | None]], at: int) -> dict[str, float | None]:
    return {name: column[at] for name, column in columns.items()}


def _coverage(rows: Scored, level: float | None, group: Ints, count: int) -> list[float | None]:
    return [None] * count if level is None else _means(inside(rows, level), group, count)


def _biases(rows: Scored, name: str, group: Ints, count: int) -> list[float | None]:
    """Return mean forecast over mean realization of each group, as `scores.summary` has it for all."""
    forecast = _means(rows.forecasts[name], group, count)
    realized = _means(np.maximum(rows.realized, FLOOR), group, count)
    return [f / r if f is not None and r is not None else None for f, r in zip(forecast, realized, strict=True)]


def by_month(rows: Scored, loss: dict[str, Floats], level: float | None) -> list[Body]:
    """Return per UTC month in which forecasts were made: ``month, rows, qlike, rmse`` by model, ``coverage``."""
    made = (rows.time + HOUR).astype("datetime64[s]").astype("datetime64[M]")
    months, group = np.unique(made, return_inverse=True)
    n = len(months)
    qlike = {name: _means(each, group, n) for name, each in loss.items()}
    rmse = {
        name: [None if mean is None else mean**0.5 for mean in _means((f - rows.realized) ** 2, group, n)]
        for name, f in rows.forecasts.items()
    }
    count, covered = np.bincount(group, minlength=n).tolist(), _coverage(rows, level, group, n)
    return [
        {"month": str(month), "rows": count[i], "qlike": _by_name(qlike, i), "rmse": _by_name(rmse, i),
         "coverage": covered[i]}
        for i, month in enumerate(months)
    ]  # fmt: skip


def by_hour(rows: Scored, loss: dict[str, Floats]) -> list[Body]:
    """Return for each UTC hour of the day at which forecasts are made: ``hour, rows, mean_realized``, ``qlike, bias``."""
    group = (rows.time + HOUR) // HOUR % 24
    names = [name for name in BY_HOUR if name in rows.forecasts]
    qlike = {name: _means(loss[name], group, 24) for name in names}
    bias = {name: _biases(rows, name, group, 24) for name in names}
    count, realized = np.bincount(group, minlength=24).tolist(), _means(rows.realized, group, 24)
    return [
        {"hour": hour, "rows": count[hour], "mean_realized": realized[hour], "qlike": _by_name(qlike, hour),
         "bias": _by_name(bias, hour)}
        for hour in range(24)
    ]  # fmt: skip


def _ranked(forecast: Floats, parts: int) -> Ints:
    """Return each row's part when the rows, in the order of their forecast, are cut into equal parts."""
    place = np.empty(len(forecast), dtype=np.int64)
    place[np.argsort(forecast, kind="stable")] = np.arange(len(forecast))
    return place * parts // len(forecast)


def by_regime(rows: Scored, loss: dict[str, Floats], level: float | None) -> list[Body]:
    """Return per fifth of the rows, from the calmest forecast to the wildest, the model's scores beside the others'.

    Which regime an hour is in, is told by the model's own forecast, which is known at t, and never by what came: chosen
    by what came, every forecast would look too low in the wildest hours and too high in the calmest.

    Returns
    -------
    list of dict
        ``regime`` from 1, ``rows``, ``from`` and ``to`` (of the forecast, per hour), ``qlike`` by model, the model's
        ``bias`` and ``coverage``. Fewer than five where there are fewer rows.
    """
    forecast = rows.forecasts[MODEL]
    parts = min(REGIMES, len(rows))
    group = _ranked(forecast, parts)
    qlike = {name: _means(each, group, parts) for name, each in loss.items()}
    bias, covered = _biases(rows, MODEL, group, parts), _coverage(rows, level, group, parts)
    return [
        {"regime": i + 1, "rows": int((group == i).sum()), "from": float(forecast[group == i].min()),
         "to": float(forecast[group == i].max()), "qlike": _by_name(qlike, i), "bias": bias[i], "coverage": covered[i]}
        for i in range(parts)
    ]  # fmt: skip


def calibration(rows: Scored) -> Body:
    """Return whether a forecast of x is followed by x on average.

    Returns
    -------
    dict
        ``deciles``: per tenth of the rows by forecast ``rows``, mean ``forecast`` and mean ``realized``;
        ``mincer_zarnowitz``: ``slope`` and ``intercept`` of log realized on log forecast, 1 and 0 where forecasts are
        unbiased at every level; None where all forecasts are equal.

    References
    ----------
    Mincer and Zarnowitz (1969), The Evaluation of Economic Forecasts.
    """
    forecast, parts = rows.forecasts[MODEL], min(DECILES, len(rows))
    group = _ranked(forecast, parts)
    means = zip(_means(forecast, group, parts), _means(rows.realized, group, parts), strict=True)
    count = np.bincount(group, minlength=parts).tolist()
    return {
        "deciles": [{"rows": count[i], "forecast": f, "realized": r} for i, (f, r) in enumerate(means)],
        "mincer_zarnowitz": _line(np.log(forecast), np.log(np.maximum(rows.realized, FLOOR))),
    }


def _line(x: Floats, y: Floats) -> dict[str, float] | None:
    if float(np.ptp(x)) == 0.0:
        return None
    away = x - x.mean()
    slope = float(away @ (y - y.mean())) / float(away @ away)
    return {"slope": slope, "intercept": float(y.mean()) - slope * float(x.mean())}
