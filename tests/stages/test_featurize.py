"""Featurize: a table in the store, whose finished months never change."""

import numpy as np
import pytest

from cryptovol import events, features, history
from cryptovol.errors import NotEnoughBarsError
from cryptovol.stages import featurize
from cryptovol.testing import MemoryStore, make_bars

from tests.stages.conftest import put_clean


def test_featurize_writes_features_and_targets(store, clean, quick):
    """The stored table has 36 features and both targets, the newest of which are missing."""
    result = featurize.run(clean, store=store, params=quick)
    table = history.read(store, history.load_manifest(store, result["features_key"]))
    assert table["values"].shape == (2200, 36)
    assert np.isnan(table["target_24"][-24:]).all() and np.isfinite(table["target_24"][-25])
    assert result["rows_complete"] == 2200 - features.WARMUP + 1


def test_featurize_twice_gives_the_same_bytes(store, clean, quick):
    """The same event writes the same objects and returns the same result."""
    first = featurize.run(clean, store=store, params=quick)
    before = dict(store.objects)
    assert featurize.run(clean, store=store, params=quick) == first
    assert store.objects == before


def test_featurize_of_six_more_hours_rewrites_one_month(store, quick):
    """Features are causal: of a longer history only the newest part differs."""
    featurize.run(put_clean(store, make_bars(2194, seed=3)), store=store, params=quick)
    before = {key for key in store.objects if key.startswith("features/")}
    featurize.run(put_clean(store, make_bars(2200, seed=3)), store=store, params=quick)
    fresh = [k for k in store.objects if k.startswith("features/") and k not in before and k.endswith(".npz")]
    assert len(fresh) <= 2  # the newest month, and the one before where a target has become known


def test_featurize_refuses_less_than_the_warm_up(quick):
    """Too few bars are told with both numbers and nothing is written."""
    store = MemoryStore()
    event = put_clean(store, make_bars(700))
    before = dict(store.objects)
    with pytest.raises(NotEnoughBarsError, match="700 clean bars") as caught:
        featurize.run(event, store=store, params=quick)
    assert (caught.value.needed, caught.value.found) == (features.WARMUP, 700)
    assert store.objects == before


def test_featurize_needs_the_stage_before(store, quick):
    """An event without the clean state names what is missing."""
    event = events.parse({"symbol": "BTC", "quote": "USD", "as_of": "2025-01-01T00:00:00Z", "run_id": "x"})
    with pytest.raises(events.ConfigError, match="market"):
        featurize.run(event, store=store, params=quick)
