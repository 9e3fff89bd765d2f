"""ingest reads the newest bars again: revisions are taken from their own source, and refused bars from any."""

from dataclasses import replace

import numpy as np
import pytest

from cryptovol import events
from cryptovol.bars import Bars
from cryptovol.errors import GateRefusedError, NoNewBarsError, SourceContradictionError
from cryptovol.params import Params
from cryptovol.stages import ingest, validate
from cryptovol.testing import FixedSource, MemoryStore, make_bars
from cryptovol.times import HOUR, format_instant

from tests.ingests import N, at, event, hours, ingested, small, source, stored


def _revised(bars: Bars, *places: int) -> Bars:
    volume = bars.volume_base.copy()
    volume[list(places)] *= 3
    return replace(bars, volume_base=volume)


@pytest.mark.parametrize(("hour", "expected"), [(N - 1, 1), (N - 48, 1), (N - 49, 0)])
def test_ingest_takes_a_revision_of_the_newest_bars(hour: int, expected: int, few: Params) -> None:
    """A bar that comes again with other numbers replaces the stored one and is counted; older ones are not asked for."""
    store, bars = MemoryStore(), make_bars(N + 6)
    ingested(event(N), store, source(bars), few)
    result = ingested(event(N + 6), store, source(_revised(bars, hour)), few)
    assert (result["rows_new"], result["rows_revised"], result["rows_reread"]) == (6, expected, 48)
    found = stored(store, result).volume_base[hour]
    assert (found == bars.volume_base[hour]) == (not expected) and hours(stored(store, result)) == list(range(N + 6))


def test_ingest_of_the_same_event_twice_reads_nothing_again(few: Params) -> None:
    """A state that is there is left as it is, whatever the source says by now."""
    store, bars = MemoryStore(), make_bars(N)
    first = ingested(event(N), store, source(bars), few)
    before, of = dict(store.objects), source(_revised(bars, N - 1))
    again = ingested(event(N), store, of, few)
    assert not of.asked and store.objects == before and again["raw_sha256"] == first["raw_sha256"]
    assert (again["rows_fetched"], again["rows_reread"], again["sources"]) == (0, 0, {})


def test_ingest_keeps_the_bars_of_one_source_when_another_stands_in(few: Params) -> None:
    """Rows of another source fill what is missing; those for stored hours are ignored and counted."""
    store, bars = MemoryStore(), make_bars(N + 6)
    ingested(event(N), store, source(bars), few)
    result = ingested(event(N + 6), store, source(make_bars(N + 6, seed=9), name="other"), few)
    assert (result["rows_new"], result["rows_revised"], result["rows_ignored"]) == (6, 0, 48)
    assert (result["source"], result["sources"]) == ("other", {"other": 54})
    found = stored(store, result)
    assert found.source.tolist() == ["fixed"] * N + ["other"] * 6
    np.testing.assert_array_equal(found.close[:N], bars.close[:N])


def _scaled(bars: Bars, factor: float, *places: int) -> Bars:
    """Return bars with some closes, and highs and lows with them, times a factor."""
    times = np.ones(len(bars))
    times[list(places)] = factor
    return replace(bars, **{name: getattr(bars, name) * times for name in ("high", "low", "close")})


@pytest.mark.parametrize(("contrary", "refused"), [(24, False), (25, True), (48, True)])
def test_ingest_refuses_a_source_that_contradicts_most_of_what_it_said(
    contrary: int, refused: bool, few: Params
) -> None:
    """Beyond half of the hours read again it is another market, and not a byte of the history changes."""
    store, bars = MemoryStore(), make_bars(N + 6)
    result = ingested(event(N), store, source(bars), few)
    other = source(_scaled(bars, 1.0102, *range(N - contrary, N + 6)))
    if not refused:
        assert ingested(event(N + 6), store, other, few)["rows_revised"] == contrary
        return
    heads = {key: data for key, data in store.objects.items() if key.endswith(".json")}
    with pytest.raises(SourceContradictionError, match=rf"of 48 hours of BTC/USD read again, the close of {contrary}"):
        ingested(event(N + 6), store, other, few)
    assert heads == {key: data for key, data in store.objects.items() if key.endswith(".json")}
    assert hours(stored(store, result)) == list(range(N))


