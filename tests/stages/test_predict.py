"""The predict stage on a store in memory: what it answers, logs, counts and refuses."""

from __future__ import annotations

import json
import math
import threading
from typing import Any

import pytest

from cryptovol import features, keys
from cryptovol.adapters.telemetry import MemoryMeter
from cryptovol.bars import Bars, Floats
from cryptovol.errors import (
    BarSchemaError,
    BundleRefusedError,
    ConfigError,
    FeatureMismatchError,
    ModelExpiredError,
    ModelNotFoundError,
    NotEnoughBarsError,
    StaleDataError,
    StoreUnavailableError,
    UnknownSymbolError,
)
from cryptovol.features import FEATURE_NAMES, WARMUP
from cryptovol.forecasts import Ask
from cryptovol.held import HOLD_SECONDS
from cryptovol.params import Params
from cryptovol.ports import Stored
from cryptovol.stages.predict import Forecaster
from cryptovol.testing import MemoryStore, make_bars
from cryptovol.times import HOUR, format_instant
from tests.served import COLUMN, MARKET, PAIR, make_bundle, promote, put_bars

BARS = make_bars(1500, seed=5)
END = int(BARS.time[-1]) + HOUR
BTC = Ask("BTC", request_id="r-1")


class Bench:
    """A forecaster over a store, a clock and a meter that a test moves by hand."""

    def __init__(self, params: Params) -> None:
        self.params = params
        self.store = FaultyStore()
        self.meter = MemoryMeter()
        self.now = END + 600
        self.forecaster = Forecaster(self.store, market=MARKET, params=params, clock=lambda: self.now, meter=self.meter)

    def log(self) -> dict[str, Any]:
        """Return the prediction log's entries by key."""
        found = {key: self.store.objects[key] for key in self.store.keys(f"predictions/{MARKET}/")}
        return {key: json.loads(data) for key, data in found.items()}


class FaultyStore(MemoryStore):
    """A store that a test can put out of reach, and that counts reads."""

    def __init__(self) -> None:
        super().__init__()
        self.away = False
        self.reads = 0

    def get(self, key: str) -> Stored:
        """Return the object unless the store is away."""
        self.reads += 1
        if self.away:
            raise StoreUnavailableError("the store is away")
        return super().get(key)


@pytest.fixture
def bench(params: Params) -> Bench:
    """Return a bench with fresh bars and a champion per horizon."""
    made = Bench(params)
    put_bars(made.store, BARS)
    for horizon in (6, 24):
        promote(made.store, make_bundle(horizon=horizon, trained_at=format_instant(END)))
    return made


def expected(bars: Bars = BARS) -> Floats:
    """Return the features of the last bar, computed over the whole history."""
    row: Floats = features.build(bars, coverage=0.75).values[-1]
    return row


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


def test_prediction_log_has_one_entry_per_hour_and_model_before_the_answer(bench: Bench) -> None:
    """However often and by whom it is asked, an hour's forecast of a model is logged once, with what scoring needs."""
    for level in (0.5, 0.9, None):
        body = bench.forecaster.stored(Ask("BTC", level=level))
    other = Forecaster(bench.store, market=MARKET, params=bench.params, clock=lambda: bench.now + 60, meter=bench.meter)
    other.stored(BTC)
    ((key, entry),) = bench.log().items()
    assert key.startswith(keys.predictions(MARKET, PAIR, 24))
    assert entry["volatility"] == body["volatility"] and entry["interval"]["level"] == 0.9
    assert entry["intervals"]["0.5"] == [body["volatility"] * 0.8, body["volatility"] * 1.2]
    assert entry["features"] == dict(zip(FEATURE_NAMES, expected().tolist(), strict=True))
    assert (entry["as_of"], entry["served_at"]) == (format_instant(END), format_instant(bench.now))
    assert set(entry["baselines"]) == {"persistence", "ewma", "har"} and entry["market"] == MARKET


def test_stored_forecast_is_not_given_away_if_it_cannot_be_logged(bench: Bench) -> None:
    """A store that refuses the log entry makes the forecast fail, not vanish from the log."""

    def full(key: str, data: bytes) -> bool:
        raise StoreUnavailableError("no space left")

    bench.store.put_new = full  # type: ignore[method-assign]
    with pytest.raises(StoreUnavailableError):
        bench.forecaster.stored(BTC)


