"""API Gateway's authorizer: what it answers, where it is attached, and that it agrees with the app behind it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import app as predict_app
import pytest
from chalice.app import AuthRequest, Chalice
from chalice.test import Client
from chalicelib import access, guard, service
from chalicelib.problems import Problem

from cryptovol import keyring
from cryptovol.settings import load
from tests.api import Api, assert_problem
from tests.keyed import KEYED, KEYS, SETTING, away

ARN = "arn:aws:execute-api:eu-central-1:123456789012:api/prod/POST/predict"


def asked(token: str) -> dict[str, Any]:
    """Return what the authorizer answers to API Gateway."""
    return guard.authorize(AuthRequest("TOKEN", token, ARN)).to_dict(AuthRequest("TOKEN", token, ARN))


def test_authorizer_lets_a_key_through_to_every_route_and_refuses_any_other(api: Api) -> None:
    """A valid key gets a policy for the whole stage, under its name; any other is the error API Gateway makes 401."""
    api.open(**KEYED)
    answer = asked(KEYS["desk"])
    (statement,) = answer["policyDocument"]["Statement"]
    assert answer["principalId"] == "desk" and statement["Effect"] == "Allow"
    assert statement["Resource"] == ["arn:aws:execute-api:eu-central-1:123456789012:api/prod/*/*"]
    for token in ("", "wrong", keyring.digest(KEYS["desk"])):
        with pytest.raises(access.Unauthorized, match="^Unauthorized$"):
            asked(token)


def test_authorizer_leaves_an_outage_to_the_app_to_tell() -> None:
    """Keys that cannot be read are no wrong key: the call goes on to the app, which refuses it with 503."""
    door = access.open_access(load({"CRYPTOVOL_API_KEYS_SECRET": "api-keys"}), failed=lambda error: None, reader=away)
    assert access.authorized(door, "anything") == ""
    with pytest.raises(Problem):
        door.admit("/predict", "anything", "")


def test_authorizer_leaves_a_missing_setting_to_the_app_to_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    """On AWS without keys the call goes on, under nobody's name, to the app that refuses it with the cure."""
    service.install(None)
    monkeypatch.setenv("CRYPTOVOL_CLOUD", "aws")
    assert asked("anything")["principalId"] == guard.UNDECIDED
    assert_problem(Client(predict_app.app).http.get("/model", headers={"x-api-key": "anything"}), 503, "config")
    service.install(None)


def test_authorizer_decides_from_the_environment_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a process that answers no requests neither store nor models are opened."""
    service.install(None)
    monkeypatch.setenv("CRYPTOVOL_API_KEY_SHA256", SETTING)
    monkeypatch.setattr(service, "open_ports", lambda: pytest.fail("the authorizer opened the store"))
    assert asked(KEYS["bot"])["principalId"] == "bot"
    service.install(None)


PACKAGED = """
ARN = "arn:aws:lambda:eu-central-1:123456789012:function:api"
import json
import app
from chalice.deploy.swagger import SwaggerGenerator
functions = {f"api-{auth.name}": {"arn": ARN + auth.name} for auth in app.app.builtin_auth_handlers}
made = SwaggerGenerator("eu-central-1", {"api_handler_name": "api", "api_handler_arn": ARN, "lambda_functions": functions})
handlers = [auth.handler_string for auth in app.app.builtin_auth_handlers]
print(json.dumps({"document": made.generate_swagger(app.app), "handlers": handlers}))
"""


def packaged(**environ: str) -> dict[str, Any]:
    """Return what Chalice tells API Gateway of the app in a fresh interpreter."""
    program = "import sys; sys.path.insert(0, 'functions/predict')\n" + PACKAGED
    done = subprocess.run([sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def test_packaged_for_aws_api_gateway_asks_for_the_key_where_the_app_does() -> None:
    """On AWS exactly the routes that are not open are guarded, by the header x-api-key; elsewhere none is."""
    made = packaged(CRYPTOVOL_CLOUD="aws")
    (definition,) = made["document"]["securityDefinitions"].values()
    assert (definition["name"], definition["type"], made["handlers"]) == ("x-api-key", "apiKey", ["app.authorize"])
    for path, methods in made["document"]["paths"].items():
        for method, told in methods.items():
            assert bool(told.get("security")) is (path not in access.OPEN), (method, path)
    local = packaged()
    assert "securityDefinitions" not in local["document"] and local["handlers"] == []


def test_authorizer_is_found_by_the_name_chalice_gives_it() -> None:
    """Chalice's handler string names an attribute of app.py."""
    other = Chalice(app_name="other")
    found = guard.authorizer(other, {"CRYPTOVOL_CLOUD": "aws"})
    assert found is not None and found.config.handler_string == "app.authorize" and hasattr(predict_app, "authorize")
    assert guard.authorizer(Chalice(app_name="other"), {}) is None


GATEWAY = """
import json, sys
from cryptovol.cloud.gateway import Asked, load
gateway = load()
for key in json.loads(sys.argv[1]):
    asked = Asked("GET", "/model?horizon_hours=7", {"x-api-key": key} if key else {})
    answer = gateway.answer(asked)
    print(json.dumps([answer.status, json.loads(answer.body)["code"], dict(answer.headers)]))
"""


def test_gateway_with_the_authorizer_refuses_before_the_app_and_lets_a_key_through() -> None:
    """As on AWS, but in the local gateway: no key and a wrong one are 401 problems and the app logs nothing of them."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "CRYPTOVOL_"))}
    cloud = {"CRYPTOVOL_CLOUD": "aws", "AWS_DEFAULT_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "x",
             "AWS_SECRET_ACCESS_KEY": "x"}  # fmt: skip
    command = [sys.executable, "-c", GATEWAY, json.dumps([None, "wrong", KEYS["desk"]])]
    done = subprocess.run(
        command, env={**plain, **cloud, **KEYED}, capture_output=True, text=True, check=True, timeout=60
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    answers = [line for line in lines if isinstance(line, list)]
    assert [tuple(answer[:2]) for answer in answers] == [(401, "unauthorized")] * 2 + [(422, "invalid_value")]
    assert all(answer[2]["X-Frame-Options"] == "DENY" for answer in answers)
    logged = [line for line in lines if isinstance(line, dict) and line.get("message") == "request"]
    assert [(line["status"], line["caller"]) for line in logged] == [("422", "desk")]
