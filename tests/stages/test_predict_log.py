"""The predict stage on a store in memory: what it keeps of the forecasts it gives away."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from cryptovol import keys
from cryptovol.errors import StaleDataError, StoreUnavailableError
from cryptovol.features import FEATURE_NAMES
from cryptovol.forecasts import Ask
from cryptovol.params import Params
from cryptovol.times import HOUR, format_instant
from tests.forecasters import BARS, BTC, END, Bench, MemoryJournal, expected
from tests.served import MARKET, PAIR


@pytest.fixture
def bench(params: Params) -> Bench:
    """Return a bench with fresh bars and a champion per horizon."""
    return Bench(params)


def test_prediction_log_has_one_entry_per_hour_and_model_before_the_answer(bench: Bench) -> None:
    """However often and by whom it is asked, an hour's forecast of a model is logged once, with what scoring needs."""
    for level in (0.5, 0.9, None):
        body = bench.forecaster.stored(Ask("BTC", level=level))
    bench.another(late=60).stored(BTC)
    ((key, entry),) = bench.log().items()
    assert key.startswith(keys.predictions(MARKET, PAIR, 24))
    assert entry["volatility"] == body["volatility"] and entry["interval"]["level"] == 0.9
    assert entry["intervals"]["0.5"] == [body["volatility"] * 0.8, body["volatility"] * 1.2]
    assert entry["features"] == dict(zip(FEATURE_NAMES, expected().tolist(), strict=True))
    assert (entry["as_of"], entry["served_at"]) == (format_instant(END), format_instant(bench.now))
    assert set(entry["baselines"]) == {"persistence", "ewma", "har"} and entry["market"] == MARKET


def test_stored_forecast_is_not_given_away_if_it_cannot_be_logged(bench: Bench) -> None:
    """Without a journal, a store that refuses the log entry makes the forecast fail, not vanish from the log."""
    bench.store.full = True
    with pytest.raises(StoreUnavailableError):
        bench.forecaster.stored(BTC)


@pytest.fixture
def journal() -> MemoryJournal:
    """Return a journal in memory."""
    return MemoryJournal()


def test_journal_takes_the_log_entry_over_and_the_forecast_does_not_wait_for_the_store(
    params: Params, journal: MemoryJournal
) -> None:
    """With a journal a store that cannot be written delays nothing; the entry is what would have been written."""
    bench = Bench(params, journal=journal)
    bench.store.full = True
    for _ in range(3):
        bench.forecaster.stored(BTC)
    assert bench.log() == {}
    bench.store.full = False
    bench.another().stored(BTC)
    assert dict(journal.entries) == bench.log() and len(journal.entries) == 1


def test_entry_that_the_journal_cannot_take_is_written_at_once(params: Params, journal: MemoryJournal) -> None:
    """A journal that is no spool, or a full one, leaves the scoring log as safe as without a journal."""
    bench = Bench(params, journal=journal)
    journal.able = False
    bench.forecaster.stored(BTC)
    assert len(bench.log()) == 1
    bench.now += 60
    bench.store.full = True
    with pytest.raises(StoreUnavailableError):
        bench.forecaster.stored(Ask("BTC", horizon=6))


def test_each_answer_is_recorded_once_with_what_it_stands_on(params: Params, journal: MemoryJournal) -> None:
    """Whatever was sent, a record names request, model, moment, features and numbers; a refusal leaves none."""
    bench = Bench(params, journal=journal)
    row = dict(zip(FEATURE_NAMES, expected().tolist(), strict=True))
    bodies: list[dict[str, Any]] = [
        bench.forecaster.stored(Ask("BTC", request_id="a")),
        bench.forecaster.of_bars(Ask("BTC", level=0.5, request_id="b"), BARS),
        bench.forecaster.of_features(Ask("BTC", horizon=6, request_id="c"), [row, {**row, "rv_24": -4.0}]),
        bench.forecaster.stored(Ask("BTC", as_of=END - 100 * HOUR, request_id="d")),
    ]
    bench.now += 9 * HOUR
    with pytest.raises(StaleDataError):
        bench.forecaster.stored(Ask("BTC", request_id="e"))
    assert [one["request_id"] for one in journal.records] == ["a", "b", "c", "d"]
    digest = hashlib.sha256(expected().tobytes()).hexdigest()
    for record, body in zip(journal.records, bodies, strict=True):
        assert (record["as_of"], record["source"], record["warnings"]) == (
            body["as_of"],
            body["source"],
            body["warnings"],
        )
        assert (record["version"], record["bundle_sha256"]) == ("1", body["model"]["bundle_sha256"])
        assert (record["market"], record["served_at"]) == (MARKET, format_instant(END + 600))
        told = [(one["volatility"], *list(one["interval"].values())) for one in body.get("predictions", [body])]
        assert [(one[1], record["level"], *one[2:]) for one in record["predictions"]] == told
    first = [record["predictions"][0][0] for record in journal.records]
    assert first[:3] == [digest] * 3 and first[3] != digest
