"""Notes of runs that made no model, as files in the store."""

import json

from cryptovol.adapters.tracking import StoreTracker
from cryptovol.testing import MemoryStore

NOTE = {
    "identity": "s1-50",
    "params": {"horizon": 24, "forest": {"trees": 10}},
    "metrics": {"qlike": 0.3},
    "series": {"best_qlike": [0.4, 0.3]},
    "artifacts": {"plots/history.svg": b"<svg/>"},
    "tags": {"study": "s1"},
}


def test_a_note_is_files_without_a_version():
    """Parameters, metrics, series, tags and artifacts are there, and no alias can point at it."""
    store = MemoryStore()
    run = StoreTracker(store).note("m-tuning", **NOTE)
    assert (run.run_id, run.version, run.url) == ("s1-50", "", "tracking/m-tuning/s1-50/run.json")
    assert json.loads(store.get(run.url).data) == {
        "params": {"horizon": 24, "forest.trees": 10}, "metrics": {"qlike": 0.3}, "folds": {"best_qlike": [0.4, 0.3]},
        "tags": {"study": "s1"},
    }  # fmt: skip
    assert store.get("tracking/m-tuning/s1-50/plots/history.svg").data == b"<svg/>"


def test_a_note_of_the_same_identity_is_not_made_twice():
    """Told again it stays what it was; another identity is another note."""
    store = MemoryStore()
    tracker = StoreTracker(store)
    first = tracker.note("m-tuning", **NOTE)
    before = dict(store.objects)
    assert tracker.note("m-tuning", **{**NOTE, "metrics": {"qlike": 9.0}}) == first
    assert store.objects == before
    assert tracker.note("m-tuning", **{**NOTE, "identity": "s1-60"}).url != first.url
