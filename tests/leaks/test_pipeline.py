"""The audits inside the stages: a leak stops the run before anything is stored, a score too good stops the promotion."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cryptovol import events, features, history, keys, leaks, ledger, params, tables, target
from cryptovol.adapters.tracking import StoreTracker
from cryptovol.bars import Bars, Floats
from cryptovol.errors import ConfigError, LeakError
from cryptovol.events import StageEvent
from cryptovol.features import FeatureTable
from cryptovol.params import Params
from cryptovol.stages import featurize, train
from cryptovol.testing import MemoryStore, make_bars
from cryptovol.volatility import realized_volatility
from tests.leaks.leaky import LEAKY, holed
from tests.stages.conftest import MARKET, put_clean

HONEST = features.build
WHERE = (MARKET, "btc-usd", 24)


@pytest.mark.parametrize("name", LEAKY)
def test_featurize_stores_nothing_of_a_leaky_table(name: str, quick: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever features come to be, a run whose table fails the audit ends there with `leak`."""
    store = MemoryStore()
    event = put_clean(store, holed())
    before = dict(store.objects)

    def build(bars: Bars, *, coverage: float) -> FeatureTable:
        monkeypatch.setattr(features, "build", HONEST)  # what the leaky builder itself stands on
        try:
            return LEAKY[name](bars)
        finally:
            monkeypatch.setattr(features, "build", build)

    monkeypatch.setattr(features, "build", build)
    with pytest.raises(LeakError) as caught:
        featurize.run(event, store=store, params=quick)
    assert caught.value.code == "leak" and not caught.value.retryable
    assert store.objects == before


def past(log_return: Floats, horizon: int, *, coverage: float) -> Floats:
    """Return the volatility of the last hours, which is no target."""
    return realized_volatility(log_return, horizon, coverage=coverage)


def own_hour(log_return: Floats, horizon: int, *, coverage: float) -> Floats:
    """Return the volatility of a stretch that begins one hour too early."""
    out = np.full(len(log_return), np.nan)
    out[: -horizon + 1] = realized_volatility(log_return, horizon, coverage=coverage)[horizon - 1 :]
    out[-horizon:] = np.nan
    return out


@pytest.mark.parametrize("wrong", [past, own_hour])
def test_featurize_stores_nothing_of_an_overlapping_label(  # type: ignore[no-untyped-def]
    wrong, quick: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A label that shares an hour with its features stops the run."""
    store = MemoryStore()
    event = put_clean(store, holed())
    before = dict(store.objects)
    monkeypatch.setattr(target, "forward", wrong)
    with pytest.raises(LeakError, match="target_6"):
        featurize.run(event, store=store, params=quick)
    assert store.objects == before


def featurized(store: MemoryStore, quick: Params) -> StageEvent:
    """Return the train event over honest features."""
    return events.parse(featurize.run(put_clean(store, make_bars(2200, seed=3)), store=store, params=quick))


def test_train_refuses_a_table_whose_label_overlaps_its_features(quick: Params) -> None:
    """Whoever wrote the table: train looks at the targets it reads, and decides nothing on wrong ones."""
    store = MemoryStore()
    event = featurized(store, quick)
    manifest = history.load_manifest(store, event.need("features_key"))
    assert manifest is not None
    table = history.read(store, manifest)
    table["target_24"] = own_hour(table["log_return"], 24, coverage=1.0)
    prefix = keys.features(MARKET, "btc-usd")
    parts = history.write_parts(store, prefix, table, codec="npz")
    later = {**event.given, "as_of": "2024-04-02T00:00:00Z"}
    kept = {name: manifest.body[name] for name in ("target_coverage", "market")}
    head = history.load_manifest(store, history.head_key(prefix))
    state = history.commit(store, prefix, parts, as_of=later["as_of"], meta=kept, head=head)
    wrong = events.parse({**later, "symbol": "BTC", "quote": "USD", "run_id": "r2", "features_key": state.key})
    with pytest.raises(LeakError, match="target_24.*begins with the row's own hour"):
        train.run(wrong, store=store, tracker=StoreTracker(store), params=quick)
    assert ledger.champion(store, *WHERE) is None


def test_train_does_not_promote_what_is_too_good_to_be_true(quick: Params) -> None:
    """A score above the limit is refused, and the ledger says why; the same score below the limit is promoted."""
    store = MemoryStore()
    event = featurized(store, quick)
    strict = replace(quick, promotion=replace(quick.promotion, suspect_r2_log=(0.99, 0.05)))
    result = train.run(event, store=store, tracker=StoreTracker(store), params=strict)
    assert {h: m["decision"] for h, m in result["models"].items()} == {"6": "promoted", "24": "rejected"}
    (entry,) = ledger.entries(store, *WHERE)
    assert entry.body["outcome"] == "suspicious"
    assert entry.body["reason"].startswith("suspiciously good: look for a leak first")
    assert entry.body["numbers"]["r2_log"] > 0.05 and ledger.champion(store, *WHERE) is None
    relaxed = train.run(event, store=store, tracker=StoreTracker(store), params=quick)
    assert relaxed["models"]["24"]["decision"] == "promoted"


def test_params_need_one_limit_per_horizon(tmp_path) -> None:  # type: ignore[no-untyped-def]
    """A horizon without a limit, or a limit without a horizon, is told before anything runs."""
    path = tmp_path / "params.yaml"
    with open("params.yaml", encoding="utf-8") as shipped:
        path.write_text(shipped.read().replace("horizons: [6, 24]", "horizons: [6, 12, 24]"), encoding="utf-8")
    with pytest.raises(ConfigError, match="suspect_r2_log gives 2 for 3 horizons"):
        params.load(path)


def test_audited_rows_follow_the_digest_of_the_clean_bars(quick: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same clean bars are audited at the same rows on every machine."""
    asked: list[str] = []
    choose = leaks.sample

    def watched(table: FeatureTable, bars: Bars, *, digest: str) -> object:
        asked.append(digest)
        return choose(table, bars, digest=digest)

    monkeypatch.setattr(leaks, "sample", watched)
    for _ in range(2):
        store = MemoryStore()
        event = put_clean(store, holed())
        featurize.run(event, store=store, params=quick)
        asked.append(tables.sha256(store.objects[event.need("clean_key")]))
    assert len(set(asked)) == 1 and len(asked) == 4