def test_repeated_forecast_reads_nothing_from_the_store(bench: Bench) -> None:
    """On the hot path everything is at hand."""
    bench.forecaster.stored(BTC)
    before = bench.store.reads
    bench.forecaster.stored(BTC)
    assert bench.store.reads == before


def test_new_champion_and_new_bars_are_served_after_the_hold(bench: Bench) -> None:
    """A promotion and an ingest reach the answer within seconds, without a restart."""
    first = bench.forecaster.stored(BTC)
    promote(bench.store, make_bundle(factor=3.0, trained_at=format_instant(END)), version="2")
    assert bench.forecaster.stored(BTC)["model"]["version"] == "1"
    bench.now += HOLD_SECONDS
    second = bench.forecaster.stored(BTC)
    assert second["volatility"] == pytest.approx(3 * first["volatility"]) and second["model"]["version"] == "2"
    put_bars(bench.store, make_bars(1501, seed=5))
    bench.now += HOUR
    assert bench.forecaster.stored(BTC)["as_of"] == format_instant(END + HOUR)


def test_refused_champion_leaves_the_one_before_in_place(bench: Bench) -> None:
    """A tampered bundle is named and not served; a first one that is refused leaves nothing to serve."""
    bench.forecaster.stored(BTC)
    sha256 = promote(bench.store, make_bundle(factor=3.0, trained_at=format_instant(END)), version="2")
    name = f"{keys.bundle(MARKET, PAIR, 24, sha256=sha256)}/linear.json"
    bench.store.objects[name] += b" "
    bench.now += HOLD_SECONDS
    assert bench.forecaster.stored(BTC)["model"]["version"] == "1"
    assert "linear.json" in bench.forecaster.served(BTC).refused
    fresh = Forecaster(bench.store, market=MARKET, params=bench.params, clock=lambda: bench.now, meter=bench.meter)
    with pytest.raises(BundleRefusedError):
        fresh.stored(BTC)


def test_bundle_of_another_market_is_refused(bench: Bench) -> None:
    """A model of simulated bars cannot be put in front of another market by pointing at it."""
    made = make_bundle(factor=2.0, trained_at=format_instant(END), market="simulated")
    sha256 = promote(bench.store, made)
    source, target = (keys.bundle(market, PAIR, 24, sha256=sha256) for market in ("simulated", MARKET))
    for key in list(bench.store.keys(source)):
        bench.store.objects[key.replace(source, target)] = bench.store.objects[key]
    pointer = bench.store.objects[keys.champion("simulated", PAIR, 24)]
    bench.store.objects[keys.champion(MARKET, PAIR, 24)] = pointer
    with pytest.raises(BundleRefusedError, match="is of"):
        bench.forecaster.stored(BTC)


def test_cached_champion_serves_on_while_the_store_is_away(bench: Bench) -> None:
    """A store out of reach changes nothing for an hour that is known and logged, and recovery is by itself."""
    first = bench.forecaster.stored(BTC)
    bench.store.away = True
    bench.now += 60
    assert bench.forecaster.stored(BTC)["volatility"] == first["volatility"]
    bench.store.away = False
    bench.now += 60
    assert bench.forecaster.stored(BTC)["data_age_seconds"] == 720


@pytest.mark.parametrize(("late", "served"), [(2 * HOUR, True), (2 * HOUR + 1, False)])
def test_stale_bars_are_refused_past_the_limit_unless_allowed(bench: Bench, late: int, served: bool) -> None:
    """At the limit a forecast is given, a second later it is refused, and with allow_stale it is marked."""
    bench.now = END + late
    if served:
        assert bench.forecaster.stored(BTC)["warnings"] == []
        return
    with pytest.raises(StaleDataError, match="2 hours ago"):
        bench.forecaster.stored(BTC)
    assert bench.forecaster.stored(Ask("BTC", allow_stale=True))["warnings"] == ["stale_data"]


