"""Around every route: keys, problem documents for what nobody foresaw, counts and logs."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import replace
from pathlib import Path

import app as predict_app
import pytest
from chalice.test import Client
from chalicelib import service

from cryptovol.adapters.telemetry import logger
from cryptovol.params import Params
from cryptovol.settings import load
from tests.api import Api, assert_problem


def test_wrong_media_type_and_method_are_problem_documents(api: Api) -> None:
    """What Chalice refuses by itself comes in the same shape, with its headers."""
    assert_problem(api.post(b"x", **{"content-type": "text/csv"}), 415, "unsupported_media_type")
    answer = api.get("/predict")
    assert_problem(answer, 405, "method_not_allowed")
    assert answer.headers["Allow"] == "POST"


def test_unforeseen_fault_is_a_500_without_a_trace_and_is_logged(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug of ours gives a problem document, an error line in the log, and a counted 500."""
    stream = io.StringIO()
    broken = replace(service.current(), forecaster=None, log=logger("test-fault", stream))  # type: ignore[arg-type]
    service.install(broken)
    problem = assert_problem(api.post({"symbol": "BTC"}), 500, "internal")
    events = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert events[0]["level"] == "ERROR" and events[0]["request_id"] == problem["request_id"]
    assert api.meter.total("http_requests_total", status="500") == 1


def test_keys_open_the_api_and_nothing_else_does(api: Api) -> None:
    """With digests set, a request needs a matching key; health, metrics and contract stay open."""
    digests = ",".join(hashlib.sha256(key.encode()).hexdigest() for key in ("first", "second"))
    api.open(CRYPTOVOL_API_KEY_SHA256=digests)
    for headers in ({}, {"x-api-key": "wrong"}, {"x-api-key": digests[:64]}):
        assert_problem(api.post({"symbol": "BTC"}, **headers), 401, "unauthorized")
    assert_problem(api.get("/forecast/BTC"), 401, "unauthorized")
    assert [api.post({"symbol": "BTC"}, **{"x-api-key": key}).status_code for key in ("first", "second")] == [200, 200]
    assert [api.get(path).status_code for path in ("/", "/health", "/openapi.json")] == [200] * 3
    assert api.meter.total("http_requests_total", status="401") == 4


def test_open_api_is_told_once_loudly(params: Params, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Without keys the service says so when it opens."""
    from cryptovol.wiring import Ports

    service.open_service(Ports(load({}), params, tmp_path))
    assert capsys.readouterr().out.count("THE API IS OPEN") == 1


def test_requests_are_counted_by_route_template(api: Api) -> None:
    """Endpoint labels are templates, refusals count, health and metrics do not."""
    api.post({"symbol": "BTC"})
    api.post({"symbol": "DOGE"})
    api.get("/forecast/BTC")
    api.get("/health")
    api.get("/metrics")
    api.client.request("DELETE", "/predict", headers={})
    counted = [labels for name, _, labels in api.meter.values if name == "http_requests_total"]
    assert [(one["endpoint"], one["method"], one["status"]) for one in counted] == [
        ("/predict", "POST", "200"), ("/predict", "POST", "404"), ("/forecast/{symbol}", "GET", "200"),
        ("/predict", "DELETE", "405"),
    ]  # fmt: skip
    latencies = [value for name, value, _ in api.meter.values if name == "prediction_latency"]
    assert len(latencies) == api.meter.flushes == 4 and min(latencies) > 0


def test_misconfigured_process_answers_503_and_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A process without parameters or cloud does not crash; it tells what is missing."""
    service.install(None)
    monkeypatch.setenv("CRYPTOVOL_PARAMS", str(tmp_path / "absent.yaml"))
    answer = Client(predict_app.app).http.get("/")
    assert_problem(answer, 503, "config")
