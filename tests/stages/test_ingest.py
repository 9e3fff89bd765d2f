"""ingest: fetch what is missing, commit as it goes, survive a kill at any write, and never mix markets."""

import threading
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from cryptovol import bars as bars_module
from cryptovol import events, history, keys
from cryptovol.bars import Bars
from cryptovol.errors import (
    ConfigError,
    ConflictError,
    GateRefusedError,
    NoNewBarsError,
    StoreUnavailableError,
    UnknownSymbolError,
)
from cryptovol.events import Result, StageEvent
from cryptovol.params import Params
from cryptovol.ports import Stored
from cryptovol.stages import ingest, validate
from cryptovol.testing import START, FixedSource, MemoryStore, make_bars
from cryptovol.times import HOUR, format_instant

N = 24 * 40
HEAD = history.head_key(keys.raw("test", "btc-usd"))


@pytest.fixture
def few(params: Params) -> Params:
    """Return parameters for a history of 40 days in pages of 100 bars, two to a commit."""
    return replace(params, ingest=replace(params.ingest, history_hours=N, page_bars=100, commit_pages=2))


def _event(hour: int, *, symbol: str = "BTC") -> StageEvent:
    as_of = format_instant(START + hour * HOUR)
    return events.parse({"symbol": symbol, "quote": "USD", "as_of": as_of, "run_id": "r1"})


def _run(event: StageEvent, store: MemoryStore, source: FixedSource, params: Params) -> Result:
    return ingest.run(event, store=store, source=source, clock=lambda: event.as_of, params=params)


def _source(bars: Bars, market: str = "test") -> FixedSource:
    return FixedSource(bars, market=market, page_bars=100)


def _stored(store: MemoryStore, result: Result) -> Bars:
    state = history.load_manifest(store, result["raw_key"])
    assert state is not None and state.sha256 == result["raw_sha256"]
    return Bars(**history.read(store, state))


def test_ingest_stores_a_new_pairs_history(few: Params) -> None:
    """A pair never seen before gets its whole history, and the result tells what came."""
    store, source = MemoryStore(), _source(make_bars(N + 50))
    result = _run(_event(N), store, source, few)
    assert source.asked == [(START, START + N * HOUR)]
    assert [result[name] for name in ("rows_fetched", "rows_new", "rows_revised", "rows_total")] == [N, N, 0, N]
    assert (result["market"], result["source"], result["outcome"]) == ("test", "fixed", "appended")
    assert (result["first"], result["last"]) == ("2024-01-01T00:00:00Z", "2024-02-09T23:00:00Z")
    found = _stored(store, result)
    np.testing.assert_array_equal(found.close, make_bars(N).close)
    assert set(found.source.tolist()) == {"fixed"}


def test_ingest_asks_only_for_what_is_missing(few: Params) -> None:
    """Six hours later six bars are asked for, and only their month is written."""
    store, source = MemoryStore(), _source(make_bars(N + 6))
    _run(_event(N), store, source, few)
    before = set(store.objects)
    result = _run(_event(N + 6), store, source, few)
    assert source.asked[-1] == (START + N * HOUR, START + (N + 6) * HOUR)
    assert (result["rows_fetched"], result["rows_new"], result["rows_total"]) == (6, 6, N + 6)
    assert len([key for key in set(store.objects) - before if "states" not in key]) == 1


def test_ingest_of_the_same_event_twice_leaves_the_same_bytes(few: Params) -> None:
    """A repeated event fetches nothing and changes no stored byte; on an empty store it writes the same bytes."""
    store, source = MemoryStore(), _source(make_bars(N))
    first = _run(_event(N), store, source, few)
    before = dict(store.objects)
    again = _run(_event(N), store, source, few)
    assert store.objects == before and len(source.asked) == 1
    assert again["outcome"] == "up to date" and again["rows_new"] == 0
    assert (again["raw_key"], again["raw_sha256"]) == (first["raw_key"], first["raw_sha256"])
    other = MemoryStore()
    _run(_event(N), other, _source(make_bars(N)), few)
    assert other.objects == before


def test_ingest_of_an_earlier_event_fetches_nothing_and_cuts_at_its_as_of(few: Params) -> None:
    """A state for an instant inside the history holds what was closed by then; the head stays."""
    store, source = MemoryStore(), _source(make_bars(N))
    _run(_event(N), store, source, few)
    head = store.objects[HEAD]
    result = _run(_event(N - 500), store, source, few)
    assert result["rows_total"] == N - 500 and len(source.asked) == 1 and store.objects[HEAD] == head
    np.testing.assert_array_equal(_stored(store, result).time, make_bars(N - 500).time)


def test_ingest_of_an_event_before_all_stored_bars_fetches_its_own_history(few: Params) -> None:
    """An instant older than everything stored gets a state of its own, and the head stays."""
    store, source = MemoryStore(), _source(make_bars(3 * N))
    _run(_event(3 * N), store, source, few)
    head = store.objects[HEAD]
    result = _run(_event(N), store, source, few)
    assert result["rows_total"] == N and store.objects[HEAD] == head
    assert _run(_event(N), store, source, few)["raw_sha256"] == result["raw_sha256"]


