"""Tune: a search per horizon on stored features, told to the tracker, used by the next training."""

import json
from dataclasses import replace

import pytest

from cryptovol import bundle, events, history, keys, ledger, tables
from cryptovol.adapters.tracking import StoreTracker
from cryptovol.errors import DataError, TransientError
from cryptovol.stages import featurize, train, tune
from cryptovol.testing import MemoryStore, make_bars

from tests.stages.conftest import MARKET, put_clean

WHERE = (MARKET, "btc-usd", 24)
TUNED = keys.tuned(*WHERE)


def featurized(store, params, *, hours=2200, run_id="r1"):
    """Return the event after featurize over made-up bars."""
    clean = put_clean(store, make_bars(hours, seed=3), run_id=run_id)
    return events.parse(featurize.run(clean, store=store, params=params))


def tuned(store, event, params, **more):
    """Run the stage over a store whose tracker writes files in it; a clock that stands still keeps the bytes equal."""
    return tune.run(event, store=store, tracker=StoreTracker(store), params=params, clock=lambda: 0.0, **more)


def trained(store, event, params):
    """Train over a store."""
    return train.run(event, store=store, tracker=StoreTracker(store), params=params)


@pytest.fixture(scope="module")
def done(quick):
    """Return a store after featurize and one whole tuning, the event and the result."""
    store = MemoryStore()
    event = featurized(store, quick)
    return store, event, tuned(store, event, quick)


@pytest.fixture
def copy(done):
    """Return a store of one's own with the same objects in it."""
    store = MemoryStore()
    store.objects = dict(done[0].objects)
    return store


def test_tune_keeps_what_it_found_for_each_horizon(done, quick):
    """The file names parameters, QLIKE per fold before and after, budget used, study and lineage; no worse than before."""
    store, event, result = done
    assert set(result["tuning"]) == {"6", "24"} and result["features_key"] == event.given["features_key"]
    body = json.loads(store.get(TUNED).data)
    assert (body["as_of"], body["run_id"]) == (event.as_of_text, "r1")
    assert body["features_sha256"] == event.given["features_sha256"] and body["trials"]["all"] == quick.tune.trials
    assert [len(body["qlike"][which]) for which in ("tuned", "in_force")] == [2, 2]
    assert sum(body["qlike"]["tuned"]) <= sum(body["qlike"]["in_force"])
    assert result["rows_tuned"] > 800


def test_tune_of_the_same_event_computes_and_writes_nothing(done, quick, copy, monkeypatch):
    """The stored study is the answer: no model is fitted, no object changes, the result is the same but for the note."""

    def fitted(*given):
        raise AssertionError("a model was fitted")

    monkeypatch.setattr("cryptovol.tuning.blocks.Blocks.loss", fitted)
    again = tuned(copy, done[1], quick)
    assert copy.objects == done[0].objects
    assert [model.pop("repeated") for model in again["tuning"].values()] == [True, True]
    assert again["tuning"] == {h: {k: v for k, v in m.items() if k != "repeated"} for h, m in done[2]["tuning"].items()}


def test_tune_elsewhere_finds_the_same(done, quick):
    """Same bars, parameters and code: the same file, byte for byte, in another store."""
    other = MemoryStore()
    tuned(other, featurized(other, quick), quick)
    assert other.objects[TUNED] == done[0].objects[TUNED]


def test_tune_tells_the_tracker_once_with_its_pictures(done, quick):
    """One run per study, without a registered version: best parameters, each trial, the folds, and drawings."""
    store, _, result = done
    body = json.loads(store.get(result["tuning"]["24"]["tracking_url"]).data)
    prefix = f"tracking/cryptovol-{MARKET}-btc-usd-h24-tuning/"
    assert result["tuning"]["24"]["tracking_url"].startswith(prefix)
    assert body["params"]["ridge"] == result["tuning"]["24"]["params"]["ridge"] and body["params"]["horizon"] == 24
    assert body["metrics"]["qlike"] <= body["metrics"]["qlike_in_force"]
    assert len(body["folds"]["best_qlike"]) == quick.tune.trials and len(body["folds"]["fold_qlike"]) == 2
    assert body["tags"]["study"] == result["tuning"]["24"]["study"]
    names = {key.removeprefix(prefix).partition("/")[2] for key in store.objects if key.startswith(prefix)}
    assert {"run.json", "trials.json", "importance.json", "plots/history.svg"} <= names


def test_tune_goes_on_after_the_tracker_failed(quick, done):
    """What was searched is in the store; the next attempt fits nothing and writes the file."""

    class Down(StoreTracker):
        def note(self, name, **more):
            raise TransientError("MLflow is away")

    store = MemoryStore()
    event = featurized(store, quick)
    with pytest.raises(TransientError):
        tune.run(event, store=store, tracker=Down(store), params=quick, clock=lambda: 0.0)
    assert not store.exists(TUNED) and any("/tuning/" in key for key in store.objects)
    tuned(store, event, quick)
    assert store.objects[TUNED] == done[0].objects[TUNED]


def test_a_training_uses_what_was_tuned_and_says_so(done, quick, copy):
    """Parameters in the tracker are the tuned ones; bundle, ledger and result name the study."""
    result = trained(copy, done[1], quick)
    found = done[2]["tuning"]["24"]
    entry = ledger.entries(copy, *WHERE)[-1].body
    assert entry["lineage"]["tuning_study"] == found["study"]
    assert result["models"]["24"]["tuning"] == f"tuned as of {done[1].as_of_text}"
    run = json.loads(copy.get(entry["lineage"]["tracking_url"]).data)
    assert (run["params"]["ridge"], run["params"]["forest.trees"]) == (
        found["params"]["ridge"],
        found["params"]["trees"],
    )
    sha256 = entry["challenger"]["bundle_sha256"]
    assert bundle.fetch(copy, keys.bundle(*WHERE, sha256=sha256), sha256).header["tuning_study"] == found["study"]


