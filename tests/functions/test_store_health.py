"""What the routes answer while the store is away or holds garbage: named problems, never an unforeseen error."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from chalicelib import service

from cryptovol.errors import NotEnoughBarsError, StaleDataError, StoreUnavailableError
from cryptovol.features import WARMUP
from cryptovol.forecasts import Ask
from cryptovol.held import HOLD_SECONDS, IDLE_SECONDS
from cryptovol.params import Params
from cryptovol.testing import make_bars
from cryptovol.times import HOUR, format_instant
from tests import api as api_module
from tests.api import Api, assert_problem
from tests.forecasters import BTC, END, Bench, FaultyStore
from tests.served import MARKET, PAIR, make_bundle, promote, put_bars

GARBAGE = (
    b"",
    b"\xff",
    b"null",
    b"[]",
    b"{}",
    b'{"parts": 7, "horizons": 7, "points": 7}',
    b'{"horizons": {"24": []}}',
)
OBJECTS = ("champion.json", "bundle.json", "manifest.json", ".npz", "latest.json", "live-h24.json", "ledger/")
ROUTES = ("/health", "/forecast/BTC", "/model", "/scoreboard/BTC", "/history/BTC")


@pytest.fixture
def faulty(params: Params) -> Iterator[Api]:
    """Return the app over a store that can fail, with fresh bars, two champions and a scoreboard."""
    made = Api(params)
    made.store = FaultyStore()
    put_bars(made.store, api_module.BARS)
    for horizon in (6, 24):
        promote(made.store, make_bundle(horizon=horizon, trained_at=format_instant(api_module.END)))
    made.store.put(f"scoreboard/{MARKET}/{PAIR}/latest.json", b'{"horizons": {}}')
    made.store.put(f"scoreboard/{MARKET}/{PAIR}/live-h24.json", b"{}")
    made.open()
    yield made
    service.install(None)


def store_of(api: Api) -> FaultyStore:
    """Return the store that can fail."""
    assert isinstance(api.store, FaultyStore)
    return api.store


def test_health_tells_an_outage_while_forecasts_go_on(faulty: Api) -> None:
    """Away the store degrades the service and stops no forecast; a process that knows nothing is not ready."""
    assert faulty.get("/health").json_body["store"] == "ok"
    assert faulty.get("/forecast/BTC").status_code == 200
    store_of(faulty).away = True
    for _ in range(3):
        faulty.now += IDLE_SECONDS
        assert faulty.post({"symbol": "BTC"}).status_code == 200
    health = faulty.get("/health")
    assert health.status_code == 200
    assert (health.json_body["status"], health.json_body["store"]) == ("degraded", "unreachable")
    store_of(faulty).away = False
    faulty.now += IDLE_SECONDS
    faulty.get("/health")
    faulty.now += IDLE_SECONDS
    assert faulty.get("/health").json_body["store"] == "ok"
    store_of(faulty).away = True
    faulty.open()
    health = faulty.get("/health")
    assert (health.status_code, health.json_body["status"]) == (503, "unready")
    assert_problem(faulty.post({"symbol": "BTC"}), 503, "store_unavailable")


@pytest.mark.parametrize("name", OBJECTS)
def test_garbage_under_any_key_makes_no_route_fail_unforeseen(faulty: Api, name: str) -> None:
    """Whatever bytes lie where a manifest, a bundle or a board should, each route answers or names the fault."""
    for data in GARBAGE:
        store_of(faulty).garbage = {}
        faulty.open()
        faulty.get("/health")
        store_of(faulty).garbage = {name: data}
        for cold in (False, True):
            if cold:
                faulty.open()
            faulty.now += 1
            seen = {route: faulty.client.get(route).status_code for route in ROUTES}
            seen["/predict"] = faulty.post({"symbol": "BTC"}).status_code
            assert set(seen.values()) <= {200, 404, 503}, (data, cold, seen)


def test_newest_bars_with_a_large_gap_leave_the_bars_before_while_they_are_fresh(params: Params) -> None:
    """A state of bars that carries no forecast takes nothing away before the bars before it are too old."""
    bench = Bench(params)
    first = bench.forecaster.stored(BTC)
    grown = make_bars(1502, seed=5)
    gap = np.ones(len(grown), dtype=bool)
    gap[-WARMUP // 2 : -1] = False
    put_bars(bench.store, grown.take(gap))
    bench.now = END + 2 * HOUR
    assert bench.forecaster.stored(BTC)["volatility"] == first["volatility"]
    bench.now += 1
    with pytest.raises(StaleDataError):
        bench.forecaster.stored(BTC)
    with pytest.raises(NotEnoughBarsError):
        bench.another().stored(BTC)


def test_look_back_needs_the_store_and_says_so(params: Params) -> None:
    """An earlier hour that was asked for before is known; another cannot be read while the store is away."""
    bench = Bench(params)
    known = bench.forecaster.stored(Ask("BTC", as_of=END - 5 * HOUR))
    bench.store.away = True
    bench.now += HOLD_SECONDS
    again = bench.forecaster.stored(Ask("BTC", as_of=END - 5 * HOUR))
    assert again["volatility"] == known["volatility"]
    with pytest.raises(StoreUnavailableError):
        bench.forecaster.stored(Ask("BTC", as_of=END - 6 * HOUR))
