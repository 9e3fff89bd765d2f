"""What the tests of ingest share: a short history in small pages, events by the hour, and a look at what is stored."""

from dataclasses import replace
from typing import Any

from cryptovol import events, history, keys
from cryptovol.bars import Bars
from cryptovol.events import Result, StageEvent
from cryptovol.params import Params
from cryptovol.ports import BarSource, Store
from cryptovol.stages import ingest
from cryptovol.testing import START, FixedSource, MemoryStore
from cryptovol.times import HOUR, format_instant

N = 24 * 40  # hours of a whole history
PREFIX = keys.raw("test", "btc-usd")
HEAD = history.head_key(PREFIX)


def small(params: Params, **more: int) -> Params:
    """Return parameters for a history of 40 days in pages of 100 bars, two to a commit; 48 bars are read again."""
    own = {"history_hours": N, "page_bars": 100, "commit_pages": 2, "reread_hours": 48, "witness_hours": 24, **more}
    return replace(params, ingest=replace(params.ingest, **own))


def at(hour: int) -> int:
    """Return the unix second of an hour counted from the first bar's opening."""
    return START + hour * HOUR


def event(hour: int, *, start: int | None = None, symbol: str = "BTC") -> StageEvent:
    """Return the event as of an hour, from `start` on if that is given."""
    own: dict[str, Any] = {"symbol": symbol, "quote": "USD", "as_of": format_instant(at(hour)), "run_id": "r1"}
    return events.parse(own if start is None else {**own, "start": format_instant(at(start))})


def source(bars: Bars, market: str = "test", name: str = "fixed") -> FixedSource:
    """Return a source over bars, in pages of 100."""
    return FixedSource(bars, market=market, source=name, page_bars=100)


def ingested(happens: StageEvent, store: Store, of: BarSource, params: Params, **more: Any) -> Result:
    """Run the stage at the event's own instant."""
    return ingest.run(happens, store=store, source=of, clock=lambda: happens.as_of, params=params, **more)


def stored(store: Store, result: Result) -> Bars:
    """Return the bars of the state a result names."""
    state = history.load_manifest(store, result["raw_key"])
    assert state is not None and state.sha256 == result["raw_sha256"]
    return Bars(**history.read(store, state))


def named(store: MemoryStore, *keys_of_manifests: str) -> dict[str, bytes]:
    """Return manifests and all that they name, by key: what a reader can find."""
    found = {}
    for key in keys_of_manifests:
        state = history.load_manifest(store, key)
        assert state is not None
        found.update({each: store.objects[each] for each in (key, *(part["key"] for part in state.body["parts"]))})
    return found


def hours(bars: Bars) -> list[int]:
    """Return the hours of bars, counted from the first one's opening."""
    return [int(hour) for hour in (bars.time - START) // HOUR]
