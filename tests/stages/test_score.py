"""Score: matured forecasts meet realized volatility exactly once."""

import json

import pytest

from cryptovol import events, history, keys, tables
from cryptovol.adapters.tracking import StoreTracker
from cryptovol.stages import featurize, score, train
from cryptovol.testing import MemoryStore, make_bars
from cryptovol.times import HOUR, format_instant, parse_instant

from tests import contract
from tests.stages.conftest import MARKET, put_clean


def log(store, as_of, horizon, volatility):
    """Put one served forecast into the prediction log, as the predict stage does."""
    body = {
        "as_of": as_of, "horizon_hours": horizon, "volatility": volatility,
        "interval": {"level": 0.9, "lower": volatility / 2, "upper": volatility * 2},
        "baselines": {"persistence": volatility, "ewma": volatility, "har": volatility * 3},
    }  # fmt: skip
    key = keys.prediction(MARKET, "btc-usd", horizon, as_of=as_of, bundle_sha256="ab" * 32)
    store.put_new(key, tables.encode_json(body))


@pytest.fixture(scope="module")
def done(quick):
    """Return a store with a champion, and the score event."""
    store = MemoryStore()
    event = events.parse(featurize.run(put_clean(store, make_bars(2200, seed=3)), store=store, params=quick))
    result = train.run(event, store=store, tracker=StoreTracker(store), params=quick)
    return store, events.parse(result)


def test_score_counts_only_what_has_matured(done, quick):
    """A forecast whose horizon has not passed is served but not scored."""
    store, event = MemoryStore(), done[1]
    store.objects = dict(done[0].objects)
    log(store, format_instant(event.as_of - 24 * HOUR), 24, 0.005)
    log(store, format_instant(event.as_of - 23 * HOUR), 24, 0.005)
    result = score.run(event, store=store, params=quick)
    board = json.loads(store.get(result["scoreboard_key"]).data)["horizons"]["24"]
    assert board["matured"] == 1 and result["rows_scored"] == 1


def test_score_compares_with_what_was_realized(done, quick):
    """The realized value is the target of the hour the forecast was made at; HAR thrice too high scores worse."""
    store, event = MemoryStore(), done[1]
    store.objects = dict(done[0].objects)
    as_of = format_instant(event.as_of - 30 * HOUR)
    table = history.read(store, history.load_manifest(store, event.need("features_key")))
    realized = table["target_24"][table["time"] == parse_instant(as_of) - HOUR][0]
    log(store, as_of, 24, float(realized))
    row = score.run(event, store=store, params=quick)["live"][0]
    assert row["qlike"]["model"] == pytest.approx(0.0, abs=1e-9) and row["qlike"]["har"] > 0.5
    assert row["coverage"] == 1.0


def test_scoreboard_is_what_the_api_promises(done, quick):
    """The stored board, with scores, empty windows and drift, is valid by the schema the API publishes for it."""
    store, event = MemoryStore(), done[1]
    store.objects = dict(done[0].objects)
    log(store, format_instant(event.as_of - 100 * HOUR), 24, 0.005)
    board = json.loads(store.get(score.run(event, store=store, params=quick)["scoreboard_key"]).data)
    assert [window["rows"] for window in board["horizons"]["24"]["windows"]] == [0, 1, 1]
    assert not contract.faults(contract.component("Scoreboard"), board)


def test_score_twice_counts_once(done, quick):
    """The board is a function of the log: a second run writes the same bytes."""
    store, event = MemoryStore(), done[1]
    store.objects = dict(done[0].objects)
    log(store, format_instant(event.as_of - 40 * HOUR), 6, 0.004)
    score.run(event, store=store, params=quick)
    before = dict(store.objects)
    score.run(event, store=store, params=quick)
    assert store.objects == before


def test_score_of_an_older_instant_does_not_move_the_newest_board_back(done, quick):
    """A late run of an earlier interval leaves `latest` alone."""
    store, event = MemoryStore(), done[1]
    store.objects = dict(done[0].objects)
    score.run(event, store=store, params=quick)
    latest = store.objects[keys.scoreboard(MARKET, "btc-usd")]
    older = events.parse({**event.given, "symbol": "BTC", "quote": "USD", "run_id": "old",
                          "as_of": format_instant(event.as_of - 6 * HOUR)})  # fmt: skip
    score.run(older, store=store, params=quick)
    assert store.objects[keys.scoreboard(MARKET, "btc-usd")] == latest


def live(store, horizon=24):
    """Return the stored record of served forecasts."""
    return json.loads(store.get(keys.live(MARKET, "btc-usd", horizon)).data)


def test_score_leaves_the_served_hours_beside_the_board(done, quick):
    """Served forecasts lie there hour by hour, those that are not over without an outcome."""
    store, event = MemoryStore(), done[1]
    store.objects = dict(done[0].objects)
    for hours in (23, 24, 0):
        log(store, format_instant(event.as_of - hours * HOUR), 24, 0.005)
    score.run(event, store=store, params=quick)
    found = live(store)
    assert found["as_of"] == event.as_of_text and found["level"] == 0.9
    known = {event.as_of - point["as_of"]: point["realized"] is not None for point in found["points"]}
    assert known == {24 * HOUR: True, 23 * HOUR: False, 0: False}
    assert live(store, 6)["points"] == []


def test_score_does_not_count_a_forecast_that_is_not_over_as_served(done, quick):
    """The board's `served` is of forecasts that can have matured, so that it may be held against `matured`."""
    store, event = MemoryStore(), done[1]
    store.objects = dict(done[0].objects)
    for hours in (10, 30):
        log(store, format_instant(event.as_of - hours * HOUR), 24, 0.005)
    result = score.run(event, store=store, params=quick)
    board = json.loads(store.get(result["scoreboard_key"]).data)["horizons"]["24"]
    assert (board["served"], board["matured"]) == (1, 1)


def test_late_score_of_an_older_instant_does_not_move_the_served_hours_back(done, quick):
    """The record of served forecasts is the newest run's."""
    store, event = MemoryStore(), done[1]
    store.objects = dict(done[0].objects)
    log(store, format_instant(event.as_of - 3 * HOUR), 24, 0.005)
    score.run(event, store=store, params=quick)
    older = events.parse({**event.given, "symbol": "BTC", "quote": "USD", "run_id": "old",
                          "as_of": format_instant(event.as_of - 6 * HOUR)})  # fmt: skip
    before = live(store)
    score.run(older, store=store, params=quick)
    assert live(store) == before and len(before["points"]) == 1
