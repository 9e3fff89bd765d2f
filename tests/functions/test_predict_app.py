"""The API through Chalice's own test client: every route, every refusal, on a store in memory."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import app as predict_app
import pytest
from chalice.test import Client, HTTPResponse
from chalicelib import service
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from cryptovol import __version__
from cryptovol.adapters.telemetry import EmfMeter, MemoryMeter, logger
from cryptovol.bars import Bars
from cryptovol.features import FEATURE_NAMES, WARMUP
from cryptovol.params import Params
from cryptovol.settings import load
from cryptovol.sidecar.state import Portion, State
from cryptovol.stages.predict import Forecaster
from cryptovol.testing import MemoryStore, make_bars
from cryptovol.times import HOUR, format_instant
from tests.served import MARKET, make_bundle, promote, put_bars

BARS = make_bars(800, seed=5)
END = int(BARS.time[-1]) + HOUR
ROW = dict.fromkeys(FEATURE_NAMES, 0.0) | {"rv_24": -5.0}
JSON = {"content-type": "application/json"}


class Api:
    """The app over a store in memory; a test may move the clock and change the settings."""

    def __init__(self, params: Params) -> None:
        self.store = MemoryStore()
        self.meter = MemoryMeter()
        self.params = params
        self.now = END + 600
        self.client = Client(predict_app.app).http
        self.open()

    def open(self, **environ: str) -> None:
        """Install a service with the given environment."""
        settings = replace(load(environ), market=MARKET)
        forecaster = Forecaster(self.store, market=MARKET, params=self.params, clock=lambda: self.now, meter=self.meter)
        log = logger("test-predict-app", io.StringIO())
        parts = (settings, self.params, self.store, self.meter, lambda: self.now, forecaster, log)
        service.install(service.Service(*parts))

    def get(self, path: str, **headers: str) -> HTTPResponse:
        """Return the answer to a GET."""
        return self.client.get(path, headers=headers)

    def post(self, body: Any, **headers: str) -> HTTPResponse:
        """Return the answer to ``POST /predict``."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.client.post("/predict", headers={**JSON, **headers}, body=raw)


@pytest.fixture
def api(params: Params) -> Iterator[Api]:
    """Return the app with fresh bars and a champion per horizon."""
    made = Api(params)
    put_bars(made.store, BARS)
    for horizon in (6, 24):
        promote(made.store, make_bundle(horizon=horizon, trained_at=format_instant(END)))
    yield made
    service.install(None)


def assert_problem(answer: HTTPResponse, status: int, code: str) -> dict[str, Any]:
    """Check that an answer is the expected problem document, and return it."""
    body: dict[str, Any] = answer.json_body
    assert (answer.status_code, body["code"], body["status"]) == (status, code, status)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert body["request_id"] == answer.headers["X-Request-Id"] != ""
    assert {"type", "title", "detail"} <= set(body) and "Traceback" not in answer.body.decode()
    return body


def as_json(bars: Bars) -> list[dict[str, float]]:
    """Return bars as a request carries them."""
    names = ("time", "open", "high", "low", "close", "volume_base", "volume_quote")
    columns = [getattr(bars, name).tolist() for name in names]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def test_predict_answers_a_symbol_in_any_case(api: Api) -> None:
    """A symbol alone gives the default horizon's forecast with the contract's fields."""
    answer = api.post({"symbol": "btc"})
    body = answer.json_body
    assert answer.status_code == 200 and body["horizon_hours"] == 24
    assert set(body) == {
        "volatility", "volatility_annualized", "horizon_hours", "interval", "as_of", "data_age_seconds", "source",
        "model", "baselines", "drift", "request_id", "symbol", "warnings",
    }  # fmt: skip
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_predict_gives_one_number_for_symbol_bars_and_forecast_route(api: Api) -> None:
    """The three ways to ask over HTTP agree exactly."""
    wanted = api.post({"symbol": "BTC", "horizon_hours": 6, "level": 0.5}).json_body
    own = api.post({"symbol": "BTC", "bars": as_json(BARS), "horizon_hours": 6, "level": 0.5}).json_body
    route = api.get("/forecast/BTC?horizon_hours=6&level=0.5").json_body
    assert wanted["volatility"] == own["volatility"] == route["volatility"]
    assert wanted["interval"] == own["interval"] == route["interval"]


