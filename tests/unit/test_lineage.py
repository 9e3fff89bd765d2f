"""Lineage: addresses outside the store, tuning studies, and what cannot be checked."""

import pytest

from cryptovol import keys, ledger, lineage
from cryptovol.errors import ModelNotFoundError
from cryptovol.testing import MemoryStore

WHERE = ("live", "btc-usd", 24)
SHA = "b" * 64
MODEL = {"bundle_sha256": SHA, "name": "cryptovol-btc-usd-h24", "version": "12", "trained_at": "2025-05-01T00:00:00Z"}
TOLD = {
    "raw_sha256": "a" * 64, "features_sha256": "", "git_commit": "c0ffee", "mlflow_run": "0123",
    "tracking_url": "http://mlflow:5000/#/experiments/1/runs/0123", "tuning": "tuned as of 2025-04-01T00:00:00Z",
    "tuning_study": "s1",
}  # fmt: skip


def entry(store, **more):
    """Append a training's entry and return it."""
    return ledger.append(
        store, *WHERE, decision="promoted", champion=MODEL, challenger=MODEL, as_of="2025-05-01T00:00:00Z",
        lineage={**TOLD, **more},
    )  # fmt: skip


def steps(found):
    """Return the links by step."""
    return {link.step: link for link in found}


def test_lineage_gives_addresses_of_run_and_registry():
    """A run at an MLflow server has its address, and so has the registered version."""
    store = MemoryStore()
    found = steps(lineage.links(store, *WHERE, entry(store)))
    assert found["tracked run"].url == TOLD["tracking_url"] and found["tracked run"].key == ""
    assert found["registry version"].url == "http://mlflow:5000/#/models/cryptovol-btc-usd-h24/versions/12"
    assert found["git commit"].value == "c0ffee"


def test_lineage_check_tells_gone_outside_and_not_recorded_apart():
    """What is gone does not hold; what was not recorded, or is elsewhere, is not judged."""
    store = MemoryStore()
    found = steps(lineage.check(store, *WHERE, entry(store)))
    assert (found["raw"].holds, found["raw"].says) == (False, "is gone")
    assert (found["features"].holds, found["features"].says) == (None, "not recorded")
    assert (found["tracked run"].holds, found["tracked run"].says) == (None, lineage.OUTSIDE)
    assert found["bundle"].holds is False and "bundle.json is missing" in found["bundle"].says
    assert found["ledger entry"].holds and found["DVC revision"].says == "not recorded"


def test_lineage_leads_to_the_tuning_study():
    """The study's records are named, held to be there, and missed when they are not; untuned says why."""
    store = MemoryStore()
    made = entry(store)
    log = keys.tuning_log(*WHERE, study="s1")
    assert steps(lineage.check(store, *WHERE, made))["tuning study"].holds is False
    store.put(f"{log}00000001.json", b"{}")
    link = steps(lineage.check(store, *WHERE, made))["tuning study"]
    assert (link.value, link.key, link.holds, link.says) == ("s1", log, True, TOLD["tuning"])
    untuned = steps(lineage.check(store, *WHERE, entry(store, tuning_study="", tuning="never tuned")))["tuning study"]
    assert (untuned.value, untuned.holds, untuned.says) == ("", None, "never tuned")


def test_lineage_of_an_entry_that_was_replaced_does_not_hold():
    """An entry held by hand that the ledger no longer has is told."""
    store = MemoryStore()
    made = entry(store)
    del store.objects[ledger.entry_key(*WHERE, 1)]
    assert steps(lineage.check(store, *WHERE, made))["ledger entry"].says == "is not in the ledger"


def test_lineage_of_a_bundle_without_a_training_is_refused():
    """A bundle that no entry tells of has no lineage."""
    with pytest.raises(ModelNotFoundError, match="no ledger entry tells"):
        lineage.trained_by([], SHA)
