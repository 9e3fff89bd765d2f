"""validate: clean bars and a report, or a report and a refusal."""

import csv
import io
import json
from dataclasses import replace

import numpy as np
import pytest

from cryptovol import events, history, keys, tables
from cryptovol.bars import Bars
from cryptovol.errors import ConfigError, GateRefusedError
from cryptovol.events import Result, StageEvent
from cryptovol.params import Params
from cryptovol.stages import ingest, validate
from cryptovol.testing import START, FixedSource, MemoryStore, make_bars
from cryptovol.times import HOUR, format_instant

N = 24 * 60


def _ingested(store: MemoryStore, bars: Bars, params: Params, *, hours: int = N) -> StageEvent:
    """Ingest bars up to an hour and return the event of validate."""
    wanted = replace(params, ingest=replace(params.ingest, history_hours=N))
    as_of = format_instant(START + hours * HOUR)
    event = events.parse({"symbol": "BTC", "quote": "USD", "as_of": as_of, "run_id": "r1"})
    source = FixedSource(bars, market="test")
    return events.parse(ingest.run(event, store=store, source=source, clock=lambda: event.as_of, params=wanted))


def _clean(store: MemoryStore, result: Result) -> dict[str, np.ndarray]:
    state = history.load_manifest(store, result["clean_key"])
    assert state is not None and state.sha256 == result["clean_sha256"]
    return history.read(store, state)


def _broken(bars: Bars, rows: slice) -> Bars:
    close = bars.close.copy()
    close[rows] = np.nan
    return replace(bars, close=close)


def test_validate_writes_clean_bars_with_their_lineage(params: Params) -> None:
    """Faultless bars pass whole; the manifest says whose they are and where they came from."""
    store = MemoryStore()
    event = _ingested(store, make_bars(N), params)
    result = validate.run(event, store=store, params=params)
    assert (result["rows_clean"], result["rows_quarantined"]) == (N, 0) and not any(result["findings"].values())
    table = _clean(store, result)
    assert list(table) == list(validate.CLEAN_COLUMNS)
    np.testing.assert_array_equal(table["close"], make_bars(N).close)
    body = json.loads(store.objects[result["clean_key"]])
    assert (body["symbol"], body["quote"], body["market"], body["sources"]) == ("BTC", "USD", "test", {"fixed": N})
    assert body["quotes"] == {"USD": N}
    assert body["raw_sha256"] == event.need("raw_sha256")
    assert result["raw_key"] == event.need("raw_key") and result["run_id"] == "r1"


def test_validate_quarantines_isolated_faults(params: Params) -> None:
    """Bad rows under the limit are taken out, counted and kept to be looked at."""
    store = MemoryStore()
    event = _ingested(store, _broken(make_bars(N), slice(100, 107)), params)
    result = validate.run(event, store=store, params=params)
    assert (result["rows_clean"], result["rows_quarantined"], result["findings"]["nulls"]) == (N - 7, 7, 7)
    assert np.isfinite(_clean(store, result)["close"]).all()
    data = store.objects[keys.quarantine("test", "btc-usd", event.as_of_text)].decode()
    rows = list(csv.DictReader(io.StringIO(data)))
    assert len(rows) == 7 and {row["rule"] for row in rows} == {"nulls"}


def test_validate_refuses_past_the_limit_and_leaves_only_the_report(params: Params) -> None:
    """A refused batch has a report in both forms, and no clean bars; the error says why and where the page is."""
    store = MemoryStore()
    event = _ingested(store, _broken(make_bars(N), slice(100, 200)), params)
    with pytest.raises(GateRefusedError, match=r"refused 1440 bars of btc-usd.*nulls: 6.944 %, limit 1 %") as refusal:
        validate.run(event, store=store, params=params)
    page = keys.gate_report("test", "btc-usd", event.as_of_text, suffix="html")
    assert str(refusal.value).endswith(f" Report: {page}") and b"refused" in store.objects[page]
    told = refusal.value
    assert (len(told.reasons), told.refused_by, told.findings["nulls"]) == (1, ("nulls",), 100)
    report = json.loads(store.objects[told.report_key])
    assert report["verdict"] == "refused" and report["rows"] == N
    assert not list(store.keys("bars/clean/"))


def test_validate_says_where_its_report_is(params: Params) -> None:
    """The result of a pass names the report for programs and the page for people."""
    store = MemoryStore()
    result = validate.run(_ingested(store, make_bars(N), params), store=store, params=params)
    assert json.loads(store.objects[result["report_key"]])["verdict"] == "passed"
    assert result["page_key"].endswith(".html") and b"passed" in store.objects[result["page_key"]]


def _with_witness(store: MemoryStore, event: StageEvent, times: float) -> StageEvent:
    """Return the event with a second source beside, whose newest 48 closes are so many times the first one's."""
    newest = make_bars(N).take(slice(N - 48, None)).stamped(source="kraken", fetched_at=event.as_of)
    key = keys.witness("test", event.pair, event.as_of_text)
    store.put(key, tables.encode_csv(replace(newest, close=newest.close * times).columns()))
    return replace(event, given={**event.given, "witness_key": key})