def test_predict_answers_features_and_a_batch_of_them(api: Api) -> None:
    """Ready features give a forecast without bars' fields; a batch gives one per row."""
    one = api.post({"features": ROW}).json_body
    many = api.post({"instances": [ROW, {**ROW, "rv_24": -4.0}]}).json_body
    assert one["volatility"] == pytest.approx(0.006737947) and one["as_of"] is None and one["baselines"] is None
    assert many["predictions"][0]["volatility"] == one["volatility"] < many["predictions"][1]["volatility"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "malformed"),
        (b"{", 400, "malformed"),
        (b"[]", 400, "malformed"),
        (b"\xff\xfe", 400, "malformed"),
        (b'{"symbol":"BTC","level":NaN}', 400, "malformed"),
        (b'{"symbol":"BTC","symbol":"ETH"}', 400, "malformed"),
        (b"[" * 100_000, 400, "malformed"),
        (b'{"symbol":"BTC","level":1e999}', 422, "invalid_value"),
        (b'{"symbol":"BTC","level":' + b"9" * 400 + b"}", 422, "invalid_value"),
        (b" " * 1_000_001, 413, "body_too_large"),
        ({}, 422, "invalid_value"),
        ({"symbol": 7}, 422, "invalid_value"),
        ({"symbol": ""}, 422, "invalid_value"),
        ({"symbol": "<script>"}, 422, "invalid_value"),
        ({"symbol": "B" * 65}, 422, "invalid_value"),
        ({"symbol": "BTC", "surprise": 1}, 422, "invalid_value"),
        ({"symbol": "BTC", "horizon_hours": 7}, 422, "invalid_value"),
        ({"symbol": "BTC", "horizon_hours": 24.5}, 422, "invalid_value"),
        ({"symbol": "BTC", "horizon_hours": True}, 422, "invalid_value"),
        ({"symbol": "BTC", "level": 0.77}, 422, "invalid_value"),
        ({"symbol": "BTC", "level": "0.9"}, 422, "invalid_value"),
        ({"symbol": "BTC", "as_of": "tomorrow"}, 422, "invalid_value"),
        ({"symbol": "BTC", "as_of": "2999-01-01T00:00:00Z"}, 422, "invalid_value"),
        ({"symbol": "BTC", "allow_stale": 1}, 422, "invalid_value"),
        ({"symbol": "DOGE"}, 404, "unknown_symbol"),
        ({"symbol": "BTC", "bars": []}, 422, "invalid_value"),
        ({"symbol": "BTC", "bars": [7]}, 422, "invalid_value"),
        ({"symbol": "BTC", "bars": [{"time": 0}]}, 422, "invalid_value"),
        ({"bars": as_json(BARS)}, 422, "invalid_value"),
        ({"symbol": "BTC", "bars": as_json(BARS)[::-1]}, 422, "bar_schema"),
        ({"symbol": "BTC", "bars": as_json(BARS)[: WARMUP - 1]}, 422, "not_enough_bars"),
        ({"symbol": "BTC", "bars": as_json(BARS), "features": ROW}, 422, "invalid_value"),
        ({"features": {}}, 422, "feature_mismatch"),
        ({"features": [1.0]}, 422, "invalid_value"),
        ({"features": {**ROW, "rv_24": None}}, 422, "invalid_value"),
        ({"instances": []}, 422, "invalid_value"),
        ({"instances": [{}] * 1001}, 422, "invalid_value"),
        ({"instances": [ROW, {**ROW, "extra": 1}]}, 422, "feature_mismatch"),
    ],
)  # fmt: skip
def test_predict_refuses_a_wrong_body_by_name(api: Api, body: Any, status: int, code: str) -> None:
    """Each wrong body has its status and stable code, and no trace of our code."""
    assert_problem(api.post(body), status, code)


def test_feature_mismatch_lists_the_names(api: Api) -> None:
    """The problem document tells what is missing and what is surplus."""
    row = {name: 0.0 for name in FEATURE_NAMES[1:]} | {"extra": 1.0}
    problem = assert_problem(api.post({"features": row}), 422, "feature_mismatch")
    assert (problem["missing"], problem["unexpected"]) == ([FEATURE_NAMES[0]], ["extra"])


