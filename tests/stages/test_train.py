"""Train: a bundle named by its content, a tracked run, a ledger entry, and a champion only if earned."""

import json
from dataclasses import replace

import numpy as np
import pytest

from cryptovol import bundle, events, keys, ledger, tables
from cryptovol.adapters.tracking import StoreTracker
from cryptovol.errors import BundleRefusedError, NotEnoughBarsError, TransientError
from cryptovol.stages import featurize, train
from cryptovol.testing import MemoryStore, make_bars

from tests.stages.conftest import MARKET, put_clean

WHERE = (MARKET, "btc-usd", 24)


def trained(store, bars, params, run_id="r1"):
    """Run featurize and train over clean bars; return the train event and its result."""
    event = events.parse(featurize.run(put_clean(store, bars, run_id=run_id), store=store, params=params))
    return event, train.run(event, store=store, tracker=StoreTracker(store), params=params)


@pytest.fixture(scope="module")
def done(quick):
    """Return a store after one whole training, the event and the result."""
    store = MemoryStore()
    return store, *trained(store, make_bars(2200, seed=3), quick)


def champion(store):
    """Return the champion's bundle."""
    found = ledger.champion(store, *WHERE)
    return bundle.fetch(store, keys.bundle(*WHERE, sha256=found.bundle_sha256), found.bundle_sha256)


def test_train_promotes_the_first_model_that_beats_har(done):
    """Without a champion the challenger serves, at both horizons, with the reason on record."""
    store, _, result = done
    assert {h: m["decision"] for h, m in result["models"].items()} == {"6": "promoted", "24": "promoted"}
    entry = ledger.entries(store, *WHERE)[0].body
    assert entry["champion"]["bundle_sha256"] == result["models"]["24"]["challenger"]["bundle_sha256"]
    assert "HAR" in entry["reason"] and entry["lineage"]["source"] == "made-up"


def test_train_of_the_same_event_changes_nothing(done, quick):
    """A repeated event finds its entries: no second decision, no other byte."""
    store, event, result = done
    before = dict(store.objects)
    again = train.run(event, store=store, tracker=StoreTracker(store), params=quick)
    assert all(model["repeated"] for model in again["models"].values())
    assert store.objects == before and again["rows_trained"] == result["rows_trained"]


def test_train_elsewhere_gives_the_same_bundle_bytes(done, quick):
    """Same bars, parameters and code: byte-equal bundles in another store."""
    store, _, result = done
    other = MemoryStore()
    _, again = trained(other, make_bars(2200, seed=3), quick, run_id="another")
    assert again["models"]["24"]["challenger"]["bundle_sha256"] == result["models"]["24"]["challenger"]["bundle_sha256"]
    bundles = [key for key in store.objects if "/bundles/" in key]
    assert bundles and all(other.objects[key] == store.objects[key] for key in bundles)


def test_train_scores_only_hours_the_model_had_not_seen(done):
    """The bundle's window lies at the end and its forecasts are not the final model's own."""
    found = champion(done[0])
    assert found.scores["rows"] == len(found.window["time"]) == 540
    assert set(found.scores["baselines"]) == {"persistence", "ewma", "har"}


def test_train_records_a_loser_and_keeps_the_champion(done, quick):
    """A challenger with a ruined forest is rejected; the champion and its pointer stay."""
    store = MemoryStore()
    store.objects = dict(done[0].objects)
    before = ledger.champion(store, *WHERE)
    rough = replace(quick.train.forest, trees=60, learning_rate=1.0, min_child_weight=1, l2=0.0, depth=8)
    loser = replace(quick, train=replace(quick.train, ridge=1e9, forest=rough))
    _, result = trained(store, make_bars(2206, seed=3), loser, run_id="r2")
    assert result["models"]["24"]["decision"] == "rejected"
    assert "worse than" in result["models"]["24"]["reason"]
    after = ledger.champion(store, *WHERE)
    assert after is not None and before is not None and after.bundle_sha256 == before.bundle_sha256
    assert len(ledger.entries(store, *WHERE)) == 2


def test_train_of_another_market_never_touches_this_champion(done, quick):
    """A model of simulated bars lives under other keys than a model of real ones."""
    store = MemoryStore()
    trained(store, make_bars(2200, seed=3), quick)
    assert ledger.champion(store, "live", "btc-usd", 24) is None


