"""Promotion through the train stage: planted champions, two horizons at once, and markets that never mix."""

from dataclasses import replace

import numpy as np
import pytest

from cryptovol import audit, bundle, champions, events, keys, ledger, tables
from cryptovol.adapters.tracking import StoreTracker
from cryptovol.errors import BundleRefusedError, ConflictError
from cryptovol.serving import Champions
from cryptovol.stages import featurize, train
from cryptovol.testing import MemoryStore, make_bars

from tests.stages.conftest import MARKET, put_clean

PAIR = "btc-usd"
BARS = make_bars(2206, seed=3)


def train_on(store, bars, params, *, run_id, market=MARKET):
    """Run featurize and train over clean bars, as bars of a market; return each horizon's outcome."""
    event = put_clean(store, bars, run_id=run_id)
    event = replace(event, given={**event.given, "market": market})
    event = events.parse(featurize.run(event, store=store, params=params))
    return train.run(event, store=store, tracker=StoreTracker(store), params=params)["models"]


@pytest.fixture(scope="module")
def first(quick):
    """Return the objects of a store after a first training six hours ago."""
    store = MemoryStore()
    models = train_on(store, BARS.take(slice(0, 2200)), quick, run_id="r1")
    assert {h: m["outcome"] for h, m in models.items()} == {"6": "first", "24": "first"}
    return store.objects


@pytest.fixture
def store(first):
    """Return a store with those champions."""
    made = MemoryStore()
    made.objects = dict(first)
    return made


def serving(store, horizon, market=MARKET):
    """Return the champion's bundle."""
    found = ledger.champion(store, market, PAIR, horizon)
    return champions.fetch(store, market, PAIR, horizon, sha256=found.bundle_sha256)


def install(store, made, *, market=MARKET, pair=PAIR, horizon):
    """Make a bundle champion of a market, whatever its header says; return its sha256."""
    files = bundle.encode(made)
    sha256 = tables.sha256(files[bundle.MANIFEST])
    bundle.save(store, keys.bundle(market, pair, horizon, sha256=sha256), files)
    model = {"bundle_sha256": sha256, "name": made.header["name"], "version": "planted"}
    model["trained_at"] = made.header["trained_at"]
    store.put(f"tracking/{made.header['name']}/planted/run.json", b"{}")
    ledger.append(store, market, pair, horizon, decision="promoted", champion=model, as_of=made.header["trained_at"])
    return sha256


def plant(store, horizon, kind):
    """Put a champion in place whose out-of-sample forecasts were far better or far worse than a model's can be."""
    old = serving(store, horizon)
    noise = np.exp(
        {"strong": 0.02, "weak": 0.9}[kind] * np.random.default_rng(1).standard_normal(len(old.window["time"]))
    )
    return install(
        store, replace(old, window={**old.window, "predicted": old.window["realized"] * noise}), horizon=horizon
    )


@pytest.mark.parametrize(("six", "day"), [("weak", "strong"), ("strong", "weak")])
def test_train_judges_each_horizon_by_its_own_champion(store, quick, six, day):
    """The same training wins at one horizon and loses at the other, and each ledger has its own decision."""
    planted = {6: plant(store, 6, six), 24: plant(store, 24, day)}
    models = train_on(store, BARS, quick, run_id="r2")
    for horizon, kind in ((6, six), (24, day)):
        told = models[str(horizon)]
        serves = ledger.champion(store, MARKET, PAIR, horizon).bundle_sha256
        assert (told["outcome"], told["decision"]) == {
            "weak": ("win", "promoted"), "strong": ("loss", "rejected")
        }[kind]  # fmt: skip
        assert serves == (told["challenger"]["bundle_sha256"] if kind == "weak" else planted[horizon])


def test_train_against_an_equal_champion_is_a_tie_for_the_fresher(store, quick):
    """Six hours later the same recipe is as good as before: it serves, with the newer bars."""
    models = train_on(store, BARS, quick, run_id="r2")
    for horizon in (6, 24):
        entry = ledger.entries(store, MARKET, PAIR, horizon)[-1].body
        assert (entry["outcome"], entry["decision"]) == ("tie", "promoted")
        assert entry["numbers"]["common"]["rows"] >= 500
        assert serving(store, horizon).header["trained_at"] == models[str(horizon)]["challenger"]["trained_at"]


def test_train_long_before_the_champion_does_not_replace_it(store, quick):
    """A run far back in time shares too few hours with the champion: it is recorded and not promoted."""
    fewer = replace(quick, promotion=replace(quick.promotion, least_rows=540))
    models = train_on(store, BARS.take(slice(0, 2150)), fewer, run_id="r0")
    assert {m["outcome"] for m in models.values()} == {"too_few"}
    assert "in common with the champion" in models["24"]["reason"]