def test_ingest_reads_a_revision_once_more_before_it_is_out_of_sight(few: Params) -> None:
    """A wrong revision of the oldest hour read again is put right by the next run, which asks back to it."""
    store, bars = MemoryStore(), make_bars(N + 12)
    ingested(event(N), store, source(bars), few)
    ingested(event(N + 6), store, source(_scaled(bars, 1.003, N - 48)), few)
    result = ingested(event(N + 12), store, source(bars), few)
    assert (result["rows_revised"], result["rows_reread"]) == (1, 54)
    np.testing.assert_array_equal(stored(store, result).close, bars.close)


def test_ingest_never_asks_for_bars_before_the_first(few: Params) -> None:
    """A history shorter than what is read again is read again whole."""
    store, of = MemoryStore(), source(make_bars(N))
    ingested(event(20, start=10), store, of, few)
    assert ingested(event(26), store, of, few)["rows_reread"] == 10 and of.asked[-1] == (at(10), at(26))


def test_ingest_reads_again_in_portions_smaller_than_what_it_reads_again(params: Params) -> None:
    """Nothing hangs on the size of a page: a revision in any portion is found, and no hour is lost."""
    store, bars, tiny = MemoryStore(), make_bars(N + 6), small(params, page_bars=5, commit_pages=2)
    ingested(event(N), store, FixedSource(bars, page_bars=5), tiny)
    result = ingested(event(N + 6), store, FixedSource(_revised(bars, N - 47, N - 20, N - 1), page_bars=5), tiny)
    assert (result["rows_new"], result["rows_revised"]) == (6, 3) and hours(stored(store, result)) == list(range(N + 6))


def test_ingest_finds_an_hour_that_its_source_had_left_out(few: Params) -> None:
    """A bar that appears late, within the hours that are read again, is new."""
    store, bars = MemoryStore(), make_bars(N + 6)
    ingested(event(N), store, source(bars.take(bars.time != at(N - 10))), few)
    result = ingested(event(N + 6), store, source(bars), few)
    assert (result["rows_fetched"], result["rows_new"]) == (6, 7)
    assert hours(stored(store, result)) == list(range(N + 6))


def test_ingest_keeps_a_revision_that_came_before_a_source_stood_still(few: Params) -> None:
    """Also where no new bar came, what was revised is stored."""
    store, bars = MemoryStore(), make_bars(N)
    ingested(event(N), store, source(bars), few)
    with pytest.raises(NoNewBarsError):
        ingested(event(N + 6), store, source(_revised(bars, N - 2)), few)
    more = _revised(make_bars(N + 6), N - 2)
    result = ingested(event(N + 6), store, source(more), few)
    assert result["rows_revised"] == 0 and stored(store, result).volume_base[N - 2] == more.volume_base[N - 2]


@pytest.mark.parametrize("name", ["fixed", "other"])
def test_ingest_asks_again_for_bars_the_gate_refused(name: str, params: Params) -> None:
    """A refused batch is fetched again and mended, from whatever source; then only new bars are."""
    good = make_bars(800)
    high = good.high.copy()
    high[796:] = good.low[796:] * 0.5
    store, as_of = MemoryStore(), at(800)

    def ingest_and_validate(bars: Bars, moment: int, run_id: str, name: str = "fixed") -> tuple[dict, dict]:
        own = {"symbol": "BTC", "quote": "USD", "as_of": format_instant(moment), "run_id": run_id}
        of = FixedSource(bars, source=name)
        result = ingest.run(events.parse(own), store=store, source=of, clock=lambda: as_of + 9 * HOUR, params=params)
        return result, validate.run(events.parse(result), store=store, params=params)

    ingest_and_validate(good.take(slice(0, 794)), as_of - 6 * HOUR, "r1")
    with pytest.raises(GateRefusedError):
        ingest_and_validate(replace(good, high=high), as_of, "r2")
    result, passed = ingest_and_validate(good, as_of, "r3", name)
    assert (result["rows_new"], result["rows_revised"]) == (0, 4) and passed["rows_clean"] == 800
    assert set(stored(store, result).source[796:].tolist()) == {name}
    again, _ = ingest_and_validate(good, as_of, "r4")
    assert again["rows_fetched"] == 0