def test_validate_holds_the_newest_bars_against_a_second_source(params: Params) -> None:
    """A second source that agrees changes nothing; one that does not stops the batch."""
    store = MemoryStore()
    event = _ingested(store, make_bars(N), params)
    assert validate.run(_with_witness(store, event, 1.001), store=store, params=params)["rows_clean"] == N
    with pytest.raises(GateRefusedError, match="disagreement: 100 %, limit 10 %") as refusal:
        validate.run(_with_witness(store, event, 1.03), store=store, params=params)
    assert refusal.value.refused_by == ("disagreement",) and refusal.value.findings["disagreement"] == 48


def test_validate_needs_no_second_source_but_finds_the_one_it_was_told_of(params: Params) -> None:
    """An empty key is no second source; a key under which nothing is stored is a mistake."""
    store = MemoryStore()
    event = _ingested(store, make_bars(N), params)
    none = replace(event, given={**event.given, "witness_key": ""})
    assert validate.run(none, store=store, params=params)["findings"]["disagreement"] == 0
    with pytest.raises(ConfigError, match="nowhere.csv.gz is not in the store"):
        validate.run(replace(event, given={**event.given, "witness_key": "nowhere.csv.gz"}), store=store, params=params)


def test_validate_takes_rows_of_a_stand_in_quote_where_that_is_allowed(params: Params) -> None:
    """Tether bars are foreign to a dollar series unless tether may stand in; the clean state says how many there are."""
    store = MemoryStore()
    event = _ingested(store, make_bars(N), params)
    bars = make_bars(N).stamped(source="binance", fetched_at=event.as_of)
    bars = replace(bars, quote=np.where(np.arange(N) < 400, "USDT", "USD"))
    parts = history.write_parts(store, "bars/raw/mixed/btc-usd", bars.columns(), codec="csv")
    meta = {"market": "mixed"}
    state = history.commit(store, "bars/raw/mixed/btc-usd", parts, as_of=event.as_of_text, meta=meta, head=None)
    mixed = replace(event, given={"raw_key": state.key})
    with pytest.raises(GateRefusedError, match="foreign: 400 rows"):
        validate.run(mixed, store=store, params=params)
    allowed = replace(params, sources=replace(params.sources, stand_in_quotes=("USDT",)))
    result = validate.run(mixed, store=store, params=allowed)
    assert json.loads(store.objects[result["clean_key"]])["quotes"] == {"USD": N - 400, "USDT": 400}


def test_validate_keeps_the_clean_bars_of_before_when_a_later_batch_is_refused(params: Params) -> None:
    """A refusal leaves the clean history as the last good run left it."""
    store, bars = MemoryStore(), make_bars(N + 6)
    validate.run(_ingested(store, bars, params), store=store, params=params)
    before = {key: store.objects[key] for key in store.keys("bars/clean/")}
    with pytest.raises(GateRefusedError, match="freshness"):
        validate.run(_ingested(store, _broken(bars, slice(N, None)), params, hours=N + 6), store=store, params=params)
    assert {key: store.objects[key] for key in store.keys("bars/clean/")} == before


def test_validate_of_the_same_event_twice_leaves_the_same_bytes(params: Params) -> None:
    """The same event gives the same result and changes no stored byte."""
    store = MemoryStore()
    event = _ingested(store, _broken(make_bars(N), slice(100, 107)), params)
    first = validate.run(event, store=store, params=params)
    before = dict(store.objects)
    assert validate.run(event, store=store, params=params) == first and store.objects == before


def test_validate_reads_nothing_that_closed_after_as_of(params: Params) -> None:
    """A raw state with younger bars is cut at the event's as_of."""
    store = MemoryStore()
    event = _ingested(store, make_bars(N), params)
    earlier = replace(event, as_of=event.as_of - 100 * HOUR)
    result = validate.run(earlier, store=store, params=params)
    assert result["rows_clean"] == N - 100 and _clean(store, result)["time"][-1] + HOUR == earlier.as_of


def test_validate_adds_six_hours_as_one_part(params: Params) -> None:
    """The clean history grows by the month that grew."""
    store, bars = MemoryStore(), make_bars(N + 6)
    validate.run(_ingested(store, bars, params), store=store, params=params)
    before = set(store.keys("bars/clean/"))
    result = validate.run(_ingested(store, bars, params, hours=N + 6), store=store, params=params)
    fresh = set(store.keys("bars/clean/")) - before
    assert len([key for key in fresh if key.endswith(".npz")]) == 1 and result["rows_clean"] == N + 6


def test_validate_without_ingest_says_what_is_missing(params: Params) -> None:
    """An event that skipped ingest, or points at nothing, is a usage error."""
    own = {"symbol": "BTC", "quote": "USD", "as_of": "2024-01-02T00:00:00Z", "run_id": "r1"}
    with pytest.raises(ConfigError, match="raw_key"):
        validate.run(events.parse(own), store=MemoryStore(), params=params)
    with pytest.raises(ConfigError, match="run ingest"):
        validate.run(events.parse({**own, "raw_key": "bars/raw/x/states/y.json"}), store=MemoryStore(), params=params)