def test_train_over_a_champion_that_cannot_be_loaded_is_unopposed(store, quick):
    """A torn champion cannot be compared; HAR alone is the bar, at its own horizon only."""
    sha256 = serving(store, 24).sha256
    store.objects[f"{keys.bundle(MARKET, PAIR, 24, sha256=sha256)}/forest.npz"] = b"torn"
    models = train_on(store, BARS, quick, run_id="r2")
    assert (models["24"]["outcome"], models["6"]["outcome"]) == ("unopposed", "tie")
    assert "champion cannot serve" in models["24"]["reason"]


def test_train_that_was_overtaken_decides_again(store, quick):
    """Another run's promotion during a training is a conflict, not undone by a decision that did not see it."""
    event = events.parse(featurize.run(put_clean(store, BARS, run_id="r2"), store=store, params=quick))

    class Overtaken(StoreTracker):
        """Lets another model be promoted while this one is tracked."""

        def log(self, name, **more):
            if name.endswith("h6"):
                plant(store, 6, "strong")
            return super().log(name, **more)

    with pytest.raises(ConflictError, match="has entry 2 since"):
        train.run(event, store=store, tracker=Overtaken(store), params=quick)
    assert [e.body["decision"] for e in ledger.entries(store, MARKET, PAIR, 6)] == ["promoted", "promoted"]
    again = train.run(event, store=store, tracker=StoreTracker(store), params=quick)
    assert again["models"]["6"]["outcome"] == "loss"


def test_train_of_made_up_bars_leaves_the_real_champion_alone(store, quick):
    """Each market has its own ledger, whatever the other's models are worth."""
    train_on(store, BARS, quick, run_id="real", market="live")
    before = {key: data for key, data in store.objects.items() if key.startswith("models/live/")}
    assert before and ledger.champion(store, "live", PAIR, 24).name == "cryptovol-btc-usd-h24"
    train_on(store, BARS, quick, run_id="made-up")
    after = {key: data for key, data in store.objects.items() if key.startswith("models/live/")}
    assert after == before


def test_bundle_copied_by_hand_into_another_market_never_serves(store, quick):
    """A simulated bundle under live keys, pointer and ledger included, is refused wherever a champion is loaded."""
    install(store, serving(store, 24), market="live", horizon=24)
    with pytest.raises(BundleRefusedError, match="is of simulated/btc-usd/h24, not of live/btc-usd/h24"):
        Champions(store, "live", lambda: 0).get(PAIR, 24)
    faults = audit.verify(store, "live", PAIR, 24).faults
    assert [fault.what for fault in faults if "simulated" in fault.what]
    models = train_on(store, BARS, quick, run_id="real", market="live")
    assert models["24"]["outcome"] == "unopposed" and "is of simulated" in models["24"]["reason"]
    assert Champions(store, "live", lambda: 0).get(PAIR, 24).bundle.header["market"] == "live"


def test_champion_goes_on_serving_while_the_pointer_to_the_next_is_spoilt(store):
    """A torn champion.json does not stop the forecasts: the one before serves, and says why."""
    now = [0]
    held = Champions(store, MARKET, lambda: now[0])
    before = held.get(PAIR, 24).bundle.sha256
    store.objects[keys.champion(MARKET, PAIR, 24)] = b"{"
    now[0] += 3600
    served = held.get(PAIR, 24)
    assert served.bundle.sha256 == before and "names no champion" in served.refused


@pytest.mark.parametrize(
    ("pair", "horizon", "header"),
    [
        (PAIR, 24, {"symbol": "ETH"}),
        (PAIR, 24, {"quote": "EUR"}),
        (PAIR, 24, {"market": "live"}),
        (PAIR, 24, {"market": "replay-bars"}),
        (PAIR, 6, {}),
        ("eth-usd", 24, {}),
    ],
)
def test_bundle_of_another_identity_is_refused(store, pair, horizon, header):
    """Symbol, quote, market and horizon of a bundle must be those of the key it lies under."""
    made = serving(store, 24)
    made = replace(made, header={**made.header, **header})
    install(store, made, pair=pair, horizon=horizon)
    with pytest.raises(BundleRefusedError, match="is of .*, not of"):
        Champions(store, MARKET, lambda: 0).get(pair, horizon)


def test_train_logs_a_model_card_without_the_clock(store, quick):
    """Each run has its card as an artifact; the same training elsewhere has the same bytes."""
    other = MemoryStore()
    other.objects = dict(store.objects)
    cards = []
    for each in (store, other):
        version = train_on(each, BARS, quick, run_id="r2")["24"]["challenger"]["version"]
        name = serving(each, 24).header["name"]
        cards.append(each.objects[f"tracking/{name}/{version}/model_card.md"])
    assert cards[0] == cards[1] and b"promoted (tie)" in cards[0]
    assert ledger.entries(store, MARKET, PAIR, 24)[0].sha256.encode() in cards[0]