def test_train_refuses_too_little_history(quick):
    """Enough for features but not for folds is told with both numbers, and nothing is promoted."""
    store = MemoryStore()
    with pytest.raises(NotEnoughBarsError, match="labelled hours"):
        trained(store, make_bars(1200, seed=3), quick)
    assert ledger.champion(store, *WHERE) is None


def test_train_killed_before_its_ledger_entry_resumes(quick):
    """A tracker that fails leaves no decision; the next attempt makes exactly one."""

    class Down(StoreTracker):
        def log(self, name, **more):
            raise TransientError("MLflow is away")

    store = MemoryStore()
    event = events.parse(featurize.run(put_clean(store, make_bars(2200, seed=3)), store=store, params=quick))
    with pytest.raises(TransientError):
        train.run(event, store=store, tracker=Down(store), params=quick)
    assert ledger.champion(store, *WHERE) is None
    train.run(event, store=store, tracker=StoreTracker(store), params=quick)
    assert len(ledger.entries(store, *WHERE)) == 1


@pytest.mark.parametrize("name", ["forest.npz", "linear.json", "bundle.json"])
def test_bundle_with_a_changed_file_is_refused(done, name):
    """One flipped byte in any file and the bundle does not load."""
    store = MemoryStore()
    store.objects = dict(done[0].objects)
    found = champion(store)
    key = f"{keys.bundle(*WHERE, sha256=found.sha256)}/{name}"
    store.objects[key] = store.objects[key][:-2] + bytes([store.objects[key][-2] ^ 1]) + store.objects[key][-1:]
    with pytest.raises(BundleRefusedError, match="not the file it was"):
        champion(store)


def test_bundle_of_other_feature_code_is_refused(done):
    """A model fitted with other feature code cannot be served by this one."""
    found = champion(done[0])
    files = bundle.encode(found)
    header = {**found.header, "spec": {**found.header["spec"], "code_sha256": "0" * 64}}
    with pytest.raises(BundleRefusedError, match="other feature code"):
        bundle.decode(files, header, tables.sha256(b""))


@pytest.mark.parametrize("other", [1, bundle.FORMAT - 1, bundle.FORMAT + 1])
def test_bundle_of_another_format_is_refused(done, other):
    """A bundle of an earlier or later version names its format and ours, before any of its files is read."""
    prefix = keys.bundle(*WHERE, sha256=champion(done[0]).sha256)
    manifest = json.loads(done[0].get(f"{prefix}/{bundle.MANIFEST}").data)
    store, changed = MemoryStore(), tables.encode_json({**manifest, "format": other})
    store.put(f"{prefix}/{bundle.MANIFEST}", changed)
    with pytest.raises(BundleRefusedError, match=f"has format {other}, this code reads {bundle.FORMAT}"):
        bundle.fetch(store, prefix, tables.sha256(changed))


def test_bundle_survives_its_own_bytes(done):
    """Loaded and encoded again, every file of a bundle is the same: nothing of the model is lost or rounded."""
    found = champion(done[0])
    files = bundle.encode(found)
    again = bundle.decode(files, found.header, found.sha256)
    assert bundle.encode(again) == files and tables.sha256(files[bundle.MANIFEST]) == found.sha256
    assert again.model.level == found.model.level and again.model.spread_slope == found.model.spread_slope
    assert np.array_equal(again.model.importance, found.model.importance)


def test_bundle_forecast_has_the_bits_of_the_final_model(done, quick):
    """Loaded from the store, the bundle gives one row the number it gives many."""
    found = champion(done[0])
    values = np.random.default_rng(0).standard_normal((50, 36)) + found.model.centre
    assert found.predict(values[7:8])[0] == found.predict(values)[7]


def test_train_replaces_a_champion_that_can_no_longer_be_loaded(done, quick):
    """A damaged champion cannot serve: HAR alone is the bar, and the ledger says why."""
    store = MemoryStore()
    store.objects = dict(done[0].objects)
    found = champion(store)
    store.objects[f"{keys.bundle(*WHERE, sha256=found.sha256)}/forest.npz"] = b"torn"
    _, result = trained(store, make_bars(2206, seed=3), quick, run_id="r2")
    assert result["models"]["24"]["decision"] == "promoted"
    assert "champion cannot serve" in result["models"]["24"]["reason"]
