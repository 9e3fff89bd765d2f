"""ingest from a start on: older bars come backwards, in portions, and what a source does not have ends it."""

from dataclasses import replace
from typing import Any

import pytest

from cryptovol import events, history
from cryptovol.errors import ConfigError, NoNewBarsError
from cryptovol.params import Params
from cryptovol.testing import MemoryStore, make_bars

from tests.ingests import HEAD, N, at, event, hours, ingested, small, source, stored


def test_ingest_of_a_new_pair_begins_at_start(few: Params) -> None:
    """Without stored bars `start` takes the place of the history's length, longer or shorter."""
    for start in (N - 30, 0):
        store, of = MemoryStore(), source(make_bars(2 * N))
        result = ingested(event(N + 500, start=start), store, of, few)
        assert of.asked == [(at(start), at(N + 500))] and hours(stored(store, result)) == list(range(start, N + 500))


def test_ingest_fetches_what_is_older_backwards_in_portions(few: Params) -> None:
    """Portions of 200 hours lie on a grid of their own, newest first, and leave no hole."""
    store, of = MemoryStore(), source(make_bars(N))
    ingested(event(N, start=N - 50), store, of, few)
    of.asked.clear()
    result = ingested(event(N, start=5), store, of, few)
    assert hours(stored(store, result)) == list(range(5, N))
    assert (result["rows_fetched"], result["rows_new"], result["rows_total"]) == (N - 55, N - 55, N - 5)
    edges = [at(N - 50), *(start for start, _ in of.asked)]
    assert [end for _, end in of.asked] == edges[:-1] and edges[-1] == at(5)
    assert all(edge % (200 * 3600) == 0 for edge in edges[1:-1]) and len(edges) == 7


def test_ingest_of_a_range_fetches_both_ends_and_the_newest_bars_again(few: Params) -> None:
    """Older bars, newer bars and a second look at the newest stored ones come in one run."""
    store, of = MemoryStore(), source(make_bars(N))
    ingested(event(N - 100, start=N - 150), store, of, few)
    result = ingested(event(N, start=0), store, of, few)
    assert (result["rows_fetched"], result["rows_reread"], result["rows_new"]) == (N - 50, 48, N - 50)
    assert hours(stored(store, result)) == list(range(N))


def test_ingest_writes_only_the_months_that_older_bars_touch(few: Params) -> None:
    """Bars of January leave the parts of February alone."""
    store, of = MemoryStore(), source(make_bars(N))
    before = ingested(event(N, start=31 * 24), store, of, few)
    kept = history.load_manifest(store, before["raw_key"])
    after = history.load_manifest(store, ingested(event(N, start=0), store, of, few)["raw_key"])
    assert kept is not None and after is not None and after.body["parts"][1:] == kept.body["parts"]


def test_ingest_of_a_range_before_all_stored_bars_joins_them(few: Params) -> None:
    """The hours between are fetched too, the state ends at its own as_of, and the newest state has it all."""
    store, of = MemoryStore(), source(make_bars(N))
    ingested(event(N, start=N - 100), store, of, few)
    result = ingested(event(300, start=100), store, of, few)
    assert hours(stored(store, result)) == list(range(100, 300))
    assert hours(stored(store, {"raw_key": HEAD, "raw_sha256": _head(store).sha256})) == list(range(100, N))


def _head(store: MemoryStore) -> history.Manifest:
    found = history.load_manifest(store, HEAD)
    assert found is not None
    return found


def test_ingest_of_the_same_range_twice_fetches_nothing(few: Params) -> None:
    """The second run asks for nothing and leaves every byte."""
    store, of = MemoryStore(), source(make_bars(N))
    ingested(event(N, start=N - 100), store, of, few)
    first = ingested(event(N, start=100), store, of, few)
    before, asked = dict(store.objects), len(of.asked)
    again = ingested(event(N, start=100), store, of, few)
    assert store.objects == before and len(of.asked) == asked and again["raw_sha256"] == first["raw_sha256"]


