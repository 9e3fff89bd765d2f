"""The return leg: served forecasts meet what was realized, beside their baselines; and has the data drifted?"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cryptovol import board, champions, drift, history, keys, ledger, logbook, record, shadow, tables
from cryptovol.bars import Floats
from cryptovol.errors import DataError, KeyNotFoundError
from cryptovol.events import Result, StageEvent
from cryptovol.logbook import Logbook
from cryptovol.params import Params
from cryptovol.ports import Store
from cryptovol.tables import Table
from cryptovol.times import HOUR, parse_instant

Board = dict[str, Any]


@dataclass(frozen=True)
class _Scored:
    """One horizon: the log, its forecasts by the log's keys, and those of them that matured."""

    book: Logbook
    board: Board
    matured: frozenset[str]
    points: list[record.Point]

    @property
    def fresh(self) -> frozenset[str]:
        """The keys that matured and were not told as such by any run before."""
        return self.matured - self.book.counted


def run(event: StageEvent, *, store: Store, params: Params) -> Result:
    """Join the prediction log with realized volatility and write the scoreboard as of the event.

    The board is a function of the log, the feature table and the event's instant, so a forecast counts exactly once
    however often the stage runs and however late its bars came; where a source revised its bars, the next run scores
    against the revised outcome. Per hour the forecast that was served first counts. Beside the newest board lies, per
    horizon, the same log hour by hour (`record.live`): forecasts whose hours are not over have no realized value yet.

    Returns
    -------
    dict
        The event's fields and ``rows_scored, scoreboard_key, live`` (one row per model, horizon and window),
        ``drift`` and ``drift_scores`` (ratio, and scores by feature, per model; absent where it cannot be told) and
        ``matured, matured_late`` (per model, forecasts that no run had found matured before; late are those whose hours
        were over at the board before already).

    Raises
    ------
    DataError
        If there is no feature table, or an object of the prediction log is no entry.
    """
    market = event.need("market")
    table = _table(event, store, params)
    before = _newest(store, market, event.pair)
    scored = {h: _score(event, h, table, store=store, params=params) for h in params.featurize.horizons}
    boards = {str(h): one.board for h, one in scored.items()}
    body = {"as_of": event.as_of_text, "market": market, "series": event.pair, "horizons": boards}
    data = tables.encode_json(body)
    store.put(keys.scoreboard(market, event.pair, event.as_of_text), data)
    if before is None or before <= event.as_of:
        for horizon, one in scored.items():
            told = {"as_of": event.as_of_text, "level": params.predict.level, "points": one.points}
            store.put(keys.live(market, event.pair, horizon), tables.encode_json(told))
        store.put(keys.scoreboard(market, event.pair), data)
    for horizon, one in scored.items():
        counted = one.book.counted | one.matured
        logbook.save(store, market, event.pair, horizon, book=one.book, counted=counted)
    named = {b["model"]: b for b in boards.values() if b["model"]}
    return event.result(
        rows_scored=sum(one["matured"] for one in boards.values()),
        scoreboard_key=keys.scoreboard(market, event.pair, event.as_of_text),
        live=[{**row, "model": b["model"]} for b in named.values() for row in b["windows"] if row["rows"]],
        drift={name: one["drift"]["ratio"] for name, one in named.items() if one["drift"]},
        drift_scores={name: one["drift"]["scores"] for name, one in named.items() if one["drift"]},
        matured={one.board["model"]: len(one.fresh) for one in scored.values() if one.board["model"]},
        matured_late={o.board["model"]: _late(o, h, before) for h, o in scored.items() if o.board["model"]},
    )


def _table(event: StageEvent, store: Store, params: Params) -> Table:
    """Return the rows of the feature table that the longest window and the drift need."""
    key = event.given.get("features_key") or history.head_key(keys.features(event.need("market"), event.pair))
    manifest = history.load_manifest(store, key)
    if manifest is None:
        raise DataError(f"no feature table under {key}; run featurize first")
    longest = max(params.score.windows_hours) + max(params.featurize.horizons) + drift.WINDOW
    return history.read(store, manifest, since=event.as_of - HOUR * longest)


def _newest(store: Store, market: str, pair: str) -> int | None:
    """Return the instant of the newest board, or None if there is none."""
    try:
        return parse_instant(json.loads(store.get(keys.scoreboard(market, pair)).data)["as_of"])
    except KeyNotFoundError:
        return None


def _late(one: _Scored, horizon: int, before: int | None) -> int:
    """Return how many of the fresh could have been on the board before, had their bars or entries been there."""
    if before is None:
        return 0
    ends = (parse_instant(one.book.entries[key]["as_of"]) + HOUR * horizon for key in one.fresh)
    return sum(end <= before for end in ends)


def _score(event: StageEvent, horizon: int, table: Table, *, store: Store, params: Params) -> _Scored:
    market = event.need("market")
    # The target by the open time of the newest bar a forecast of it could know; NaN where not known yet.
    realized = dict(zip(table["time"].tolist(), table[f"target_{horizon}"].tolist(), strict=True))
    hours = max(params.score.windows_hours) + horizon
    book = logbook.read(
        store, market, event.pair, horizon, since=event.as_of - HOUR * hours, until=event.as_of
    )  # fmt: skip
    first = board.first_served(({**entry, "key": key} for key, entry in book.entries.items()), market=market)
    over = [entry for entry in first if parse_instant(entry["as_of"]) <= event.as_of - HOUR * horizon]
    rows = board.matured(over, realized)
    shadow.compare(store, market, event.pair, horizon, as_of=event.as_of_text, served=first, realized=realized)
    champion = ledger.champion(store, market, event.pair, horizon)
    least = params.promotion.least_rows
    found: Board = {
        "model": champion.name if champion else None,
        "served": len(over),
        "matured": len(rows),
        "windows": [
            board.window(rows, each, event.as_of, horizon=horizon, least_rows=least)
            for each in params.score.windows_hours
        ],
        "drift": None,
    }
    if champion is not None:
        served = logbook.served_rows(book, {str(entry["key"]): dict(entry) for entry in first})
        found["drift"] = _drift(store, event, horizon, _seen(served, table), champion=champion)
    points = record.live(first, realized, level=params.predict.level)
    return _Scored(book, found, frozenset(str(row["key"]) for row in rows), points)


def _seen(served: Floats, table: Table) -> tuple[str, Floats]:
    """Return which rows drift is told from: served ones, or the stored ones while too few have been served."""
    if len(served) >= drift.WINDOW:
        return "served", served
    return "stored", table["values"][np.isfinite(table["values"]).all(axis=1)]


def _drift(
    store: Store, event: StageEvent, horizon: int, seen: tuple[str, Floats], *, champion: ledger.Champion
) -> Mapping[str, Any] | None:
    """Return share and names of the drifted features, and every feature's score; None where it cannot be told."""
    rows, values = seen
    if len(values) < drift.WINDOW:
        return None
    sha256 = champion.bundle_sha256
    reference = champions.fetch(store, event.need("market"), event.pair, horizon, sha256=sha256).reference
    if reference is None:
        return None
    found = reference.judge(values)
    return {"ratio": found.ratio, "features": found.names, "scores": found.scores, "rows": rows}
