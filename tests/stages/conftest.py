"""A store with clean bars in it, as the validate stage leaves them."""

import pytest

from cryptovol import events, history, keys
from cryptovol.bars import Bars
from cryptovol.events import StageEvent
from cryptovol.params import Params
from cryptovol.testing import MemoryStore, make_bars
from cryptovol.times import HOUR, format_instant

from tests import ingests

MARKET = "simulated"


def put_clean(store: MemoryStore, bars: Bars, *, run_id: str = "r1") -> StageEvent:
    """Write bars as the clean state of the instant the last one closed; return the event of the next stage."""
    as_of = format_instant(int(bars.time[-1]) + HOUR)
    prefix = keys.clean(MARKET, "btc-usd")
    names = ("time", "open", "high", "low", "close", "volume_base", "volume_quote")
    table = {name: getattr(bars, name) for name in names}
    head = history.load_manifest(store, history.head_key(prefix))
    parts = history.write_parts(store, prefix, table, codec="npz", head=head)
    state = history.commit(store, prefix, parts, as_of=as_of, meta={}, head=head)
    own = {"symbol": "BTC", "quote": "USD", "as_of": as_of, "run_id": run_id}
    return events.parse({**own, "market": MARKET, "source": "made-up", "clean_key": state.key})


@pytest.fixture
def few(params: Params) -> Params:
    """Return parameters for a short history in small pages."""
    return ingests.small(params)


@pytest.fixture
def store() -> MemoryStore:
    """Return an empty store."""
    return MemoryStore()


@pytest.fixture
def clean(store: MemoryStore) -> StageEvent:
    """Return the featurize event over 2,200 clean bars."""
    return put_clean(store, make_bars(2200, seed=3))