@pytest.mark.parametrize("first_run", [N, 300])
def test_ingest_ends_at_once_where_the_source_has_nothing_older(first_run: int, few: Params) -> None:
    """Before its listing a coin has no bars: that is counted, no error, remembered, and asked of another source."""
    store, of = MemoryStore(), source(make_bars(N).take(slice(250, None)))
    ingested(event(N, start=first_run - 40), store, of, few)
    of.asked.clear()
    result = ingested(event(N, start=-50_000), store, of, few)
    assert (result["first"], result["hours_before_first"]) == ("2024-01-11T10:00:00Z", 50_250)
    assert hours(stored(store, result)) == list(range(250, N)) and at(0) - of.asked[-1][0] < 400 * 3600
    before, asked = dict(store.objects), len(of.asked)
    again = ingested(event(N, start=-50_000), store, of, few)
    assert store.objects == before and len(of.asked) == asked and again["hours_before_first"] == 50_250
    other = ingested(event(N, start=-50_000), store, source(make_bars(N), name="other"), few)
    assert hours(stored(store, other)) == list(range(N)) and other["sources"] == {"other": 250}


def test_ingest_of_a_new_pair_remembers_that_there_is_nothing_older(few: Params) -> None:
    """A range that begins before the listing is fetched once."""
    store, of = MemoryStore(), source(make_bars(N).take(slice(250, None)))
    first = ingested(event(N, start=0), store, of, few)
    again = ingested(event(N, start=0), store, of, few)
    assert len(of.asked) == 1 and first["hours_before_first"] == again["hours_before_first"] == 250


@pytest.mark.parametrize(("hole", "oldest"), [(40, 0), (60, 500)])
def test_ingest_crosses_a_hole_longer_than_a_portion_if_the_gate_would(hole: int, oldest: int, params: Params) -> None:
    """A stretch without bars ends the way back only if it is longer than the gate lets through."""
    tiny, bars = small(params, page_bars=5, commit_pages=2), make_bars(N)
    store, of = MemoryStore(), source(bars.take((bars.time < at(500 - hole)) | (bars.time >= at(500))))
    ingested(event(N, start=600), store, of, tiny)
    result = ingested(event(N, start=0), store, of, tiny)
    assert tiny.gate.longest_gap_hours == 48 and hours(stored(store, result))[0] == oldest
    assert result["hours_before_first"] == oldest


@pytest.mark.parametrize("start", ["2024-02-10T00:00:00Z", "2024-02-11", "2008-12-31T23:00:00Z", "soon", 7])
def test_ingest_refuses_a_start_that_cannot_be_one(start: Any, few: Params) -> None:
    """A start at or after as_of, before any coin, or no instant is a usage error before anything is asked."""
    store, of = MemoryStore(), source(make_bars(N))
    wrong = replace(event(N), given={"start": start})
    with pytest.raises(ConfigError):
        ingested(wrong, store, of, few)
    assert not store.objects and not of.asked


def test_ingest_floors_its_start_to_the_hour(few: Params) -> None:
    """A start within an hour begins with that hour's bar, as as_of ends with the last full one."""
    given = {
        "symbol": "BTC",
        "quote": "USD",
        "as_of": "2024-02-10T00:59:59Z",
        "run_id": "r",
        "start": "2024-02-09T10:30",
    }
    result = ingested(events.parse(given), MemoryStore(), source(make_bars(N)), few)
    assert (result["first"], result["hours_before_first"]) == ("2024-02-09T10:00:00Z", 0)


def test_ingest_of_a_range_without_any_bar_says_so(few: Params) -> None:
    """A range before the listing, with nothing stored, is told with its ends."""
    with pytest.raises(NoNewBarsError, match=r"from 2024-01-01T10:00:00Z to 2024-01-02T00:00:00Z"):
        ingested(event(24, start=10), MemoryStore(), source(make_bars(N).take(slice(100, None))), few)


def test_ingest_reports_progress_of_both_directions(few: Params) -> None:
    """Done and wanted hours rise to the same end, and what remains never grows."""
    store, of, seen = MemoryStore(), source(make_bars(N)), []
    ingested(event(N - 100, start=N - 150), store, of, few)
    ingested(event(N, start=0), store, of, few, progress=lambda done, wanted: seen.append((done, wanted)))
    left = [wanted - done for done, wanted in seen]
    assert left == sorted(left, reverse=True) and left[-1] == 0 and seen[-1][0] == N - 50 + 48