def test_ingest_counts_and_keeps_a_revision(few: Params) -> None:
    """A bar that comes again with other numbers replaces the stored one and is counted."""

    class Overlapping(FixedSource):
        def pages(self, symbol: str, quote: str, *, start: int, end: int) -> Iterator[Bars]:
            return super().pages(symbol, quote, start=start - HOUR, end=end)

    store, bars = MemoryStore(), make_bars(N + 6)
    _run(_event(N), store, _source(bars), few)
    volume = bars.volume_base.copy()
    volume[N - 1] *= 30
    source = Overlapping(replace(bars, volume_base=volume), market="test")
    result = _run(_event(N + 6), store, source, few)
    assert (result["rows_fetched"], result["rows_new"], result["rows_revised"]) == (7, 6, 1)
    assert _stored(store, result).volume_base[N - 1] == volume[N - 1]


def test_ingest_refuses_an_as_of_in_the_future(few: Params) -> None:
    """Nothing is asked for and nothing written for an instant that has not come."""
    store, source = MemoryStore(), _source(make_bars(N))
    with pytest.raises(ConfigError, match="future.*Cure"):
        ingest.run(_event(N), store=store, source=source, clock=lambda: START + N * HOUR - 1, params=few)
    assert not store.objects and not source.asked


def test_ingest_of_an_unknown_symbol_stores_nothing(few: Params) -> None:
    """A symbol that no source knows leaves no trace."""
    store = MemoryStore()
    with pytest.raises(UnknownSymbolError):
        _run(_event(N, symbol="NOPE"), store, _source(make_bars(N)), few)
    assert not store.objects


def test_ingest_says_when_no_new_bar_came_although_due(few: Params) -> None:
    """A source that stands still is an error that names the newest bar and as_of."""
    store, source = MemoryStore(), _source(make_bars(N))
    _run(_event(N), store, source, few)
    before = dict(store.objects)
    with pytest.raises(NoNewBarsError, match=r"2024-02-09T23:00:00Z.*2024-02-10T06:00:00Z"):
        _run(_event(N + 6), store, source, few)
    assert store.objects == before
    with pytest.raises(NoNewBarsError, match="no bar of btc-usd"):
        _run(_event(N), MemoryStore(), _source(make_bars(5, start=START + 2 * N * HOUR)), few)


def test_ingest_keeps_what_came_before_a_source_stood_still(few: Params) -> None:
    """Bars that did come are stored and not fetched again."""
    store, source = MemoryStore(), _source(make_bars(N))
    _run(_event(N), store, source, few)
    source.bars = make_bars(N + 2)
    with pytest.raises(NoNewBarsError):
        _run(_event(N + 6), store, source, few)
    source.bars = make_bars(N + 6)
    result = _run(_event(N + 6), store, source, few)
    assert (result["rows_fetched"], result["rows_total"]) == (4, N + 6)


def test_ingest_goes_on_over_a_short_gap_at_the_end(few: Params) -> None:
    """A source without its last two hours is fresh enough, and the next run fetches them."""
    store, bars = MemoryStore(), make_bars(N + 6)
    source = _source(bars.take(slice(0, N - 2)))
    result = _run(_event(N), store, source, few)
    assert result["rows_total"] == N - 2
    assert _run(_event(N), store, source, few)["raw_sha256"] == result["raw_sha256"]
    source.bars = bars
    assert _run(_event(N + 6), store, source, few)["rows_fetched"] == 8


def test_ingest_keeps_markets_apart(few: Params) -> None:
    """Bars of two markets never share a history."""
    store = MemoryStore()
    live = _run(_event(N), store, _source(make_bars(N), "live"), few)
    other = _run(_event(N), store, _source(make_bars(N, seed=9), "simulated"), few)
    assert live["raw_key"] != other["raw_key"]
    np.testing.assert_array_equal(_stored(store, live).close, make_bars(N).close)


def test_ingest_reports_progress(few: Params) -> None:
    """Progress rises with every commit and ends with all hours."""
    seen: list[tuple[int, int]] = []
    event = _event(N)
    ingest.run(
        event, store=MemoryStore(), source=_source(make_bars(N)), clock=lambda: event.as_of, params=few,
        progress=lambda done, expected: seen.append((done, expected)),
    )  # fmt: skip
    assert seen == [(200, N), (400, N), (600, N), (800, N), (N, N)]


class _Dying(MemoryStore):
    """A store whose process is killed before the write after the next `left` ones."""

    def __init__(self, left: int) -> None:
        super().__init__()
        self.left = left

    def _spend(self) -> None:
        if self.left <= 0:
            raise StoreUnavailableError("killed")
        self.left -= 1

    def put(self, key: str, data: bytes) -> None:
        self._spend()
        super().put(key, data)

    def put_new(self, key: str, data: bytes) -> bool:
        self._spend()
        return super().put_new(key, data)

    def replace(self, key: str, data: bytes, etag: str) -> None:
        self._spend()
        super().replace(key, data, etag)


