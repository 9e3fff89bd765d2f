"""ingest asks a second source for hours that the first lacks, and for a witness; its failing fails nothing."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest

from cryptovol import bars as bars_module
from cryptovol import history, keys, tables
from cryptovol.bars import Bars
from cryptovol.errors import AccessError, BarSchemaError, CryptovolError, OutOfReachError, SourceUnavailableError
from cryptovol.params import Params
from cryptovol.ports import BarSource
from cryptovol.testing import FixedSource, MemoryStore, make_bars

from tests.ingests import N, at, event, hours, ingested, small, source, stored


def _without(bars: Bars, *gone: int) -> Bars:
    return bars.take(~np.isin(bars.time, [at(hour) for hour in gone]))


def _other(n: int = N + 48, market: str = "test", quote: str = "USD") -> FixedSource:
    """Return a second source with bars of its own."""
    own = make_bars(n, seed=8)
    if quote == "USD":
        return source(own, market, "other")
    # It answers for the pair, but its rows are in another currency, as those of a stand-in quote are.
    return Renamed(own, market=market, source="other")


class Renamed(FixedSource):
    def pages(self, symbol: str, quote: str, *, start: int, end: int) -> Iterator[Bars]:
        for page in super().pages(symbol, quote, start=start, end=end):
            yield replace(page, quote=np.full(len(page), "USDT"))


def _always(second: BarSource | None) -> Callable[[str], BarSource | None]:
    return lambda name: second


def test_ingest_fills_hours_between_bars_from_the_second_source(few: Params) -> None:
    """Missing hours are taken from it, marked with its name and counted; the first source's name chooses it."""
    names, other, store = [], _other(), MemoryStore()
    of = source(_without(make_bars(N), 100, 101, 500))
    result = ingested(event(N), store, of, few, second=lambda name: names.append(name) or other)
    found = stored(store, result)
    assert hours(found) == list(range(N)) and set(names) == {"fixed"}
    assert found.source[[99, 100, 101, 500, 501]].tolist() == ["fixed", *["repair:other"] * 3, "fixed"]
    np.testing.assert_array_equal(found.close[[100, 101, 500]], other.bars.close[[100, 101, 500]])
    assert (result["rows_fetched"], result["rows_new"], result["rows_repaired"]) == (N - 3, N - 3, 3)
    assert (result["sources"], result["rows_total"], result["second"]) == ({"fixed": N - 3, "repair:other": 3}, N, "")


def test_ingest_asks_the_second_source_for_nothing_at_the_ends(few: Params) -> None:
    """What is missing before the first bar or after the newest is no gap."""
    store, other = MemoryStore(), _other()
    few = small(few, witness_hours=0)
    result = ingested(event(N), store, source(make_bars(N).take(slice(50, N - 1))), few, second=_always(other))
    assert hours(stored(store, result)) == list(range(50, N - 1)) and not other.asked


def test_ingest_asks_the_second_source_in_few_requests(few: Params) -> None:
    """Gaps near each other are asked for together."""
    other = _other()
    few = small(few, commit_pages=10, witness_hours=0)
    of = source(_without(make_bars(N), *range(10, N - 10, 5)))
    result = ingested(event(N), MemoryStore(), of, few, second=_always(other))
    assert result["rows_total"] == N and len(other.asked) <= N // 100 + 1


def test_ingest_fills_a_gap_between_older_portions_and_the_stored_bars(few: Params) -> None:
    """A hole at the edge of a portion of a backward fill is filled as any other, and a longer one too."""
    store, gone = MemoryStore(), [*range(395, 405), *range(590, 610)]
    of = source(_without(make_bars(N), *gone))
    ingested(event(N, start=610), store, of, few)
    result = ingested(event(N, start=0), store, of, few, second=_always(_other()))
    assert hours(stored(store, result)) == list(range(N)) and result["rows_repaired"] == len(gone)


def test_ingest_replaces_a_borrowed_bar_when_its_source_has_one(few: Params) -> None:
    """A borrowed bar gives way to the first source's, read again later; what stays missing stays borrowed."""
    store = MemoryStore()
    ingested(event(N), store, source(_without(make_bars(N), N - 9, N - 5)), few, second=_always(_other()))
    later = source(_without(make_bars(N + 6), N - 9))
    result = ingested(event(N + 6), store, later, few, second=_always(_other()))
    found = stored(store, result)
    assert (result["rows_revised"], result["rows_repaired"], result["rows_new"]) == (1, 0, 6)
    assert [hour for hour, name in zip(hours(found), found.source, strict=True) if name == "repair:other"] == [N - 9]
    assert found.close[N - 5] == make_bars(N).close[N - 5]


