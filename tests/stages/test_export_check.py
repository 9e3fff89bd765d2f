"""A bundle whose arrays do not forecast what XGBoost's own trees do is never promoted."""

import json

import numpy as np
import pytest

from cryptovol import bundle, events, forest, ledger, model, promotion, training
from cryptovol.adapters.tracking import StoreTracker
from cryptovol.stages import featurize, train
from cryptovol.testing import MemoryStore, make_bars

from tests.stages.conftest import MARKET, put_clean

WHERE = (MARKET, "btc-usd", 24)
BARS = make_bars(2206, seed=3)


def train_on(store, bars, params, run_id):
    """Run featurize and train over clean bars; return the outcome at 24 h."""
    event = events.parse(featurize.run(put_clean(store, bars, run_id=run_id), store=store, params=params))
    return train.run(event, store=store, tracker=StoreTracker(store), params=params)["models"]["24"]


@pytest.fixture(scope="module")
def first(quick):
    """Return the objects of a store with an honest champion."""
    store = MemoryStore()
    assert train_on(store, BARS.take(slice(0, 2200)), quick, "r1")["decision"] == "promoted"
    return store.objects


@pytest.fixture
def store(first):
    """Return a store with that champion."""
    made = MemoryStore()
    made.objects = dict(first)
    return made


def exported_with(monkeypatch, spoil):
    """Let every export from XGBoost be spoilt: `spoil` changes the forest's arrays in place."""
    honest = forest.from_xgboost

    def spoilt(model_json):
        made = honest(model_json)
        spoil(made)
        return made

    monkeypatch.setattr(forest, "from_xgboost", spoilt)


def threshold(made):
    """Move one tree's first threshold."""
    made.threshold[0, 0] += 0.2


def leaf(made):
    """Add a ten-thousandth to one leaf of the last tree: three members share it."""
    leaves = np.flatnonzero((made.left[-1] == np.arange(made.left.shape[1])) & (made.cover[-1] > 0))
    made.value[-1, leaves[-1]] += 1e-4


def lost(made):
    """Let one tree of each member say nothing."""
    made.value[3] = 0.0


def feature(made):
    """Let one tree ask for its neighbour's feature first."""
    made.feature[0, 0] = (made.feature[0, 0] + 1) % 36


@pytest.mark.parametrize("spoil", [threshold, leaf, lost, feature])
def test_a_spoilt_export_is_not_promoted(store, quick, monkeypatch, spoil):
    """One threshold, leaf, tree or feature that is not XGBoost's: the champion stays, and the ledger says why."""
    before = ledger.champion(store, *WHERE)
    exported_with(monkeypatch, spoil)
    told = train_on(store, BARS, quick, "r2")
    entry = ledger.entries(store, *WHERE)[-1].body
    assert (told["outcome"], told["decision"]) == ("export_differs", "rejected")
    assert "differ from XGBoost's own" in entry["reason"] and "else " in entry["reason"]
    assert entry["numbers"]["export_difference"] > promotion.EXPORT_LIMIT
    assert entry["champion"]["bundle_sha256"] == before.bundle_sha256 == ledger.champion(store, *WHERE).bundle_sha256


def test_a_bundle_that_loads_as_another_model_is_not_promoted(store, quick, monkeypatch):
    """The arrays are held against XGBoost as they load from the bundle's bytes, not as they were in memory."""
    honest = bundle.encode

    def rounded(made):
        files = honest(made)
        linear = json.loads(files["linear.json"])
        linear["weights"] = [round(weight, 4) for weight in linear["weights"]]
        return {**files, "linear.json": json.dumps(linear).encode()}

    monkeypatch.setattr(bundle, "encode", rounded)
    assert train_on(store, BARS, quick, "r2")["outcome"] == "export_differs"


def test_an_honest_export_passes_and_its_difference_is_recorded(store, quick):
    """Float32 sums leave a difference far below the limit, and the ledger has it."""
    assert train_on(store, BARS, quick, "r2")["decision"] == "promoted"
    found = ledger.entries(store, *WHERE)[-1].body["numbers"]["export_difference"]
    assert 0.0 < found < promotion.EXPORT_LIMIT / 5


def test_the_difference_is_taken_on_every_labelled_hour(quick, monkeypatch):
    """Hours that the promotion window lacks are looked at, too."""
    seen = []
    monkeypatch.setattr(training, "difference", lambda found, wanted: seen.append((len(found), len(wanted))) or 0.0)
    entry = train_on(MemoryStore(), BARS, quick, "r1")
    assert seen[-1] == (entry["rows"], entry["rows"]) and entry["rows"] > quick.train.window_hours


def test_origin_forecasts_by_xgboost_alone(quick, monkeypatch):
    """What the export is held against does not walk the export's arrays."""
    rng = np.random.default_rng(1)
    values = rng.standard_normal((1000, 36))
    made, origin = model.fit_with_origin(values, np.exp(-5 + 0.3 * values[:, 0]), quick.train, horizon=24)
    plain = made.predict(values)
    monkeypatch.setattr(forest.Forest, "predict", lambda *_: 1 / 0)
    np.testing.assert_allclose(origin.predict(values), plain, rtol=1e-6)
