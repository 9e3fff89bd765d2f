"""The store away, hanging, throttling or corrupt while forecasts are served: a fake one, and S3 over real sockets."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from cryptovol import held
from cryptovol.adapters.shipping import Shipper
from cryptovol.adapters.spool import Spool
from cryptovol.adapters.telemetry import MemoryMeter
from cryptovol.errors import CryptovolError, StaleDataError, StoreUnavailableError
from cryptovol.features import FEATURE_NAMES
from cryptovol.forecasts import Ask
from cryptovol.held import HOLD_SECONDS, in_background
from cryptovol.params import Params
from cryptovol.ports import Store
from cryptovol.settings import load
from cryptovol.stages.predict import Forecaster
from cryptovol.testing import make_bars
from cryptovol.times import HOUR, format_instant
from cryptovol.wiring import Ports
from tests.forecasters import BTC, END, Bench, eventually
from tests.proxies import Mode, Proxy
from tests.served import MARKET, PAIR, make_bundle, promote, put_bars

GARBAGE = (
    b"", b"\xff\xfe", b"null", b"7", b"[]", b"{}", b'{"parts": [{}]}', b'{"parts": 7, "horizons": 7}', b'{"horizons": {"24": 7}}',
)  # fmt: skip
OBJECTS = (
    "champion.json", "bundle.json", "linear.json", "forest.npz", "manifest.json", ".npz", "latest.json", "bars/clean",
    "models/",
)  # fmt: skip


@pytest.fixture
def bench(params: Params) -> Bench:
    """Return a bench that has served once."""
    made = Bench(params)
    made.forecaster.stored(BTC)
    return made


def reachable(meter: MemoryMeter) -> float:
    """Return the newest value of the gauge."""
    return [value for name, value, _ in meter.values if name == "store_reachable"][-1]


def test_champion_and_bars_serve_on_inside_their_limits_while_the_store_is_away(bench: Bench) -> None:
    """Hours begin and end without a store: the newest bars serve until they are two hours old, then by name only."""
    first = bench.forecaster.stored(BTC)
    bench.store.away = True
    while bench.now + 600 <= END + 2 * HOUR:
        bench.now += 600
        assert bench.forecaster.stored(BTC)["volatility"] == first["volatility"]
    bench.now = END + 2 * HOUR + 1
    with pytest.raises(StaleDataError):
        bench.forecaster.stored(BTC)
    assert bench.forecaster.stored(Ask("BTC", allow_stale=True))["warnings"] == ["stale_data"]
    row = dict.fromkeys(FEATURE_NAMES, 0.0)
    assert bench.forecaster.of_features(BTC, [row])["warnings"] == []


def test_outage_is_told_once_by_the_gauge_and_by_the_forecaster_and_ends_by_itself(bench: Bench) -> None:
    """The gauge falls and rises with the store, in lines that are written at once."""
    assert reachable(bench.meter) == 1.0 and bench.forecaster.store_fault == ""
    flushes = bench.meter.flushes
    bench.store.away = True
    for _ in range(5):
        bench.now += HOLD_SECONDS
        bench.forecaster.stored(BTC)
    assert reachable(bench.meter) == 0.0 and "away" in bench.forecaster.store_fault
    bench.store.away = False
    bench.now += HOLD_SECONDS
    bench.forecaster.stored(BTC)
    assert reachable(bench.meter) == 1.0 and bench.forecaster.store_fault == ""
    assert bench.meter.flushes == flushes + 2


def test_answer_does_not_wait_for_a_store_that_hangs(params: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the store hanging for half a minute, hundreds of requests are answered; the fault is told meanwhile."""
    monkeypatch.setattr(held, "FIRST_SECONDS", 0.2)
    bench = Bench(params, start=in_background)
    first = bench.forecaster.stored(BTC)
    bench.store.answers.clear()
    try:
        began = time.monotonic()
        for _ in range(300):
            bench.now += 1
            assert bench.forecaster.stored(BTC)["volatility"] == first["volatility"]
        assert time.monotonic() - began < 20
        assert eventually(lambda: bool(bench.forecaster.stored(BTC) and bench.forecaster.store_fault))
    finally:
        bench.store.answers.set()
    assert eventually(lambda: bool(bench.forecaster.stored(BTC)) and not bench.forecaster.store_fault)


@pytest.mark.parametrize("name", OBJECTS)
@pytest.mark.parametrize("data", GARBAGE, ids=repr)
def test_garbage_in_the_store_leaves_what_serves_and_is_a_named_error_otherwise(
    bench: Bench, name: str, data: bytes
) -> None:
    """Bytes that are not what was written stop no forecast that is served, and never make an unforeseen error."""
    promote(bench.store, make_bundle(factor=2.0, trained_at=format_instant(END)), version="2")
    put_bars(bench.store, make_bars(1501, seed=5))
    bench.store.put(f"scoreboard/{MARKET}/{PAIR}/latest.json", b'{"horizons": {}}')
    bench.store.garbage = {name: data}
    bench.now += HOUR
    assert bench.forecaster.stored(BTC)["volatility"] > 0
    fresh = bench.another()
    try:
        fresh.stored(BTC)
    except CryptovolError as error:
        assert error.code in ("ledger_broken", "bundle_refused", "bar_schema", "not_enough_bars")
    bench.store.garbage = {}
    bench.now += HOLD_SECONDS
    for forecaster in (bench.forecaster, fresh):
        body = forecaster.stored(BTC)
        assert (body["model"]["version"], body["as_of"]) == ("2", format_instant(END + HOUR))