@budget(max_examples=150, deadline=None)
@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["symbol", "bars", "features", "instances", "level", "as_of", "time", "open"]), inner, max_size=4),
    max_leaves=12,
))  # fmt: skip
def test_predict_answers_any_json_with_a_client_error_or_a_forecast(params: Params, body: Any) -> None:
    """No JSON value makes the API fail on its own side."""
    api = Api(params)
    put_bars(api.store, BARS)
    promote(api.store, make_bundle(trained_at=format_instant(END)))
    assert api.post(body).status_code in (200, 400, 404, 422)
    service.install(None)


def test_wrong_media_type_and_method_are_problem_documents(api: Api) -> None:
    """What Chalice refuses by itself comes in the same shape, with its headers."""
    assert_problem(api.post(b"x", **{"content-type": "text/csv"}), 415, "unsupported_media_type")
    answer = api.get("/predict")
    assert_problem(answer, 405, "method_not_allowed")
    assert answer.headers["Allow"] == "POST"


def test_stale_data_and_expired_models_are_503_with_a_code(api: Api) -> None:
    """Age is refused by name, and answered and marked when asked for."""
    api.now = END + 3 * HOUR
    problem = api.post({"symbol": "BTC"})
    assert_problem(problem, 503, "stale_data")
    assert problem.headers["Retry-After"] == "5"
    assert api.post({"symbol": "BTC", "allow_stale": True}).json_body["warnings"] == ["stale_data"]
    api.now = END + 200 * HOUR
    assert_problem(api.post({"features": ROW}), 503, "model_expired")


def test_absent_champion_and_damaged_bars_are_503(api: Api) -> None:
    """What is wrong on our side is never the caller's fault."""
    for key in list(api.store.keys("bars/clean/")):
        if not key.endswith(".json"):
            api.store.objects[key] += b"x"
    assert_problem(api.post({"symbol": "BTC"}), 503, "bar_schema")
    api.store.objects.clear()
    api.open()
    assert_problem(api.post({"symbol": "BTC"}), 503, "model_not_found")


def test_unforeseen_fault_is_a_500_without_a_trace_and_is_logged(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug of ours gives a problem document, an error line in the log, and a counted 500."""
    stream = io.StringIO()
    broken = replace(service.current(), forecaster=None, log=logger("test-fault", stream))  # type: ignore[arg-type]
    service.install(broken)
    problem = assert_problem(api.post({"symbol": "BTC"}), 500, "internal")
    events = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert events[0]["level"] == "ERROR" and events[0]["request_id"] == problem["request_id"]
    assert api.meter.total("http_requests_total", status="500") == 1


def test_forecast_route_has_an_etag_that_answers_304(api: Api) -> None:
    """The same hour and model need not be sent twice; another horizon is another answer."""
    first = api.get("/forecast/BTC")
    tag = first.headers["ETag"]
    api.now += 30
    again = api.get("/forecast/BTC", **{"if-none-match": tag})
    assert (again.status_code, again.body) == (304, b"") and "max-age" in again.headers["Cache-Control"]
    assert api.get("/forecast/BTC?horizon_hours=6").headers["ETag"] != tag


@pytest.mark.parametrize(
    "query", ["surprise=1", "level=0.5&level=0.9", "horizon_hours=x", "level=NaN", "allow_stale=7"]
)
def test_forecast_route_refuses_wrong_options(api: Api, query: str) -> None:
    """Options in the address are as strict as those in a body."""
    assert_problem(api.get(f"/forecast/BTC?{query}"), 422, "invalid_value")


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


def test_health_tells_ok_degraded_and_unready(api: Api) -> None:
    """Fresh is ok, old data is degraded and still 200, nothing to serve is 503."""
    good = api.get("/health")
    assert good.status_code == 200 and good.json_body["status"] == "ok"
    assert [one["horizon_hours"] for one in good.json_body["series"]] == [6, 24]
    api.now += 5 * HOUR
    old = api.get("/health")
    assert (old.status_code, old.json_body["status"], old.json_body["series"][0]["stale"]) == (200, "degraded", True)
    api.store.objects.clear()
    api.open()
    assert (api.get("/health").status_code, api.get("/health").json_body["status"]) == (503, "unready")


def test_model_card_tells_header_scores_and_levels(api: Api) -> None:
    """The card names the model of a symbol and horizon, what it is for, and has exactly the contract's members."""
    card = api.get("/model?symbol=BTC&horizon_hours=6").json_body
    assert card["name"].endswith("h6") and card["levels"] == [0.5, 0.9] and card["refused"] is None
    assert card["scores"]["qlike"] == {"model": 0.1} and card["header"]["spec"]["names"] == list(FEATURE_NAMES)
    assert card["decision"]["decision"] == "promoted" and card["decision"]["entry"] == 1
    assert sum(map(len, card["features"].values())) == 36 and card["use"]["not_intended"]
    contract = api.get("/openapi.json").json_body["components"]["schemas"]["ModelCard"]
    assert set(card) == set(contract["required"]) == set(contract["properties"])


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("text/markdown", "text/markdown"),
        ("text/markdown, application/json;q=0.5", "text/markdown"),
        ("text/markdown;q=0.2, application/json", "application/json"),
        ("text/markdown;q=0", "application/json"),
        ("text/markdown;q=x", "application/json"),
        ("*/*", "application/json"),
        ("", "application/json"),
    ],
)
def test_model_card_comes_as_json_unless_markdown_is_preferred(api: Api, accept: str, kind: str) -> None:
    """The same address gives the card for programs or for people, as the Accept header asks."""
    answer = api.get("/model", accept=accept)
    assert answer.status_code == 200 and answer.headers.get("Content-Type", "application/json").split(";")[0] == kind
    assert (b"## Intended use" in answer.body) is (kind == "text/markdown")
    assert answer.headers["Vary"] == "Accept"


