"""A challenger that the gate could not decide on forecasts beside the champion until live hours decide.

Nothing is stored about who shadows: the ledger says it. It is the first challenger since the champion's promotion that
is not older than the champion and whose outcome was one of `UNDECIDED`; it stays so until an entry decides on it or
another model becomes champion. Its forecasts are logged hour by hour beside the champion's, under keys of their own, for
the scoring log is of forecasts that were served. The score stage joins both with what came; the next training lets the
promotion gate decide on these hours before it trains.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from cryptovol import answers, champions, keys, ledger, promotion, tables
from cryptovol.errors import KeyNotFoundError
from cryptovol.events import StageEvent
from cryptovol.forecasts import outlook
from cryptovol.ledger import Champion, Entry
from cryptovol.moments import Moment
from cryptovol.params import Params
from cryptovol.ports import Store
from cryptovol.promotion import Verdict
from cryptovol.serving import Served
from cryptovol.times import HOUR, parse_instant

UNDECIDED = ("too_few", "undecided")
SIDES = ("realized", "challenger", "har", "champion")


def current(store: Store, market: str, pair: str, horizon: int) -> Entry | None:
    """Return the entry of the challenger that shadows the champion, or None if none does."""
    champion = ledger.champion(store, market, pair, horizon)
    if champion is None:
        return None
    since, number = [], champion.entry + 1
    while (entry := ledger.one(store, market, pair, horizon, number)) is not None:
        since.append(entry)
        number += 1
    decided = {_challenger(entry) for entry in since if str(entry.body.get("outcome")).startswith("shadow_")}
    for entry in since:
        own = _challenger(entry)
        if entry.body.get("outcome") in UNDECIDED and own not in decided | {champion.bundle_sha256}:
            # One of a run far back in time must not replace a newer model.
            if entry.body["challenger"]["trained_at"] >= champion.trained_at:
                return entry
    return None


def _challenger(entry: Entry) -> str:
    return str((entry.body.get("challenger") or {}).get("bundle_sha256", ""))


def log(
    store: Store, market: str, pair: str, horizon: int, *, known: Moment, symbol: str, level: float, now: int
) -> bool:
    """Log the shadow's forecast at a moment, once, and return whether there is a shadow.

    Raises
    ------
    BundleRefusedError, FeatureValueError, NotEnoughBarsError
        If the shadow cannot forecast.
    """
    entry = current(store, market, pair, horizon)
    if entry is None:
        return False
    model = entry.body["challenger"]
    told = {name: str(model[name]) for name in ("bundle_sha256", "name", "version", "trained_at")}
    own = champions.fetch(store, market, pair, horizon, sha256=told["bundle_sha256"])
    served = Served(Champion(**told, entry=entry.number, etag=""), own)
    body = answers.entry(served, known, outlook(own, known), symbol=symbol, level=level, served_at=now)
    key = f"{keys.shadows(market, pair, horizon, bundle_sha256=own.sha256)}{keys.compact(body['as_of'])}.json"
    store.put_new(key, tables.encode_json(body))
    return True


def compare(
    store: Store, market: str, pair: str, horizon: int, *, as_of: str, served: Iterable[Mapping[str, Any]],
    realized: Mapping[int, float],
) -> None:  # fmt: skip
    """Write down, hour by hour, what shadow and champion said and what came; nothing where there is no shadow.

    Parameters
    ----------
    as_of
        Instant of the comparison, ISO 8601; one that is older than what is stored writes nothing.
    served
        Entries of the scoring log.
    realized
        See `board.matured`.
    """
    entry, key = current(store, market, pair, horizon), keys.shadowboard(market, pair, horizon)
    before = _read(store, key)
    if entry is None or (before is not None and before["as_of"] > as_of):
        return
    champion = ledger.champion(store, market, pair, horizon)
    own = champion.bundle_sha256 if champion else ""
    beside = {each["as_of"]: each for each in served if each.get("model", {}).get("bundle_sha256") == own}
    points = []
    for name in store.keys(keys.shadows(market, pair, horizon, bundle_sha256=_challenger(entry))):
        said = json.loads(store.get(name).data)
        came = realized.get(parse_instant(said["as_of"]) - HOUR, np.nan)
        if said["as_of"] in beside and np.isfinite(came):
            values = (float(came), said["volatility"], said["baselines"]["har"], beside[said["as_of"]]["volatility"])
            points.append({"as_of": said["as_of"], **dict(zip(SIDES, values, strict=True))})
    body = {"as_of": as_of, "challenger": _challenger(entry), "champion": own, "points": points}
    store.put(key, tables.encode_json(body))


def settle(event: StageEvent, horizon: int, past: list[Entry], *, store: Store, params: Params) -> list[Entry]:
    """Let the gate decide on the shadow, if enough of its hours are known; return the ledger's entries.

    Parameters
    ----------
    past
        The entries so far.

    Raises
    ------
    ConflictError
        If another run decided meanwhile.
    """
    market = event.need("market")
    entry = current(store, market, event.pair, horizon)
    if entry is None:
        return past
    board = _read(store, keys.shadowboard(market, event.pair, horizon)) or {"points": []}
    same = board.get("challenger") == _challenger(entry) and board["as_of"] <= event.as_of_text
    points = board["points"] if same else []
    verdict = _verdict(entry, points, event.as_of, horizon, params)
    if verdict is None:
        return past
    challenger = entry.body["challenger"]
    copied = {name: entry.body[name] for name in ("scores", "lineage", "rows") if name in entry.body}
    return [*past, ledger.append(
        store, market, event.pair, horizon,
        decision="promoted" if verdict.promote else "rejected", outcome=verdict.outcome, after=len(past),
        champion=challenger if verdict.promote else past[-1].body["champion"],
        challenger=challenger, reason=verdict.reason, numbers=verdict.numbers,
        as_of=event.as_of_text, run_id=event.run_id, shadow_since=entry.number, **copied,
    )]  # fmt: skip


def _verdict(entry: Entry, points: list[dict[str, Any]], now: int, horizon: int, params: Params) -> Verdict | None:
    """Return the gate's verdict on live hours; None while there are too few and the shadow may still serve."""
    needed = params.promotion.shadow_rows
    if now - parse_instant(entry.body["challenger"]["trained_at"]) > HOUR * params.predict.expiry_hours:
        told = (
            f"the shadow is older than {params.predict.expiry_hours} hours, with {len(points)} live hours of {needed}"
        )
        return Verdict("shadow_expired", told, {"rows": len(points)})
    if len(points) < needed:
        return None
    realized, challenger, har, champion = (np.array([point[side] for point in points]) for side in SIDES)
    rules = replace(params.promotion, least_rows=needed)
    found = promotion.decide(realized, challenger, har, champion, horizon=horizon, params=rules)
    return Verdict(f"shadow_{found.outcome}", f"on {len(points)} live hours: {found.reason}", found.numbers)


def _read(store: Store, key: str) -> dict[str, Any] | None:
    try:
        body: dict[str, Any] = json.loads(store.get(key).data)
    except KeyNotFoundError:
        return None
    return body
