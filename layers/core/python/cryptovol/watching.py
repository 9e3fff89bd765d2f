"""Reads the newest scoreboards, decides by `watch`, and writes down each retraining that is started, once.

Decisions to retrain are numbered and each is written only if its number is free: of two runs that see the same alert
one starts the retraining, and the other finds it when it looks again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from cryptovol import keys, tables, watch
from cryptovol.errors import ConflictError, DataError
from cryptovol.events import Result, StageEvent
from cryptovol.params import Params
from cryptovol.ports import Store
from cryptovol.times import HOUR, format_instant, parse_instant
from cryptovol.watch import Decision, Evaluation


def run(event: StageEvent, *, store: Store, params: Params, market: str = "live") -> Result:
    """Decide whether tuning and training are to start, out of turn, for the event's pair.

    The same event again finds its own decision and answers the same.

    Parameters
    ----------
    market
        Whose scoreboards are read, where the event names none.

    Returns
    -------
    dict
        The event's fields and ``market``; ``retrain``; ``watch`` (one of `watch.STATES`), ``reason``, ``evaluations``
        (instants), ``cool_down_until`` (an instant, or None); where a retraining starts ``retraining`` (the id that its
        runs have) and ``decision_key``; ``rows_evaluated``, how many scoreboards were read.

    Raises
    ------
    ConflictError
        If another run took the decision at the same moment; a retry finds it.
    DataError
        If a scoreboard or a decision cannot be read.
    """
    market = event.given.get("market", market)
    prefix = keys.retrainings(market, event.pair)
    past = list(store.keys(prefix))
    newest = _read(store, past[-1]) if past else None
    if newest is not None and newest["as_of"] == event.as_of_text:
        return _result(event, market, newest, key=past[-1])
    found = [watch.evaluate(_read(store, key), params.watch) for key in _boards(store, market, event, params)]
    last = None if newest is None else (parse_instant(newest["as_of"]), parse_instant(newest["cool_down_until"]))
    decision = watch.decide(found, as_of=event.as_of, params=params.watch, last=last)
    body = _body(event, decision, found)
    if not decision.retrain:
        return _result(event, market, body)
    key = f"{prefix}{len(past) + 1:08d}.json"
    body["retraining"] = f"watch-{event.pair}-{len(past) + 1:04d}"
    if not store.put_new(key, tables.encode_json(body)):
        raise ConflictError(f"another run decided on {event.pair} at the same moment ({key}); run again")
    return _result(event, market, body, key=key)


def _boards(store: Store, market: str, event: StageEvent, params: Params) -> Iterator[str]:
    """Yield the keys of the scoreboards of the look-back, oldest first."""
    since = event.as_of - HOUR * params.watch.lookback_hours
    first, last = (keys.scoreboard(market, event.pair, format_instant(at)) for at in (since, event.as_of))
    for day in sorted({format_instant(at)[:10] for at in range(since, event.as_of + 1, HOUR)}):
        for key in store.keys(keys.scoreboards(market, event.pair, day)):
            if first <= key <= last:
                yield key


def _read(store: Store, key: str) -> dict[str, Any]:
    try:
        body: dict[str, Any] = json.loads(store.get(key).data)
    except ValueError as error:
        raise DataError(
            f"{key} cannot be read ({error}); restore it from its versions, or score that hour again"
        ) from error
    return body


def _body(event: StageEvent, decision: Decision, found: list[Evaluation]) -> dict[str, Any]:
    """Return a decision as it is stored: what it rests on, in words and by the objects' instants."""
    until = decision.cool_down_until
    return {
        "as_of": event.as_of_text, "run_id": event.run_id, "state": decision.state, "reason": decision.reason,
        "evaluations": [
            {"as_of": format_instant(each.as_of), "beyond": dict(each.beyond)}
            for each in found if each.as_of in decision.evaluations
        ],
        "cool_down_until": None if until is None else format_instant(until), "boards": len(found),
    }  # fmt: skip


def _result(event: StageEvent, market: str, body: dict[str, Any], key: str = "") -> Result:
    """Return what the next task needs of a decision."""
    started = {"retraining": body["retraining"], "decision_key": key} if key else {}
    return event.result(
        market=market, retrain=bool(key), watch=body["state"], reason=body["reason"],
        evaluations=[each["as_of"] for each in body["evaluations"]], cool_down_until=body["cool_down_until"],
        rows_evaluated=body["boards"], **started,
    )  # fmt: skip
