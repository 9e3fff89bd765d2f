"""ingest: fetch what is missing, cut at `as_of`, and never mix markets or pairs."""

import numpy as np
import pytest

from cryptovol import bars as bars_module
from cryptovol.errors import ConfigError, NoNewBarsError, UnknownSymbolError
from cryptovol.params import Params
from cryptovol.stages import ingest
from cryptovol.testing import START, MemoryStore, make_bars
from cryptovol.times import HOUR

from tests.ingests import HEAD, N, at, event, ingested, source, stored


def test_ingest_stores_a_new_pairs_history(few: Params) -> None:
    """A pair never seen before gets its whole history, and the result tells what came."""
    store, of = MemoryStore(), source(make_bars(N + 50))
    result = ingested(event(N), store, of, few)
    assert of.asked == [(START, START + N * HOUR)]
    assert {name: value for name, value in result.items() if not name.startswith("raw_")} == {
        "symbol": "BTC", "quote": "USD", "as_of": "2024-02-10T00:00:00Z", "run_id": "r1",
        "market": "test", "source": "fixed", "sources": {"fixed": N}, "outcome": "appended",
        "rows_fetched": N, "rows_reread": 0, "rows_new": N, "rows_revised": 0, "rows_repaired": 0, "rows_ignored": 0,
        "rows_total": N, "first": "2024-01-01T00:00:00Z", "last": "2024-02-09T23:00:00Z", "hours_before_first": 0,
        "witness_key": "", "second": "",
    }  # fmt: skip
    found = stored(store, result)
    np.testing.assert_array_equal(found.close, make_bars(N).close)
    assert set(found.source.tolist()) == {"fixed"}


def test_ingest_asks_only_for_what_is_missing(few: Params) -> None:
    """Six hours later the six new bars and the newest 48 are asked for in one go, and only their month is written."""
    store, of = MemoryStore(), source(make_bars(N + 6))
    ingested(event(N), store, of, few)
    before = set(store.objects)
    result = ingested(event(N + 6), store, of, few)
    assert of.asked[1:] == [(at(N - 48), at(N + 6))]
    assert (result["rows_fetched"], result["rows_reread"]) == (6, 48)
    assert (result["rows_new"], result["rows_revised"], result["rows_total"]) == (6, 0, N + 6)
    assert len([key for key in set(store.objects) - before if "states" not in key]) == 1


def test_ingest_of_the_same_event_twice_leaves_the_same_bytes(few: Params) -> None:
    """A repeated event fetches nothing and changes no stored byte; on an empty store it writes the same bytes."""
    store, of = MemoryStore(), source(make_bars(N))
    first = ingested(event(N), store, of, few)
    before = dict(store.objects)
    again = ingested(event(N), store, of, few)
    assert store.objects == before and len(of.asked) == 1
    assert again["outcome"] == "up to date" and again["rows_new"] == 0
    assert (again["raw_key"], again["raw_sha256"]) == (first["raw_key"], first["raw_sha256"])
    other = MemoryStore()
    ingested(event(N), other, source(make_bars(N)), few)
    assert other.objects == before


def test_ingest_of_an_earlier_event_fetches_nothing_and_cuts_at_its_as_of(few: Params) -> None:
    """A state for an instant inside the history holds what was closed by then; the head stays."""
    store, of = MemoryStore(), source(make_bars(N))
    ingested(event(N), store, of, few)
    head = store.objects[HEAD]
    result = ingested(event(N - 500), store, of, few)
    assert result["rows_total"] == N - 500 and len(of.asked) == 1 and store.objects[HEAD] == head
    np.testing.assert_array_equal(stored(store, result).time, make_bars(N - 500).time)


def test_ingest_of_an_event_before_all_stored_bars_fetches_its_own_history(few: Params) -> None:
    """An instant older than everything stored gets a state of its own, and the head stays."""
    store, of = MemoryStore(), source(make_bars(3 * N))
    ingested(event(3 * N), store, of, few)
    head = store.objects[HEAD]
    result = ingested(event(N), store, of, few)
    assert result["rows_total"] == N and store.objects[HEAD] == head
    assert ingested(event(N), store, of, few)["raw_sha256"] == result["raw_sha256"]


