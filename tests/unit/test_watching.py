"""Decisions to retrain in the store: written once, found again, and taken by one of two runs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cryptovol import events, keys, tables, watching
from cryptovol.errors import ConflictError, DataError
from cryptovol.params import Params
from cryptovol.testing import MemoryStore
from cryptovol.times import HOUR, format_instant

MARKET = "test"
NOON = 1_714_564_800


def put_board(store: MemoryStore, at: int, ratio: float) -> None:
    """Store a scoreboard with a drift ratio, as the score stage does."""
    one = {"drift": {"ratio": ratio, "features": []}, "windows": [{"hours": 168, "rows": 0}]}
    body = {"as_of": format_instant(at), "horizons": {"24": one}}
    store.put(keys.scoreboard(MARKET, "btc-usd", format_instant(at)), tables.encode_json(body))
    store.put(keys.scoreboard(MARKET, "btc-usd"), tables.encode_json(body))


def run(store: MemoryStore, params: Params, at: int = NOON, **more: Any) -> dict[str, Any]:
    """Run the watch as of an instant."""
    own = {"symbol": "BTC", "quote": "USD", "as_of": format_instant(at), "run_id": "w1", **more}
    return watching.run(events.parse(own), store=store, params=params, market=MARKET)


@pytest.fixture
def drifted() -> MemoryStore:
    """Return a store with two scoreboards in a row that are beyond the limit."""
    store = MemoryStore()
    for at in (NOON - HOUR, NOON):
        put_board(store, at, 0.5)
    return store


def test_a_lasting_alert_is_written_down_with_its_grounds(drifted: MemoryStore, params: Params) -> None:
    """The object names reason, evaluations and the end of the cool-down; the answer names object and runs."""
    told = run(drifted, params)
    assert told["retrain"] and told["watch"] == "retrain" and told["retraining"] == "watch-btc-usd-0001"
    body = json.loads(drifted.objects[told["decision_key"]])
    assert told["decision_key"] == "watch/test/btc-usd/00000001.json"
    assert [each["as_of"] for each in body["evaluations"]] == told["evaluations"] == [
        format_instant(NOON - HOUR), format_instant(NOON)
    ]  # fmt: skip
    assert "0.500 of the features drifted, limit 0.15" in body["reason"] == told["reason"]
    assert body["cool_down_until"] == format_instant(NOON + HOUR * params.watch.cool_down_hours)


def test_the_same_event_again_answers_the_same_and_writes_nothing(drifted: MemoryStore, params: Params) -> None:
    """A retried task goes on where it was: it may still trigger, under the same run id."""
    first = run(drifted, params)
    before = dict(drifted.objects)
    assert run(drifted, params) == first and drifted.objects == before


def test_the_next_hours_start_nothing(drifted: MemoryStore, params: Params) -> None:
    """The alert goes on, the retraining has been started: one alert, one retraining."""
    run(drifted, params)
    put_board(drifted, NOON + HOUR, 0.5)
    put_board(drifted, NOON + 2 * HOUR, 0.5)
    told = run(drifted, params, NOON + 2 * HOUR)
    assert (told["retrain"], told["watch"]) == (False, "cooling") and "retraining" not in told
    assert len(list(drifted.keys("watch/"))) == 1


def test_past_the_cool_down_a_lasting_alert_starts_the_next(drifted: MemoryStore, params: Params) -> None:
    """The second decision has the next number."""
    run(drifted, params)
    later = NOON + HOUR * params.watch.cool_down_hours
    for at in (later - HOUR, later):
        put_board(drifted, at, 0.3)
    assert run(drifted, params, later)["retraining"] == "watch-btc-usd-0002"


def test_nothing_is_written_where_nothing_starts(params: Params) -> None:
    """A quiet market leaves no object; the answer says what was looked at."""
    store = MemoryStore()
    put_board(store, NOON, 0.1)
    told = run(store, params)
    assert (told["watch"], told["rows_evaluated"], told["cool_down_until"]) == ("quiet", 1, None)
    assert not list(store.keys("watch/"))


def test_evaluations_of_the_evening_before_are_seen_and_later_ones_are_not(params: Params) -> None:
    """The look-back crosses midnight; a board of after the event does not count, however new."""
    store = MemoryStore()
    midnight = NOON - 12 * HOUR
    for at, ratio in ((midnight - HOUR, 0.5), (midnight, 0.5), (midnight + HOUR, 0.0), (midnight - 14 * HOUR, 0.5)):
        put_board(store, at, ratio)
    told = run(store, params, midnight)
    assert told["retrain"] and told["rows_evaluated"] == 2


def test_of_two_runs_at_once_one_decides(drifted: MemoryStore, params: Params) -> None:
    """Who finds the number taken is told to look again, and then finds the other's decision."""

    class Slow(MemoryStore):
        """A store in which another run writes between this one's look and its write."""

        def put_new(self, key: str, data: bytes) -> bool:
            super().put_new(key, drifted.objects[key])
            return super().put_new(key, data)

    slow = Slow()
    slow.objects = dict(drifted.objects)
    run(drifted, params)
    put_board(slow, NOON + HOUR, 0.5)
    with pytest.raises(ConflictError, match="same moment"):
        run(slow, params, NOON + HOUR)
    assert run(slow, params, NOON + HOUR)["watch"] == "cooling"


def test_a_board_that_cannot_be_read_is_named(drifted: MemoryStore, params: Params) -> None:
    """The error says which object is broken and what to do."""
    key = keys.scoreboard(MARKET, "btc-usd", format_instant(NOON))
    drifted.objects[key] = b"{"
    with pytest.raises(DataError, match=key):
        run(drifted, params)
