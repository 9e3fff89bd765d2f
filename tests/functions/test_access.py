"""Who may call the API: keys by name, rates, and the secret's outages."""

from __future__ import annotations

import hashlib

import app as predict_app
import pytest
from chalice.test import Client
from chalicelib import access, service
from chalicelib.problems import Problem

from cryptovol.errors import ConfigError
from cryptovol.settings import load
from tests.api import Api, assert_problem
from tests.keyed import KEYED, KEYS, away

ASK = {"symbol": "BTC"}


@pytest.mark.parametrize("key", [None, "", "wrong", "key-of-the-des", hashlib.sha256(b"key-of-the-desk").hexdigest(),
                                 "k" * 5000, "schlüssel", " key-of-the-desk"])  # fmt: skip
def test_only_a_key_itself_opens(api: Api, key: str | None) -> None:
    """A missing, wrong, cut, over-long or hashed key is 401, in the same words for all of them."""
    api.open(**KEYED)
    problem = assert_problem(api.post(ASK, **({} if key is None else {"x-api-key": key})), 401, "unauthorized")
    assert problem["detail"] == "send a valid key in the header x-api-key"


def test_each_key_opens_every_route_and_open_routes_ask_for_none(api: Api) -> None:
    """A key is for the whole API; page, health, metrics and contract need none, even with a wrong one."""
    api.open(**KEYED)
    for key in KEYS.values():
        assert api.post(ASK, **{"x-api-key": key}).status_code == 200
        assert api.get("/model", **{"x-api-key": key}).status_code == 200
    for headers in ({}, {"x-api-key": "wrong"}):
        assert [api.get(path, **headers).status_code for path in ("/", "/health", "/openapi.json")] == [200] * 3


def test_every_route_that_is_not_named_open_asks_for_a_key(api: Api) -> None:
    """A route added later is closed until somebody opens it on purpose."""
    api.open(**KEYED)
    for path, entries in predict_app.app.routes.items():
        for method in entries:
            headers = {"content-type": "application/json"}
            status = api.client.request(method, path.format(symbol="BTC"), headers=headers, body=b"{}").status_code
            assert (status == 401) is (path not in access.OPEN), (method, path)


def test_rate_is_per_key_and_told_with_the_wait(api: Api) -> None:
    """A key that asks too often is 429 with Retry-After; another key and the open routes go on."""
    api.open(**KEYED, CRYPTOVOL_RATE_PER_MINUTE="1", CRYPTOVOL_RATE_BURST="2")
    desk, bot = ({"x-api-key": key} for key in KEYS.values())
    assert [api.post(ASK, **desk).status_code for _ in range(2)] == [200, 200]
    refused = api.post(ASK, **desk)
    assert_problem(refused, 429, "rate_limited")
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    assert (api.post(ASK, **bot).status_code, api.get("/health").status_code) == (200, 200)
    assert api.meter.total("http_requests_total", status="429") == 1


def test_open_api_limits_addresses_only_if_that_is_set(api: Api) -> None:
    """On one's own machine nothing is limited by default; a rate that is set counts by source address."""
    api.open()
    assert {api.post(ASK).status_code for _ in range(200)} == {200}
    api.open(CRYPTOVOL_RATE_PER_MINUTE="1", CRYPTOVOL_RATE_BURST="1")
    assert [api.post(ASK).status_code for _ in range(2)] == [200, 429]
    door = access.open_access(load({"CRYPTOVOL_RATE_PER_MINUTE": "1"}), failed=print)
    assert [door.admit("/predict", None, address) for address in ("10.0.0.1", "10.0.0.2")] == ["10.0.0.1", "10.0.0.2"]


def test_keys_have_a_rate_even_if_none_is_set_and_zero_takes_it_off() -> None:
    """A keyed API has its default rate; 0 is the way to say no limit."""
    usual = access.open_access(load(KEYED), failed=print)
    burst = access.RATE_PER_MINUTE * access.BURST_SECONDS // 60
    with pytest.raises(Problem) as caught:
        for _ in range(burst + 20):
            usual.admit("/predict", KEYS["bot"], "")
    assert caught.value.status == 429
    unlimited = access.open_access(load({**KEYED, "CRYPTOVOL_RATE_PER_MINUTE": "0"}), failed=print)
    assert {unlimited.admit("/predict", KEYS["bot"], "") for _ in range(burst + 20)} == {"bot"}


def test_secret_that_cannot_be_read_is_503_and_never_open() -> None:
    """Keys that are configured and unreadable admit nobody, with or without a key, and say when to come again."""
    told: list[Exception] = []
    door = access.open_access(load({"CRYPTOVOL_API_KEYS_SECRET": "api-keys"}), failed=told.append, reader=away)
    with pytest.raises(Problem) as caught:
        door.admit("/predict", "anything", "10.0.0.1")
    assert (caught.value.status, caught.value.code, caught.value.headers) == (
        503, "keys_unavailable", {"Retry-After": "5"},
    )  # fmt: skip
    with pytest.raises(Problem) as caught:
        door.admit("/predict", None, "10.0.0.1")
    assert caught.value.status == 401 and not door.open and len(told) == 1


@pytest.mark.parametrize("more", [{}, {"CRYPTOVOL_RATE_PER_MINUTE": "5"}])
def test_aws_without_keys_does_not_open(more: dict[str, str]) -> None:
    """On AWS an API that nobody needs a key for is a fault of configuration, and the message has the cure."""
    with pytest.raises(ConfigError, match="cryptovol keys new"):
        access.open_access(load({"CRYPTOVOL_CLOUD": "aws", **more}), failed=print)
    assert not access.open_access(load({"CRYPTOVOL_CLOUD": "aws", **KEYED}), failed=print).open


def test_process_on_aws_without_keys_answers_503_on_every_route(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even health pretends to be well; the answer names what to set."""
    service.install(None)
    monkeypatch.setenv("CRYPTOVOL_CLOUD", "aws")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    for path in ("/model", "/health", "/openapi.json"):
        problem = assert_problem(Client(predict_app.app).http.get(path), 503, "config")
        assert "CRYPTOVOL_API_KEYS_SECRET" in problem["detail"]
    service.install(None)


@pytest.mark.parametrize(
    ("name", "value"),
    [("CRYPTOVOL_RATE_PER_MINUTE", "-1"), ("CRYPTOVOL_RATE_PER_MINUTE", "many"), ("CRYPTOVOL_RATE_BURST", "0"),
     ("CRYPTOVOL_API_KEY_SHA256", "the key itself"), ("CRYPTOVOL_CORS_ORIGIN", "*"),
     ("CRYPTOVOL_CORS_ORIGIN", "https://desk.example/path"), ("CRYPTOVOL_CORS_ORIGIN", "https://a.example, https://b.example")],
)  # fmt: skip
def test_settings_that_would_be_misread_are_refused(name: str, value: str) -> None:
    """A wrong number, digest or origin is told by its name; nothing is guessed."""
    with pytest.raises(ConfigError, match=name):
        load({name: value})