def test_drift_of_a_board_that_makes_no_sense_is_not_told(bench: Bench) -> None:
    """A ratio that is none is left out; it never reaches an answer as NaN."""
    for ratio in ("NaN", "Infinity", "-1", '"x"', "[]"):
        board = f'{{"horizons": {{"24": {{"model": "cryptovol-{PAIR}-h24", "drift": {{"ratio": {ratio}}}}}}}}}'
        bench.store.put(f"scoreboard/{MARKET}/{PAIR}/latest.json", board.encode())
        bench.now += HOLD_SECONDS
        assert bench.forecaster.stored(BTC)["drift"]["ratio"] is None
        json.dumps(bench.forecaster.stored(BTC), allow_nan=False)


class Cloud:
    """The store as the API opens it, by way of a proxy; and another by a way that has no faults."""

    def __init__(self, patch: pytest.MonkeyPatch, params: Params, *, lean: bool) -> None:
        self.server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self.server.start()
        host, port = self.server.get_host_and_port()
        self.proxy = Proxy(host, port)
        own = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
        for name, value in {**own, "AWS_ENDPOINT_URL": f"http://{host}:{port}"}.items():
            patch.setenv(name, value)
        self.bucket = f"cryptovol-{uuid.uuid4().hex}"  # moto keeps objects from server to server
        boto3.client("s3").create_bucket(Bucket=self.bucket)
        self.direct = Ports(load({"CRYPTOVOL_BUCKET": self.bucket}), params).store
        patch.setenv("AWS_ENDPOINT_URL", self.proxy.url)
        self.params, self.lean, self.meter, self.now = params, lean, MemoryMeter(), END + 600
        self.forecaster = self.another()

    def store(self) -> Store:
        """Return a store with the client and the patience of production."""
        return Ports(load({"CRYPTOVOL_BUCKET": self.bucket}), self.params, lean=self.lean).store

    def another(self) -> Forecaster:
        """Return a forecaster that knows nothing yet."""
        return Forecaster(self.store(), market=MARKET, params=self.params, clock=lambda: self.now, meter=self.meter)


@pytest.fixture(params=[True, False], ids=["lean", "boto3"])
def cloud(monkeypatch: pytest.MonkeyPatch, params: Params, request: pytest.FixtureRequest) -> Iterator[Cloud]:
    """Return a cloud with fresh bars and a champion, from which one forecast was served, by either client."""
    made = Cloud(monkeypatch, params, lean=request.param)
    put_bars(made.direct, make_bars(1500, seed=5))
    promote(made.direct, make_bundle(trained_at=format_instant(END)))
    made.forecaster.stored(BTC)
    yield made
    made.proxy.stop()
    made.server.stop()


@pytest.mark.parametrize("mode", ["slow", "hang", "cut", "half", "slowdown", "page"])
def test_faults_of_s3_over_real_sockets_stop_no_forecast(
    cloud: Cloud, mode: Mode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the client and the patience of production, each fault leaves the forecast served, told, and overcome."""
    monkeypatch.setattr(held, "FIRST_SECONDS", 0.5)
    first = cloud.forecaster.stored(BTC)
    cloud.proxy.become(mode)
    promote(cloud.direct, make_bundle(factor=2.0, trained_at=format_instant(END)), version="2")
    began = time.monotonic()
    for _ in range(60):
        cloud.now += 1
        body = cloud.forecaster.stored(BTC)
        assert body["volatility"] in (first["volatility"], 2 * first["volatility"])
    assert time.monotonic() - began < 25  # the client alone would wait 30 s for one answer
    if mode != "slow":
        assert body["model"]["version"] == "1"
        assert eventually(lambda: bool(cloud.forecaster.stored(BTC) and cloud.forecaster.store_fault))
        assert reachable(cloud.meter) == 0.0
    cloud.proxy.become("pass")

    def recovered() -> bool:
        cloud.now += 1
        new = cloud.forecaster.stored(BTC)["model"]["version"] == "2"
        return new and not cloud.forecaster.store_fault

    assert eventually(recovered) and reachable(cloud.meter) == 1.0


def test_first_request_of_a_process_is_told_in_time_that_s3_hangs(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing is held yet, the answer is an error that says so, long before the client gives up."""
    cloud.proxy.become("hang")
    fresh = cloud.another()
    monkeypatch.setattr(held, "FIRST_SECONDS", 0.5)
    began = time.monotonic()
    with pytest.raises(StoreUnavailableError, match="has not answered for"):
        fresh.stored(BTC)
    assert time.monotonic() - began < 25
    cloud.proxy.become("pass")
    assert eventually(lambda: _serves(fresh))


@pytest.mark.parametrize("mode", ["cut", "slowdown", "page"])
def test_records_wait_for_s3_and_none_is_taken_for_stored(cloud: Cloud, mode: Mode, tmp_path: Path) -> None:
    """An answer that is not S3's is no receipt: the file stays until the store has it."""
    spool = Spool(tmp_path, cloud.meter)
    shipper = Shipper(spool, cloud.store(), cloud.meter)
    spool.wake = lambda soon: None
    spool.record({"request_id": "a", "served_at": format_instant(END), "market": MARKET})
    cloud.proxy.become(mode)
    assert not shipper.ship() and len(list(tmp_path.iterdir())) == 1
    cloud.proxy.become("pass")
    assert shipper.ship() and not list(tmp_path.iterdir())
    assert len(list(cloud.direct.keys("served/"))) == 1


def _serves(forecaster: Forecaster) -> bool:
    try:
        return bool(forecaster.stored(BTC))
    except StoreUnavailableError:
        return False