@pytest.mark.parametrize("since", [0, N])
def test_ingest_killed_at_any_write_resumes_without_loss(since: int, few: Params) -> None:
    """After a kill before any write, of a backfill or of six hours, the next run ends with the same bytes."""
    bars = make_bars(N + 6)
    whole = MemoryStore()
    if since:
        _run(_event(since), whole, _source(bars), few)
    start = dict(whole.objects)
    expected = _run(_event(N + 6), whole, _source(bars), few)
    for writes in range(100):
        store = _Dying(writes)
        store.objects.update(start)
        try:
            _run(_event(N + 6), store, _source(bars), few)
        except StoreUnavailableError:
            store.left = 10**6
            result = _run(_event(N + 6), store, _source(bars), few)
            assert result["raw_sha256"] == expected["raw_sha256"] and store.objects[HEAD] == whole.objects[HEAD]
            assert _stored(store, result).time.tolist() == _stored(whole, expected).time.tolist()
        else:
            break
    assert writes > 2


def test_ingest_resumes_a_killed_backfill_where_it_was(few: Params) -> None:
    """Pages that were committed before the kill are not fetched again."""
    store, source = _Dying(8), _source(make_bars(N))
    with pytest.raises(StoreUnavailableError):
        _run(_event(N), store, source, few)
    store.left = 10**6
    _run(_event(N), store, source, few)
    assert source.asked[-1][0] > START


class _Meeting(MemoryStore):
    """A store in which the first readers of the head wait for each other, so that both read the same one."""

    def __init__(self) -> None:
        super().__init__()
        self._barrier = threading.Barrier(2)
        self._met = 0

    def get(self, key: str) -> Stored:
        try:
            return super().get(key)
        finally:
            if key == HEAD and self._met < 2:
                self._met += 1
                self._barrier.wait(10)


def test_ingest_of_two_writers_at_once_ends_like_one(few: Params) -> None:
    """Two runs of one event race: neither fails, nothing is lost or doubled."""
    store, results, faults = _Meeting(), [], []

    def work() -> None:
        try:
            results.append(_run(_event(N), store, _source(make_bars(N)), few))
        except Exception as error:
            faults.append(error)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not faults and len(results) == 2
    assert results[0]["raw_sha256"] == results[1]["raw_sha256"]
    assert _stored(store, results[0]).time.tolist() == make_bars(N).time.tolist()


def test_ingest_gives_up_when_others_keep_winning(few: Params) -> None:
    """A store on which every conditional write loses ends in a conflict, not in an endless loop."""

    class Losing(MemoryStore):
        def put_new(self, key: str, data: bytes) -> bool:
            return False if key == HEAD else super().put_new(key, data)

    with pytest.raises(ConflictError):
        _run(_event(N), Losing(), _source(make_bars(N)), few)


def test_ingest_takes_rows_of_the_asked_pair_only(few: Params) -> None:
    """A source with several pairs gives each its own history."""
    both = bars_module.concat([make_bars(N), make_bars(N, seed=5, symbol="ETH")])
    store, source = MemoryStore(), _source(both)
    result = _run(_event(N, symbol="ETH"), store, source, few)
    assert "eth-usd" in result["raw_key"] and set(_stored(store, result).symbol.tolist()) == {"ETH"}


def test_ingest_asks_again_for_bars_the_gate_refused(params):
    """A batch that was refused is fetched again and its mended bars replace the bad ones; then only new ones are."""
    good = make_bars(800)
    high = good.high.copy()
    high[796:] = good.low[796:] * 0.5
    bad = replace(good, high=high)
    store, as_of = MemoryStore(), int(good.time[-1]) + HOUR

    def ingest_and_validate(source, moment, run_id):
        event = events.parse({"symbol": "BTC", "quote": "USD", "as_of": format_instant(moment), "run_id": run_id})
        result = ingest.run(event, store=store, source=source, clock=lambda: as_of + 9 * HOUR, params=params)
        return result, validate.run(events.parse(result), store=store, params=params)

    ingest_and_validate(FixedSource(good.take(slice(0, 794))), as_of - 6 * HOUR, "r1")
    with pytest.raises(GateRefusedError):
        ingest_and_validate(FixedSource(bad), as_of, "r2")
    mended = FixedSource(good)
    result, passed = ingest_and_validate(mended, as_of, "r3")
    assert (result["rows_new"], result["rows_revised"]) == (0, 4) and passed["rows_clean"] == 800
    assert mended.asked[0][0] == as_of - 6 * HOUR
    again, _ = ingest_and_validate(FixedSource(good), as_of, "r4")
    assert again["rows_fetched"] == 0