def test_model_card_does_without_a_ledger_entry_that_is_gone(api: Api) -> None:
    """What serves is told also where the decision about it cannot be read."""
    for key in [key for key in api.store.objects if "/ledger/" in key]:
        del api.store.objects[key]
    answer = api.get("/model")
    assert answer.status_code == 200 and answer.json_body["decision"] == {}


def test_scoreboard_route_returns_the_newest_board_or_404(api: Api) -> None:
    """A symbol's scoreboard is shown as stored."""
    assert_problem(api.get("/scoreboard/BTC"), 404, "no_scoreboard")
    api.store.put(f"scoreboard/{MARKET}/btc-usd/latest.json", b'{"horizons": {}}')
    assert api.get("/scoreboard/btc").json_body == {"horizons": {}}


def test_metrics_route_points_elsewhere_or_shows_committed_state(api: Api, tmp_path: Path) -> None:
    """Without a state file the route says where metrics are; with one it shows exactly what is committed."""
    assert_problem(api.get("/metrics"), 404, "no_metrics_here")
    path = tmp_path / "state.sqlite"
    stream = io.StringIO()
    meter = EmfMeter(stream)
    meter.add("prediction_latency", 0.5, {"endpoint": "/predict"})
    meter.flush()
    state = State(path)
    state.apply(Portion("file:x", None, "{}", [stream.getvalue().encode().rstrip()]), END * 1000)
    api.open(CRYPTOVOL_METRICS_STATE=str(path))
    answer = api.get("/metrics", accept="text/plain")
    assert b'prediction_latency_bucket{endpoint="/predict",le="0.5"} 1.0' in answer.body
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    state.close()
    assert api.get("/metrics").body == answer.body


def test_contract_and_index_name_every_route(api: Api) -> None:
    """The published contract and the index know the routes that exist."""
    document, index = api.get("/openapi.json").json_body, api.get("/").json_body
    assert document["openapi"] == "3.1.0" and document["info"]["version"] == __version__ == index["version"]
    assert set(document["paths"]) | {"/", "/metrics"} == set(index["routes"]) == set(predict_app.app.routes)
    assert document["components"]["schemas"]["Features"]["required"] == list(FEATURE_NAMES)


def test_misconfigured_process_answers_503_and_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A process without parameters or cloud does not crash; it tells what is missing."""
    service.install(None)
    monkeypatch.setenv("CRYPTOVOL_PARAMS", str(tmp_path / "absent.yaml"))
    answer = Client(predict_app.app).http.get("/")
    assert_problem(answer, 503, "config")
