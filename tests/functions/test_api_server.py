"""The API and the metrics sidecar as real processes, on an S3 server in this one."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import boto3
import pytest
from moto.server import ThreadedMotoServer

from cryptovol.adapters.s3 import S3Store
from cryptovol.testing import make_bars
from cryptovol.times import HOUR, floor_hour, format_instant
from tests.served import make_bundle, promote, put_bars
from tests.servers import LOCAL, SERVE, Http, Process

AWS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
HOURS = 800


def series(exposition: bytes) -> dict[str, float]:
    """Return the samples of an exposition by name and labels."""
    lines = [line for line in exposition.decode().splitlines() if line and not line.startswith("#")]
    return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines}


@pytest.fixture
def cloud() -> Iterator[dict[str, str]]:
    """Return the environment of an S3 server that holds fresh bars and a champion."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    environ = {**AWS, "AWS_ENDPOINT_URL": f"http://{host}:{port}", "CRYPTOVOL_MARKET": "test"}
    client = boto3.client(
        "s3", endpoint_url=environ["AWS_ENDPOINT_URL"], region_name="us-east-1", aws_access_key_id="test",
        aws_secret_access_key="test",
    )  # fmt: skip
    client.create_bucket(Bucket="cryptovol")
    store = S3Store("cryptovol", client)
    end = floor_hour(int(time.time()))
    put_bars(store, make_bars(HOURS, start=end - HOURS * HOUR))
    promote(store, make_bundle(trained_at=format_instant(end)))
    yield environ
    server.stop()


@pytest.mark.parametrize("served", [LOCAL, SERVE], ids=["local", "serve"])
def test_requests_reach_prometheus_exactly_once_across_a_kill(
    served: tuple[str, ...], cloud: dict[str, str], tmp_path: Path
) -> None:
    """Parallel requests, a sidecar killed in between: its series and the API's own view count every request once."""
    log, state = tmp_path / "api.log", tmp_path / "state.sqlite"
    api = Process(log, {**cloud, "CRYPTOVOL_METRICS_STATE": str(state)}, *served)
    verb = ("cryptovol", "sidecar", "--state", str(state), "--file", str(log), "--interval", "0.02")
    sidecar = Process(tmp_path / "sidecar.log", {}, *verb)
    try:
        answers: list[tuple[int, bytes]] = []

        def work() -> None:
            with Http(api.url) as ask:
                for i in range(25):
                    answers.append(ask("POST", "/predict", {"symbol": "BTC"} if i % 5 else {"symbol": "NONE"}))

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        sidecar.kill()
        for thread in threads:
            thread.join()
        sidecar = Process(tmp_path / "sidecar.log", {}, *verb)
        good = 'http_requests_total{endpoint="/predict",method="POST",status="200"}'
        found = _settled(sidecar.url, good, 160)
        assert found[good] == 160 and found[good.replace("200", "404")] == 40
        assert found['prediction_latency_count{endpoint="/predict"}'] == 200
        assert found['model_predictions_count{model="cryptovol-btc-usd-h24"}'] == 160
        assert found['emf_lines_total{result="applied"}'] > 0 and 'emf_lines_total{result="invalid"}' not in found
        assert sorted(status for status, _ in answers) == [200] * 160 + [404] * 40
        assert len({json.loads(body)["volatility"] for status, body in answers if status == 200}) == 1
        with Http(api.url) as ours, Http(sidecar.url) as theirs:
            # The sidecar's first: asking the API is itself a request, and may be counted before the next answer.
            committed = series(theirs("GET", "/metrics")[1])
            assert series(ours("GET", "/metrics")[1]) == committed
        assert sidecar.terminate() == 0 and api.terminate() == 0
    finally:
        sidecar.kill()
        api.kill()


def _settled(url: str, name: str, wanted: float) -> dict[str, float]:
    """Return the series once one of them has the wanted value, or what there is after ten seconds."""
    deadline = time.monotonic() + 10
    found: dict[str, float] = {}
    while time.monotonic() < deadline and found.get(name) != wanted:
        with Http(url) as ask:
            status, body = ask("GET", "/metrics")
        found = series(body) if status == 200 else {}
        time.sleep(0.05)
    return found


def test_warm_request_takes_a_few_milliseconds(cloud: dict[str, str], tmp_path: Path) -> None:
    """Nagle is off: the median keep-alive request is far below a delayed acknowledgement's 40 ms."""
    api = Process(tmp_path / "api.log", cloud, "cryptovol.cloud.api", "--port", "0")
    try:
        took = []
        with Http(api.url) as ask:
            for _ in range(60):
                started = time.perf_counter()
                assert ask("POST", "/predict", {"symbol": "BTC"})[0] == 200
                took.append(time.perf_counter() - started)
        assert statistics.median(took) < 0.015
    finally:
        api.kill()


def test_taken_port_is_told_with_the_cure(cloud: dict[str, str], tmp_path: Path) -> None:
    """A second server on the same port ends at once and says what to do."""
    api = Process(tmp_path / "api.log", cloud, "cryptovol.cloud.api", "--port", "0")
    try:
        port = str(urlsplit(api.url).port)
        command = [sys.executable, "-m", "cryptovol.cloud.api", "--port", port]
        second = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert second.returncode == 2 and "choose another --port" in second.stderr
        assert "Traceback" not in second.stderr
    finally:
        api.kill()