def test_a_training_after_a_tuning_is_another_than_before_it(done, quick, copy):
    """The digest of its inputs covers the tuned numbers: the same event trains again, and then no more."""
    found = copy.objects.pop(TUNED)
    assert not trained(copy, done[1], quick)["models"]["24"]["repeated"]
    assert trained(copy, done[1], quick)["models"]["24"]["repeated"]
    copy.put(TUNED, found)
    assert not trained(copy, done[1], quick)["models"]["24"]["repeated"]
    assert trained(copy, done[1], quick)["models"]["24"]["repeated"]


def test_a_training_with_an_unusable_file_goes_on_with_params_yaml_and_tells(done, quick, copy):
    """A file of another search space changes nothing but the note in the result and the ledger."""
    body = json.loads(copy.get(TUNED).data)
    copy.put(TUNED, tables.encode_json({**body, "space": 99}))
    result = trained(copy, done[1], quick)
    assert "search space 99" in result["models"]["24"]["tuning"]
    entry = ledger.entries(copy, *WHERE)[-1].body
    assert entry["lineage"]["tuning_study"] == "" and "search space 99" in entry["lineage"]["tuning"]
    run = json.loads(copy.get(entry["lineage"]["tracking_url"]).data)
    assert run["params"]["ridge"] == quick.train.ridge


def test_a_training_as_of_the_past_does_not_use_a_later_search(done, quick, copy):
    """A search that saw hours of the window an older training is judged on is not used there."""
    past = MemoryStore()
    event = featurized(past, quick, hours=2100)
    past.put(TUNED, copy.objects[TUNED])
    assert "its search saw hours up to" in trained(past, event, quick)["models"]["24"]["tuning"]


def test_a_later_search_starts_from_what_is_in_force(done, quick, copy):
    """With new bars there is a new study; its first trial is the last search's result, its second params.yaml's."""
    later = featurized(copy, quick, hours=2206, run_id="r2")
    found = tuned(copy, later, quick)["tuning"]["24"]
    assert found["study"] != done[2]["tuning"]["24"]["study"]
    assert found["before"] == done[2]["tuning"]["24"]["params"]
    trials = json.loads(copy.get(found["tracking_url"].replace("run.json", "trials.json")).data)
    assert trials[1]["params"] == found["base"] == done[2]["tuning"]["24"]["base"]


def test_tune_without_a_features_key_takes_the_newest_table_not_newer_than_the_event(quick):
    """Invoked weekly, it finds the table itself, and never one from the future."""
    store = MemoryStore()
    old, new = featurized(store, quick), featurized(store, quick, hours=2206)
    few = replace(quick, tune=replace(quick.tune, trials=1))
    for event in (old, new):
        bare = replace(event, given={})
        found = tuned(store, bare, few, market=MARKET)
        assert found["market"] == MARKET
        assert found["tuning"]["24"]["features_sha256"] == event.given["features_sha256"]
    before = replace(old, given={}, as_of=old.as_of - 3600)
    with pytest.raises(DataError, match="run featurize first"):
        tuned(store, before, few, market=MARKET)


def test_tune_of_another_market_finds_nothing(done, quick):
    """Tables of simulated bars are not tables of real ones."""
    with pytest.raises(DataError, match="no feature table of btc-usd in market live"):
        tuned(done[0], replace(done[1], given={}), quick)


def test_tune_spends_its_seconds_equally_on_the_horizons(quick):
    """Of ten seconds each horizon has five: three trials of two seconds, and one event more adds none."""
    ticks = iter(range(0, 10_000, 2))
    store = MemoryStore()
    event = featurized(store, quick)
    small = replace(quick, tune=replace(quick.tune, seconds=10.0))

    def clock():
        return float(next(ticks))

    for _ in range(2):
        found = tune.run(event, store=store, tracker=StoreTracker(store), params=small, clock=clock)["tuning"]
        assert {h: (body["trials"]["all"], body["seconds"]) for h, body in found.items()} == {
            "6": (3, 6.0),
            "24": (3, 6.0),
        }


def test_tune_never_looks_at_the_hours_a_promotion_is_decided_on(done, quick):
    """Other bars in the untouched window are another study with the very same values."""
    store = MemoryStore()
    event = featurized(store, quick)
    manifest = history.load_manifest(store, event.given["features_key"])
    table = history.read(store, manifest)
    seen = json.loads(done[0].get(TUNED).data)["seen_until"]
    late = table["time"] >= events.parse_instant(seen)
    values = table["values"].copy()
    values[late] = values[late] * 3 + 1
    prefix = keys.features(MARKET, "btc-usd")
    parts = history.write_parts(store, prefix, {**table, "values": values}, codec="npz")
    head = history.load_manifest(store, history.head_key(prefix))
    history.commit(store, prefix, parts, as_of=event.as_of_text, meta={"spoilt": True}, head=head)
    found = tuned(store, event, quick)["tuning"]["24"]
    assert late.sum() > 500 and found["study"] != done[2]["tuning"]["24"]["study"]
    assert (found["qlike"], found["params"]) == (done[2]["tuning"]["24"]["qlike"], done[2]["tuning"]["24"]["params"])
