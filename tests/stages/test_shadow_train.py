"""From tie to shadow to decision, through the stages themselves."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from cryptovol import audit, events, keys, ledger, shadow, tables
from cryptovol.adapters.tracking import StoreTracker
from cryptovol.params import Params
from cryptovol.stages import featurize, score, train
from cryptovol.testing import MemoryStore, make_bars
from cryptovol.times import HOUR, format_instant, parse_instant

from tests.stages.conftest import MARKET, put_clean

WHERE = (MARKET, "btc-usd", 24)
ROWS = 30


def run(store: MemoryStore, hours: int, params: Params, run_id: str, *, scored: bool = False) -> dict[str, Any]:
    """Run featurize and train, or score, on so many hours of the market; return the result."""
    event = events.parse(
        featurize.run(put_clean(store, make_bars(hours, seed=3), run_id=run_id), store=store, params=params)
    )
    if scored:
        return score.run(event, store=store, params=params)
    return train.run(event, store=store, tracker=StoreTracker(store), params=params)


def log_both(store: MemoryStore, entry: ledger.Entry, *, since: int) -> None:
    """Log forecasts of champion and shadow for so many hours, as the forecast function does: the same numbers."""
    for i in range(ROWS):
        as_of = format_instant(since + HOUR * i)
        body = {
            "as_of": as_of, "served_at": as_of, "horizon_hours": 24, "volatility": 0.005,
            "interval": {"level": 0.9, "lower": 0.002, "upper": 0.01}, "baselines": {"har": 0.02},
        }  # fmt: skip
        champion, challenger = entry.body["champion"], entry.body["challenger"]
        for prefix, model in ((keys.predictions(*WHERE), champion), (None, challenger)):
            where = prefix or keys.shadows(*WHERE, bundle_sha256=model["bundle_sha256"])
            name = f"{keys.compact(as_of)}{'/' + model['bundle_sha256'][:16] if prefix else ''}.json"
            store.put(where + name, tables.encode_json({**body, "model": {"bundle_sha256": model["bundle_sha256"]}}))


def test_a_tie_shadows_and_the_next_training_decides_on_live_hours(quick: Params) -> None:
    """The tie promotes nothing, the score stage compares hour by hour, and the training after promotes the shadow first."""
    rules = replace(quick.promotion, shadow_ties=True, shadow_rows=ROWS)
    own = replace(quick, promotion=rules)
    store = MemoryStore()
    run(store, 2200, own, "r1")
    tied = run(store, 2206, own, "r2")["models"]["24"]
    assert (tied["outcome"], tied["decision"]) == ("undecided", "rejected")
    entry = shadow.current(store, *WHERE)
    assert entry is not None and entry.number == 2

    log_both(store, entry, since=parse_instant(entry.body["as_of"]))
    run(store, 2206 + ROWS + 24, own, "r3", scored=True)
    points = json.loads(store.get(keys.shadowboard(*WHERE)).data)["points"]
    assert len(points) == ROWS and {point["challenger"] for point in points} == {0.005}

    last = run(store, 2206 + ROWS + 24, own, "r4")["models"]["24"]
    chain = ledger.entries(store, *WHERE)
    assert [each.body["outcome"] for each in chain] == ["first", "undecided", "shadow_tie", last["outcome"]]
    assert chain[2].body["champion"]["bundle_sha256"] == entry.body["challenger"]["bundle_sha256"]
    assert audit.verify(store, *WHERE).faults == ()


def test_the_same_training_again_decides_nothing_anew(quick: Params) -> None:
    """A repeated event finds the shadow's decision and its own, and writes nothing."""
    own = replace(quick, promotion=replace(quick.promotion, shadow_ties=True, shadow_rows=ROWS))
    store = MemoryStore()
    run(store, 2200, own, "r1")
    run(store, 2206, own, "r2")
    before = dict(store.objects)
    assert run(store, 2206, own, "r2")["models"]["24"]["repeated"] is True and store.objects == before
