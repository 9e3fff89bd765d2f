"""The predict stage on a store in memory: what it answers and counts."""

from __future__ import annotations

import json
import math
import threading

import pytest

from cryptovol import keys
from cryptovol.features import FEATURE_NAMES, WARMUP
from cryptovol.forecasts import Ask
from cryptovol.held import in_background
from cryptovol.params import Params
from cryptovol.times import HOUR, format_instant
from tests.forecasters import BARS, BTC, END, Bench, expected
from tests.served import COLUMN, MARKET, PAIR, put_bars


@pytest.fixture
def bench(params: Params) -> Bench:
    """Return a bench with fresh bars and a champion per horizon."""
    return Bench(params)


def test_stored_forecast_has_every_field_of_the_contract(bench: Bench) -> None:
    """The answer carries forecast, interval, ages, model, baselines, drift and the caller's request id."""
    body = bench.forecaster.stored(BTC)
    volatility = math.exp(expected()[COLUMN])
    assert body["volatility"] == pytest.approx(volatility, rel=1e-15)
    assert body["volatility_annualized"] == pytest.approx(volatility * math.sqrt(8760))
    assert body["interval"] == {"level": 0.9, "lower": body["volatility"] * 0.5, "upper": body["volatility"] * 2.0}
    assert (body["as_of"], body["data_age_seconds"]) == (format_instant(END), 600)
    assert (body["horizon_hours"], body["source"], body["request_id"]) == (24, "made-up", "r-1")
    assert body["baselines"]["har"] == pytest.approx(0.01) and set(body["baselines"]) == {"persistence", "ewma", "har"}
    assert body["drift"] == {"ratio": None, "out_of_distribution": []}
    assert body["warnings"] == []
    assert set(body["model"]) == {"name", "version", "trained_at", "bundle_sha256"}


def test_three_ways_to_ask_give_the_same_number_bit_for_bit(bench: Bench) -> None:
    """Stored bars, the caller's bars and ready features agree exactly."""
    row = dict(zip(FEATURE_NAMES, expected().tolist(), strict=True))
    stored = bench.forecaster.stored(BTC)["volatility"]
    assert bench.forecaster.of_bars(BTC, BARS)["volatility"] == stored
    assert bench.forecaster.of_features(BTC, [row])["predictions"][0]["volatility"] == stored


def test_stored_forecast_in_the_past_sees_nothing_later(bench: Bench) -> None:
    """A forecast as of an earlier hour equals one made when nothing later existed, and is marked as a look back."""
    cut = 1200
    past = bench.forecaster.stored(Ask("BTC", as_of=int(BARS.time[cut]) + 1))
    assert past["volatility"] == pytest.approx(math.exp(expected(BARS.take(slice(0, cut)))[COLUMN]), rel=1e-15)
    assert past["warnings"] == ["model_trained_later"]
    assert bench.log() == {}


def test_stored_forecast_is_whole_when_the_window_begins_in_a_gap(bench: Bench, params: Params) -> None:
    """A missing hour just where the longest window begins changes nothing."""
    bars = BARS.take(BARS.time != BARS.time[-WARMUP])
    put_bars(bench.store, bars)
    body = bench.forecaster.stored(BTC)
    assert body["volatility"] == pytest.approx(math.exp(expected(bars)[COLUMN]), rel=1e-15)


def test_repeated_forecast_reads_nothing_from_the_store(bench: Bench) -> None:
    """On the hot path everything is at hand."""
    bench.forecaster.stored(BTC)
    before = bench.store.reads
    bench.forecaster.stored(BTC)
    assert bench.store.reads == before


def test_own_bars_are_never_logged_and_their_age_is_told(bench: Bench) -> None:
    """The caller's bars may be old; the answer says how old, and the log stays ours."""
    bench.now = END + 100 * HOUR
    body = bench.forecaster.of_bars(BTC, BARS)
    assert body["data_age_seconds"] == 100 * HOUR and body["source"] == "request"
    assert bench.log() == {}


def test_forecasts_are_counted_with_what_is_out_of_range(bench: Bench) -> None:
    """Each prediction is observed once, each feature outside the training range counted once per prediction."""
    row = {**dict.fromkeys(FEATURE_NAMES, 0.0), "rsi_14": 100.0, "rv_24": -5.0}
    body = bench.forecaster.of_features(BTC, [row, row])
    assert [one["drift"]["out_of_distribution"] for one in body["predictions"]] == [["rsi_14"]] * 2
    assert bench.meter.total("feature_ood_total", feature="rsi_14", reason="range") == 2
    observed = [value for name, value, _ in bench.meter.values if name == "model_predictions"]
    assert observed == [one["volatility"] for one in body["predictions"]]


def test_drift_ratio_comes_from_the_scoreboard_of_the_same_model(bench: Bench) -> None:
    """The newest scoreboard's ratio is told if it is about the model that serves."""
    boards = {
        "24": {"model": f"cryptovol-{PAIR}-h24", "drift": {"ratio": 0.25, "features": []}},
        "6": {"model": "somebody-else", "drift": {"ratio": 0.5, "features": []}},
    }
    bench.store.put(keys.scoreboard(MARKET, PAIR), json.dumps({"horizons": boards}).encode())
    assert bench.forecaster.stored(BTC)["drift"]["ratio"] == 0.25
    assert bench.forecaster.stored(Ask("BTC", horizon=6))["drift"]["ratio"] is None


def test_threads_get_the_same_answer_and_one_log_entry(params: Params) -> None:
    """Sixteen threads at a cold start all get the forecast; the log has it once."""
    bench, answers = Bench(params, start=in_background), list[float]()
    threads = [
        threading.Thread(target=lambda: answers.append(bench.forecaster.stored(BTC)["volatility"])) for _ in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 16 and len(set(answers)) == 1
    assert len(bench.log()) == 1 and bench.meter.total("model_predictions") == pytest.approx(16 * answers[0])


def test_contributions_are_told_where_they_are_asked_for_and_add_up(bench: Bench) -> None:
    """In every way to ask, base and contributions sum to the forecast's logarithm; nobody else gets them."""
    row = dict(zip(FEATURE_NAMES, expected().tolist(), strict=True))
    ask = Ask("BTC", explain=True)
    one, own = bench.forecaster.stored(ask), bench.forecaster.of_bars(ask, BARS)
    rows = bench.forecaster.of_features(ask, [row, row])["predictions"]
    for body in (one, own, *rows):
        told = body["contributions"]
        assert told["unit"] == "log volatility" and list(told["features"]) == list(FEATURE_NAMES)
        assert told["base"] + sum(told["features"].values()) == pytest.approx(math.log(body["volatility"]), abs=1e-9)
    assert one["contributions"] == own["contributions"] == rows[0]["contributions"]
    assert "contributions" not in bench.forecaster.stored(BTC)
