"""``POST /predict``: every kind of body, every refusal by name."""

from __future__ import annotations

import json
import math
from typing import Any

import app as predict_app
import pytest

from cryptovol.features import FEATURE_NAMES, WARMUP
from cryptovol.times import HOUR
from tests.api import BARS, END, ROW, Api, as_json, assert_problem


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


def test_explained_forecast_is_the_sum_of_its_contributions(api: Api) -> None:
    """`explain` adds each feature's share, and base and shares sum to the logarithm of the forecast, on every route."""
    asked = [api.post({"symbol": "BTC", "explain": True}), api.post({"features": ROW, "explain": True})]
    asked.append(api.get("/forecast/BTC?explain=true"))
    many = api.post({"instances": [ROW, {**ROW, "rv_24": -4.0}], "explain": True}).json_body["predictions"]
    for one in [*(answer.json_body for answer in asked), *many]:
        told = one["contributions"]
        total = told["base"] + sum(told["features"].values())
        assert math.exp(total) == pytest.approx(one["volatility"], rel=1e-9) and len(told["features"]) == 36
    assert "contributions" not in api.post({"features": ROW}).json_body
    assert "contributions" not in api.post({"symbol": "BTC", "explain": False}).json_body


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"content_type": "text/csv"}, "unsupported_media_type"),
        ({"content_type": "application/x-www-form-urlencoded"}, "unsupported_media_type"),
        ({"content_type": "application/json; charset=latin-1"}, "unsupported_charset"),
        ({"content_type": "application/json;charset=utf-16"}, "unsupported_charset"),
        ({"content_encoding": "gzip"}, "unsupported_encoding"),
        ({"content_encoding": "identity, br"}, "unsupported_encoding"),
    ],
)
def test_body_in_another_wrapping_is_refused_unread(api: Api, headers: dict[str, str], code: str) -> None:
    """Another type, charset or compression is a 415 with its own code, whatever the bytes are."""
    assert_problem(api.post(b"\x1f\x8b", **headers), 415, code)


@pytest.mark.parametrize(
    "headers",
    [
        {"content_type": 'Application/JSON; charset="UTF-8"'},
        {"content_type": "application/json;charset=utf8; v=1"},
        {"content_encoding": "identity"},
        {"content_encoding": ""},
    ],
)
def test_body_in_a_harmless_wrapping_is_read(api: Api, headers: dict[str, str]) -> None:
    """UTF-8 said aloud, in any case, and no encoding said aloud, are what is expected."""
    assert api.post({"features": ROW}, **headers).status_code == 200


def test_look_back_before_the_first_bar_is_the_callers_own(api: Api) -> None:
    """Too few bars are our fault for a forecast of now, and the caller's for an hour that the caller chose."""
    assert_problem(api.post({"symbol": "BTC", "as_of": 86_400}), 422, "not_enough_bars")
    assert_problem(api.get("/forecast/BTC?as_of=1000000000"), 422, "not_enough_bars")


def test_body_that_a_gateway_wrapped_wrongly_is_malformed(api: Api) -> None:
    """A body that cannot be unwrapped, or is no text that UTF-8 could hold, is a 400 and not our failure."""
    event = {
        "requestContext": {"httpMethod": "POST", "resourcePath": "/predict"}, "headers": {}, "pathParameters": {},
        "stageVariables": {}, "multiValueQueryStringParameters": None,
    }  # fmt: skip
    for wrapped in ({"body": "\ud800"}, {"body": "e", "isBase64Encoded": True}, {"body": "é", "isBase64Encoded": True}):
        answer = predict_app.app({**event, **wrapped}, None)
        assert (answer["statusCode"], json.loads(answer["body"])["code"]) == (400, "malformed")


def test_largest_batch_is_answered_row_by_row(api: Api) -> None:
    """A thousand rows are one answer with a thousand forecasts, in the order they were sent."""
    rows = [{**ROW, "rv_24": -5.0 + i / 1000} for i in range(1000)]
    found = api.post({"instances": rows}).json_body["predictions"]
    volatilities = [one["volatility"] for one in found]
    assert len(found) == 1000 and volatilities == sorted(set(volatilities))
    assert volatilities[0] == api.post({"features": rows[0]}).json_body["volatility"]
