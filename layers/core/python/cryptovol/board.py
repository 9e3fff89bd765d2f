"""The scoreboard's numbers: matured forecasts against what came and against the baselines. No effects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from cryptovol import scores
from cryptovol.times import HOUR, parse_instant
from cryptovol.volatility import FLOOR

Row = dict[str, Any]

REAL = "live"  # the market of real venues, see `ports.Origin`


def first_served(logged: Iterable[Mapping[str, Any]], *, market: str) -> list[Mapping[str, Any]]:
    """Return one entry per hour, oldest first: where several models were asked, the one that was served first.

    A forecast of the real market made once its hours were over is none: it is left out. In a replayed or simulated
    market the hours are a story, and the wall's clock says nothing about them.
    """
    found: dict[int, Mapping[str, Any]] = {}
    for entry in sorted(logged, key=lambda entry: (entry["as_of"], entry.get("served_at", ""))):
        if market != REAL or not in_hindsight(entry):
            found.setdefault(parse_instant(entry["as_of"]), entry)
    return list(found.values())


def in_hindsight(entry: Mapping[str, Any]) -> bool:
    """Return whether an entry was made when its hours were over, by a caller that looked back."""
    made = entry.get("served_at", "")
    return bool(made) and parse_instant(made) >= parse_instant(entry["as_of"]) + HOUR * int(entry["horizon_hours"])


def matured(served: Iterable[Mapping[str, Any]], realized: Mapping[int, float]) -> list[Row]:
    """Return the entries whose outcome is known, each with its `realized`.

    Parameters
    ----------
    realized
        The target, per hour, by the open time of the newest bar a forecast could know; NaN or absent if not known.
    """
    rows = []
    for entry in served:
        known = realized.get(parse_instant(entry["as_of"]) - HOUR, np.nan)
        if np.isfinite(known):
            rows.append({**entry, "realized": float(known)})
    return rows


def window(rows: Sequence[Row], hours: int, as_of: int, *, horizon: int, least_rows: int) -> Row:
    """Return the scores of the forecasts that matured in the last `hours` before `as_of`.

    Parameters
    ----------
    rows
        See `matured`; one per hour, oldest first.
    least_rows
        Scored hours below which no Diebold-Mariano test is made: its variance would be a guess.

    Returns
    -------
    dict
        ``hours, rows`` and, with rows, ``qlike`` and ``rmse`` by forecast, ``bias`` of the model and
        ``baseline_bias`` (mean forecast over mean outcome), ``coverage`` and, with enough rows, ``dm``: by baseline
        the test on QLIKE, below zero where the model loses less.
    """
    since = as_of - HOUR * (hours + horizon)
    rows = [row for row in rows if parse_instant(row["as_of"]) >= since]
    if not rows:
        return {"hours": hours, "rows": 0}
    realized = np.array([row["realized"] for row in rows])
    forecasts = {"model": np.array([row["volatility"] for row in rows])}
    forecasts |= {n: np.array([row["baselines"][n] for row in rows]) for n in rows[0]["baselines"]}
    losses = {name: scores.qlike(realized, values) for name, values in forecasts.items()}
    mean = float(np.mean(np.maximum(realized, FLOOR)))
    bias = {name: float(np.mean(values)) / mean for name, values in forecasts.items()}
    held = [row["interval"]["lower"] <= row["realized"] <= row["interval"]["upper"] for row in rows]
    found = {
        "hours": hours,
        "rows": len(rows),
        "qlike": {name: float(loss.mean()) for name, loss in losses.items()},
        "rmse": {n: float(np.sqrt(np.mean((values - realized) ** 2))) for n, values in forecasts.items()},
        "bias": bias.pop("model"),
        "baseline_bias": bias,
        "coverage": float(np.mean(held)),
    }
    return found if len(rows) < max(least_rows, 8) else {**found, "dm": _tests(losses, horizon)}


def _tests(losses: Mapping[str, Any], horizon: int) -> dict[str, Row]:
    """Return the Diebold-Mariano test of the model's losses against each baseline's."""
    tests = {}
    for name, loss in losses.items():
        if name != "model":
            test = scores.diebold_mariano(losses["model"], loss, horizon=horizon)
            tests[name] = {"statistic": test.statistic, "p": test.p}
    return tests