def test_ingest_refuses_an_as_of_in_the_future(few: Params) -> None:
    """Nothing is asked for and nothing written for an instant that has not come."""
    store, of = MemoryStore(), source(make_bars(N))
    with pytest.raises(ConfigError, match="future.*Cure"):
        ingest.run(event(N), store=store, source=source, clock=lambda: START + N * HOUR - 1, params=few)
    assert not store.objects and not of.asked


def test_ingest_of_an_unknown_symbol_stores_nothing(few: Params) -> None:
    """A symbol that no source knows leaves no trace."""
    store = MemoryStore()
    with pytest.raises(UnknownSymbolError):
        ingested(event(N, symbol="NOPE"), store, source(make_bars(N)), few)
    assert not store.objects


def test_ingest_says_when_no_new_bar_came_although_due(few: Params) -> None:
    """A source that stands still is an error that names the newest bar and as_of."""
    store, of = MemoryStore(), source(make_bars(N))
    ingested(event(N), store, of, few)
    before = dict(store.objects)
    with pytest.raises(NoNewBarsError, match=r"2024-02-09T23:00:00Z.*2024-02-10T06:00:00Z"):
        ingested(event(N + 6), store, of, few)
    assert store.objects == before
    with pytest.raises(NoNewBarsError, match="no bar of btc-usd"):
        ingested(event(N), MemoryStore(), source(make_bars(5, start=START + 2 * N * HOUR)), few)


def test_ingest_keeps_what_came_before_a_source_stood_still(few: Params) -> None:
    """Bars that did come are stored and not fetched again."""
    store, of = MemoryStore(), source(make_bars(N))
    ingested(event(N), store, of, few)
    of.bars = make_bars(N + 2)
    with pytest.raises(NoNewBarsError):
        ingested(event(N + 6), store, of, few)
    of.bars = make_bars(N + 6)
    result = ingested(event(N + 6), store, of, few)
    assert (result["rows_fetched"], result["rows_new"], result["rows_total"]) == (4, 4, N + 6)


def test_ingest_goes_on_over_a_short_gap_at_the_end(few: Params) -> None:
    """A source without its last two hours is fresh enough, and the next run fetches them."""
    store, bars = MemoryStore(), make_bars(N + 6)
    of = source(bars.take(slice(0, N - 2)))
    result = ingested(event(N), store, of, few)
    assert result["rows_total"] == N - 2
    assert ingested(event(N), store, of, few)["raw_sha256"] == result["raw_sha256"]
    of.bars = bars
    assert ingested(event(N + 6), store, of, few)["rows_fetched"] == 8


def test_ingest_keeps_markets_apart(few: Params) -> None:
    """Bars of two markets never share a history."""
    store = MemoryStore()
    live = ingested(event(N), store, source(make_bars(N), "live"), few)
    other = ingested(event(N), store, source(make_bars(N, seed=9), "simulated"), few)
    assert live["raw_key"] != other["raw_key"]
    np.testing.assert_array_equal(stored(store, live).close, make_bars(N).close)


def test_ingest_reports_progress(few: Params) -> None:
    """Progress rises with every page and ends with all hours, also where the last ones have no bars."""
    seen: list[tuple[int, int]] = []

    def tell(done: int, wanted: int) -> None:
        seen.append((done, wanted))

    ingested(event(N), MemoryStore(), source(make_bars(N)), few, progress=tell)
    assert seen == [(min(done, N), N) for done in range(100, N + 100, 100)]
    seen.clear()
    ingested(event(N), MemoryStore(), source(make_bars(N - 1)), few, progress=tell)
    assert seen[-2:] == [(N - 1, N), (N, N)]


def test_ingest_takes_rows_of_the_asked_pair_only(few: Params) -> None:
    """A source with several pairs gives each its own history."""
    both = bars_module.concat([make_bars(N), make_bars(N, seed=5, symbol="ETH")])
    store, of = MemoryStore(), source(both)
    result = ingested(event(N, symbol="ETH"), store, of, few)
    assert "eth-usd" in result["raw_key"] and set(stored(store, result).symbol.tolist()) == {"ETH"}