class Failing(FixedSource):
    """A source that fails, when it is asked who it is or in the middle of a page."""

    def __init__(self, error: CryptovolError, *, at_once: bool) -> None:
        super().__init__(make_bars(N, seed=8), source="other")
        self._error = error
        self._at_once = at_once

    def origin(self, symbol: str, quote: str):
        if self._at_once:
            raise self._error
        return super().origin(symbol, quote)

    def pages(self, symbol: str, quote: str, *, start: int, end: int) -> Iterator[Bars]:
        yield next(super().pages(symbol, quote, start=start, end=end))
        raise self._error


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("kind", [SourceUnavailableError, AccessError, OutOfReachError, BarSchemaError])
def test_ingest_does_without_a_second_source_that_fails(
    kind: type[CryptovolError], at_once: bool, few: Params, caplog: pytest.LogCaptureFixture
) -> None:
    """Its failing is logged and told; it is asked for no more gaps, and the bars are those of a run without it."""
    other, store, alone = Failing(kind("it is broken"), at_once=at_once), MemoryStore(), MemoryStore()
    of = _without(make_bars(N), 100, 300, 700)
    result = ingested(event(N), store, source(of), few, second=_always(other))
    expected = ingested(event(N), alone, source(of), few)
    assert (result["second"], result["witness_key"], result["rows_repaired"]) == ("it is broken", "", 0)
    assert result["raw_sha256"] == expected["raw_sha256"] and len(other.asked) <= 2
    assert "btc-usd" in caplog.text.lower().replace("/", "-") and "it is broken" in caplog.text


class ShortSighted(FixedSource):
    """A source that keeps its newest hours only."""

    def pages(self, symbol: str, quote: str, *, start: int, end: int) -> Iterator[Bars]:
        if start < at(N - 100):
            raise OutOfReachError("it keeps 100 hours")
        return super().pages(symbol, quote, start=start, end=end)


def test_ingest_has_a_witness_that_does_not_keep_hours_as_old_as_the_gaps(few: Params) -> None:
    """What it cannot lend is told; its newest hours are compared all the same."""
    other, store = ShortSighted(make_bars(N, seed=8), source="other"), MemoryStore()
    result = ingested(event(N), store, source(_without(make_bars(N), 100, 300, 700)), few, second=_always(other))
    assert result["second"] == "it keeps 100 hours" and result["rows_repaired"] == 0
    assert result["witness_key"] and store.exists(result["witness_key"])


@pytest.mark.parametrize(("other", "said"), [(_other(market="live"), "live"), (_other(quote="USDT"), ""), (None, "")])
def test_ingest_takes_no_bars_of_another_market_or_quote(other: FixedSource | None, said: str, few: Params) -> None:
    """Only bars of the same market and in the same currency can stand for missing ones, or bear witness."""
    store = MemoryStore()
    result = ingested(event(N), store, source(_without(make_bars(N), 100)), few, second=_always(other))
    assert (result["rows_total"], result["rows_repaired"], result["witness_key"]) == (N - 1, 0, "")
    assert bool(said) == bool(result["second"]) and said in result["second"]


def test_ingest_keeps_the_second_sources_newest_bars_as_a_witness(few: Params) -> None:
    """The newest hours are stored as the second source has them, once for an instant, and not among the raw bars."""
    store, other = MemoryStore(), _other()
    result = ingested(event(N), store, source(make_bars(N)), few, second=_always(other))
    assert result["witness_key"] == keys.witness("test", "btc-usd", result["as_of"])
    found = Bars(**tables.decode_csv(store.get(result["witness_key"]).data, history.BAR_KINDS))
    assert hours(found) == list(range(N - 24, N)) and set(found.source.tolist()) == {"other"}
    np.testing.assert_array_equal(found.close, other.bars.close[N - 24 : N])
    before, asked = dict(store.objects), len(other.asked)
    again = ingested(event(N), store, source(make_bars(N)), few, second=_always(other))
    assert store.objects == before and len(other.asked) == asked and again["witness_key"] == result["witness_key"]
    assert set(stored(store, again).source.tolist()) == {"fixed"}


def test_ingest_has_no_witness_where_the_second_source_has_no_bars(few: Params) -> None:
    """A second source that knows the pair but not these hours leaves no object behind."""
    old = FixedSource(bars_module.concat([make_bars(5, seed=8)]), source="other")
    store = MemoryStore()
    result = ingested(event(N), store, source(make_bars(N)), few, second=_always(old))
    assert (result["witness_key"], result["second"]) == ("", "")
    assert not [key for key in store.objects if "witness" in key]
