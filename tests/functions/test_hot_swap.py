"""A new champion, a refused one and a rollback reach the API within seconds, without a restart."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from cryptovol import cli, keys
from cryptovol.adapters.files import FileStore
from cryptovol.adapters.telemetry import MemoryMeter
from cryptovol.errors import BundleRefusedError
from cryptovol.held import HOLD_SECONDS, IDLE_SECONDS, WAIT_SECONDS
from cryptovol.params import Params
from cryptovol.stages.predict import Forecaster
from cryptovol.testing import make_bars
from cryptovol.times import HOUR, format_instant
from tests.api import Api
from tests.forecasters import BTC, END, Bench
from tests.served import MARKET, PAIR, make_bundle, promote, put_bars

PROMISE = 30  # seconds within which a new champion serves


@pytest.fixture
def bench(params: Params) -> Bench:
    """Return a bench with fresh bars and a champion per horizon."""
    return Bench(params)


def tampered(bench: Bench | Api, factor: float = 3.0) -> str:
    """Promote a bundle that is then changed by a byte; return the key of the changed file."""
    sha256 = promote(bench.store, make_bundle(factor=factor, trained_at=format_instant(END)), version="2")
    name = f"{keys.bundle(MARKET, PAIR, 24, sha256=sha256)}/linear.json"
    bench.store.objects[name] += b" "
    return name


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


def test_holds_keep_the_promise_of_thirty_seconds() -> None:
    """Whatever the traffic, an answer stands on a look that is younger than the promise, where the store answers."""
    assert HOLD_SECONDS < IDLE_SECONDS and IDLE_SECONDS + WAIT_SECONDS < PROMISE


@pytest.mark.parametrize("quiet", [1, 4, 19, PROMISE, 3600])
def test_new_champion_is_served_within_thirty_seconds(api: Api, quiet: int) -> None:
    """Over HTTP, with a request each so many seconds: the first at or after the promise has the new model."""
    assert api.post({"symbol": "BTC"}).json_body["model"]["version"] == "1"
    promote(api.store, make_bundle(factor=3.0, trained_at=format_instant(END)), version="2")
    version, waited = "1", 0
    while version == "1" and waited < max(PROMISE, quiet):
        api.now += quiet
        waited += quiet
        version = api.post({"symbol": "BTC"}).json_body["model"]["version"]
        time.sleep(0.02)  # what a look in the background takes; the clock of the test stands still
    assert version == "2"


def test_refused_champion_leaves_the_one_before_in_place(bench: Bench) -> None:
    """A tampered bundle is named and not served; a first one that is refused leaves nothing to serve."""
    bench.forecaster.stored(BTC)
    tampered(bench)
    bench.now += HOLD_SECONDS
    assert bench.forecaster.stored(BTC)["model"]["version"] == "1"
    assert "linear.json" in bench.forecaster.served(BTC).refused
    with pytest.raises(BundleRefusedError):
        bench.another().stored(BTC)


def test_refusal_is_counted_once_and_told_by_health(api: Api) -> None:
    """However many requests come, one refused champion is one refusal; repaired it serves, broken again it counts."""
    api.post({"symbol": "BTC"})
    name = tampered(api)
    for _ in range(40):
        api.now += IDLE_SECONDS
        assert api.post({"symbol": "BTC"}).json_body["model"]["version"] == "1"
    health = api.get("/health").json_body
    (day,) = [one for one in health["series"] if one["horizon_hours"] == 24]
    assert health["status"] == "degraded" and "linear.json is not the file it was" in day["refused"]
    assert api.meter.total("bundle_refusals_total", series=PAIR) == 1
    api.store.objects[name] = api.store.objects[name].removesuffix(b" ")
    api.now += IDLE_SECONDS
    assert api.post({"symbol": "BTC"}).json_body["model"]["version"] == "2"
    assert api.get("/health").json_body["status"] == "ok"
    tampered(api, factor=5.0)
    for _ in range(3):
        api.now += IDLE_SECONDS
        api.post({"symbol": "BTC"})
    assert api.meter.total("bundle_refusals_total", series=PAIR) == 2


def test_first_champion_that_is_refused_is_counted_once_too(bench: Bench) -> None:
    """A new process with nothing else to serve answers no forecast, and counts the refusal once for all requests."""
    tampered(bench)
    fresh = bench.another()
    for _ in range(5):
        bench.now += HOLD_SECONDS
        with pytest.raises(BundleRefusedError):
            fresh.stored(BTC)
    assert bench.meter.total("bundle_refusals_total") == 1


@pytest.mark.parametrize("pointer", [b"", b"\xff", b"[]", b"{}", b'{"bundle_sha256": 7}'])
def test_spoilt_pointer_leaves_the_champion_in_place(bench: Bench, pointer: bytes) -> None:
    """Bytes that name no champion are a refusal like another."""
    bench.forecaster.stored(BTC)
    bench.store.objects[keys.champion(MARKET, PAIR, 24)] = pointer
    for _ in range(3):
        bench.now += HOLD_SECONDS
        assert bench.forecaster.stored(BTC)["model"]["version"] == "1"
    assert "names no champion" in bench.forecaster.served(BTC).refused
    assert bench.meter.total("bundle_refusals_total") == 1


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


def test_rollback_by_the_command_reaches_the_forecasts(
    params: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`cryptovol models rollback` is one more entry of the ledger, and the API follows it like a promotion."""
    store, now = FileStore(tmp_path), [END + 600]
    put_bars(store, make_bars(1500, seed=5))
    for number in (1, 2):
        promote(store, make_bundle(factor=float(number), trained_at=format_instant(END)), version=str(number))
        store.put(f"tracking/cryptovol-{PAIR}-h24/{number}/run.json", b"{}")
    forecaster = Forecaster(store, market=MARKET, params=params, clock=lambda: now[0], meter=MemoryMeter())
    before: dict[str, Any] = forecaster.stored(BTC)
    monkeypatch.setenv("CRYPTOVOL_MARKET", MARKET)
    rollback = ["models", "rollback", "--horizon", "24", "--reason", "too wide", "--store", str(tmp_path)]
    assert cli.main(rollback) == 0
    now[0] += IDLE_SECONDS
    after = forecaster.stored(BTC)
    assert (before["model"]["version"], after["model"]["version"]) == ("2", "1")
    assert after["volatility"] == pytest.approx(before["volatility"] / 2)