def test_expired_model_is_refused_unless_allowed(bench: Bench) -> None:
    """A champion older than its limit does not serve by default, not even on the caller's own bars."""
    promote(bench.store, make_bundle(trained_at=format_instant(END - 169 * HOUR)), version="0")
    with pytest.raises(ModelExpiredError, match="169 hours"):
        bench.forecaster.stored(BTC)
    with pytest.raises(ModelExpiredError):
        bench.forecaster.of_bars(BTC, BARS)
    assert bench.forecaster.stored(Ask("BTC", allow_stale=True))["warnings"] == ["model_expired"]


def test_pair_without_champion_is_unknown_or_not_ready(bench: Bench) -> None:
    """A configured symbol without a champion is not ready; any other is unknown; neither is remembered."""
    empty = Forecaster(MemoryStore(), market=MARKET, params=bench.params, clock=lambda: bench.now, meter=bench.meter)
    with pytest.raises(ModelNotFoundError):
        empty.stored(BTC)
    with pytest.raises(UnknownSymbolError):
        empty.stored(Ask("DOGE"))


@pytest.mark.parametrize(
    "ask",
    [Ask("BTC", horizon=7), Ask("BTC", horizon=0), Ask("BTC", level=0.7), Ask("btc/"), Ask("BTC", as_of=END + 10**6)],
)
def test_ask_for_what_is_not_served_is_a_config_error(bench: Bench, ask: Ask) -> None:
    """An unserved horizon or level, a bad symbol and a future instant are the caller's errors."""
    with pytest.raises(ConfigError):
        bench.forecaster.stored(ask)


def test_stored_bars_that_are_too_few_are_refused(params: Params) -> None:
    """Without the longest window there is no forecast."""
    bench = Bench(params)
    promote(bench.store, make_bundle(trained_at=format_instant(END)))
    with pytest.raises(NotEnoughBarsError):
        bench.forecaster.stored(BTC)
    put_bars(bench.store, BARS.take(slice(len(BARS) - WARMUP + 1, None)))
    with pytest.raises(NotEnoughBarsError, match=str(WARMUP)):
        bench.forecaster.stored(BTC)


def test_own_bars_are_never_logged_and_their_age_is_told(bench: Bench) -> None:
    """The caller's bars may be old; the answer says how old, and the log stays ours."""
    bench.now = END + 100 * HOUR
    body = bench.forecaster.of_bars(BTC, BARS)
    assert body["data_age_seconds"] == 100 * HOUR and body["source"] == "request"
    assert bench.log() == {}


def broken(name: str, row: int, value: float) -> Bars:
    """Return the bars with one value replaced."""
    column = getattr(BARS, name).copy()
    column[row] = value
    return Bars(**{**BARS.columns(), name: column})


@pytest.mark.parametrize(
    ("bars", "fault"),
    [
        (broken("time", 3, BARS.time[2]), "not after"),
        (broken("time", 3, BARS.time[3] + 1), "full hour"),
        (broken("close", 7, 0.0), "above 0"),
        (broken("high", 7, BARS.low[7]), "outside"),
        (broken("volume_base", 7, -1.0), "volume"),
        (broken("time", 1499, END + 10 * HOUR), "not closed"),
    ],
)
def test_own_bars_that_cannot_be_are_refused_by_row(bench: Bench, bars: Bars, fault: str) -> None:
    """A bar out of order, off the hour, still open or impossible is named."""
    with pytest.raises(BarSchemaError, match=rf"bars\[\d+\].*{fault}"):
        bench.forecaster.of_bars(BTC, bars)


def test_feature_names_must_be_the_models(bench: Bench) -> None:
    """Missing and surplus names are listed."""
    row = {**dict.fromkeys(FEATURE_NAMES[1:], 0.0), "surprise": 1.0}
    with pytest.raises(FeatureMismatchError) as caught:
        bench.forecaster.of_features(BTC, [row])
    assert (caught.value.missing, caught.value.unexpected) == ((FEATURE_NAMES[0],), ("surprise",))


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


def test_threads_get_the_same_answer_and_one_log_entry(bench: Bench) -> None:
    """Sixteen threads at a cold start all get the forecast; the log has it once."""
    answers: list[float] = []
    threads = [
        threading.Thread(target=lambda: answers.append(bench.forecaster.stored(BTC)["volatility"])) for _ in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 16 and len(set(answers)) == 1
    assert len(bench.log()) == 1 and bench.meter.total("model_predictions") == pytest.approx(16 * answers[0])
