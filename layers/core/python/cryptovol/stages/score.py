"""The return leg: served forecasts meet what was realized, beside their baselines; and has the data drifted?"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from cryptovol import champions, drift, history, keys, ledger, record, scores, tables
from cryptovol.bars import Floats
from cryptovol.errors import DataError
from cryptovol.events import Result, StageEvent
from cryptovol.features import FEATURE_NAMES
from cryptovol.params import Params
from cryptovol.ports import Store
from cryptovol.tables import Table
from cryptovol.times import HOUR, format_instant, parse_instant

Board = dict[str, Any]


def run(event: StageEvent, *, store: Store, params: Params) -> Result:
    """Join the prediction log with realized volatility and write the scoreboard as of the event.

    The board is computed afresh from the log and the feature table, so a forecast counts exactly once however often
    the stage runs and however late its bars came. Beside the newest board lies, per horizon, the same log hour by hour
    (`record.live`): forecasts whose hours are not over are in it, and have no realized value yet.

    Returns
    -------
    dict
        The event's fields and ``rows_scored, scoreboard_key, live`` (one row per model, horizon and window) and
        ``drift`` (ratio per model, absent where it cannot be told).
    """
    market = event.need("market")
    key = event.given.get("features_key") or history.head_key(keys.features(market, event.pair))
    manifest = history.load_manifest(store, key)
    if manifest is None:
        raise DataError(f"no feature table under {key}; run featurize first")
    longest = max(params.score.windows_hours) + max(params.featurize.horizons) + drift.WINDOW
    table = history.read(store, manifest, since=event.as_of - HOUR * longest)
    logged = {h: _logged(store, market, event, h, params) for h in params.featurize.horizons}
    boards = {str(h): _board(event, h, table, logged[h], store=store, params=params) for h in logged}
    body = {"as_of": event.as_of_text, "market": market, "series": event.pair, "horizons": boards}
    data = tables.encode_json(body)
    store.put(keys.scoreboard(market, event.pair, event.as_of_text), data)
    if _is_newest(store, keys.scoreboard(market, event.pair), event.as_of):
        for horizon, entries in logged.items():
            points = record.live(entries, _realized(table, horizon), level=params.predict.level)
            told = {"as_of": event.as_of_text, "level": params.predict.level, "points": points}
            store.put(keys.live(market, event.pair, horizon), tables.encode_json(told))
        store.put(keys.scoreboard(market, event.pair), data)
    return event.result(
        rows_scored=sum(board["matured"] for board in boards.values()),
        scoreboard_key=keys.scoreboard(market, event.pair, event.as_of_text),
        live=[{**row, "model": b["model"]} for b in boards.values() for row in b["windows"] if row["rows"]],
        drift={b["model"]: b["drift"]["ratio"] for b in boards.values() if b["drift"]},
    )


def _is_newest(store: Store, key: str, as_of: int) -> bool:
    if not store.exists(key):
        return True
    return parse_instant(json.loads(store.get(key).data)["as_of"]) <= as_of


def _realized(table: Table, horizon: int) -> dict[int, float]:
    """Return the target by the open time of the newest bar a forecast of it could know; NaN where not known yet."""
    return dict(zip(table["time"].tolist(), table[f"target_{horizon}"].tolist(), strict=True))


def _board(
    event: StageEvent, horizon: int, table: Table, logged: list[dict[str, Any]], *, store: Store, params: Params
) -> Board:
    market = event.need("market")
    served = [entry for entry in logged if parse_instant(entry["as_of"]) <= event.as_of - HOUR * horizon]
    realized = _realized(table, horizon)
    matured = []
    for forecast in served:
        known = realized.get(parse_instant(forecast["as_of"]) - HOUR, np.nan)
        if np.isfinite(known):
            matured.append({**forecast, "realized": known})
    champion = ledger.champion(store, market, event.pair, horizon)
    return {
        "model": champion.name if champion else None,
        "served": len(served),
        "matured": len(matured),
        "windows": [_window(matured, hours, event.as_of, horizon) for hours in params.score.windows_hours],
        "drift": _drift(store, market, event.pair, horizon, table, champion=champion),
    }


def _logged(store: Store, market: str, event: StageEvent, horizon: int, params: Params) -> list[dict[str, Any]]:
    """Return the forecasts made up to the event that can have matured inside the longest window or will, by hour."""
    prefix = keys.predictions(market, event.pair, horizon)
    hours = max(params.score.windows_hours) + horizon
    first = prefix + keys.compact(format_instant(event.as_of - HOUR * hours))
    last = prefix + keys.compact(event.as_of_text) + "~"
    return [json.loads(store.get(key).data) for key in store.keys(prefix) if first <= key <= last]


def _window(matured: list[dict[str, Any]], hours: int, as_of: int, horizon: int) -> Board:
    """Return the scores of the forecasts that matured in the last `hours`."""
    since = as_of - HOUR * (hours + horizon)
    rows = [row for row in matured if parse_instant(row["as_of"]) >= since]
    if not rows:
        return {"hours": hours, "rows": 0}
    realized = np.array([row["realized"] for row in rows])
    forecasts = {"model": [row["volatility"] for row in rows]}
    forecasts |= {name: [row["baselines"][name] for row in rows] for name in rows[0]["baselines"]}
    held = [row["interval"]["lower"] <= row["realized"] <= row["interval"]["upper"] for row in rows]
    return {
        "hours": hours,
        "rows": len(rows),
        "qlike": {n: float(scores.qlike(realized, np.array(p)).mean()) for n, p in forecasts.items()},
        "rmse": {n: float(np.sqrt(np.mean((np.array(p) - realized) ** 2))) for n, p in forecasts.items()},
        "bias": float(np.mean(forecasts["model"]) / np.mean(np.maximum(realized, 1e-12))),
        "coverage": float(np.mean(held)),
    }


def _drift(
    store: Store, market: str, pair: str, horizon: int, table: Table, *, champion: ledger.Champion | None
) -> Mapping[str, Any] | None:
    """Return the share and the names of drifted features in the newest rows; None where it cannot be told."""
    if champion is None:
        return None
    reference = champions.fetch(store, market, pair, horizon, sha256=champion.bundle_sha256).reference
    values: Floats = table["values"][np.isfinite(table["values"]).all(axis=1)]
    if reference is None or len(values) < drift.WINDOW:
        return None
    found = reference.drifted(values)
    return {"ratio": len(found) / len(FEATURE_NAMES), "features": [FEATURE_NAMES[j] for j in found]}
