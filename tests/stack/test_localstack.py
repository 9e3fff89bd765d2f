"""The main job on LocalStack, as a user runs it: its S3, its Lambda with our executor, its API Gateway."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml

from cryptovol import cli, keyring
from cryptovol.cloud import apigateway, deploy, environs, localstack
from cryptovol.testing import make_bars
from cryptovol.times import HOUR, format_instant

from tests.browser import CHROMIUM, Browser
from tests.lane import Answer, copy_project, environ, report, stages, stop, write_bars

pytestmark = [
    pytest.mark.stack,
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        not Path(localstack.VENV, ".ready").exists(),
        reason="LocalStack is not installed; `make test-localstack` installs it (about 500 MB) and runs this",
    ),
]
BARS = make_bars(2330, seed=3)
AS_OF = format_instant(int(BARS.time[-1]) + HOUR)
KEY = "cvk_a-key-of-this-test"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a copy of the project with small parameters, a bar file and no state."""
    folder = copy_project(tmp_path_factory.mktemp("project") / "cryptovol")
    body = yaml.safe_load((folder / "params.yaml").read_text(encoding="utf-8"))
    body["ingest"]["history_hours"] = 2300
    body["train"].update(window_hours=540, refit_hours=180, least_rows=400)
    body["train"]["forest"].update(trees=20, min_child_weight=20)
    body["promotion"]["least_rows"] = 200
    (folder / "params.yaml").write_text(yaml.safe_dump(body), encoding="utf-8")
    write_bars(folder / "bars.csv.gz", BARS)
    yield folder
    stop(folder)


def verb(project: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a verb of the command line in the project."""
    return subprocess.run(
        [sys.executable, "-m", "cryptovol", *words, "--json"], cwd=project, env=environ(project) | more,
        capture_output=True, text=True, timeout=400, check=False,
    )  # fmt: skip


def up(project: Path, **more: str) -> dict[str, Any]:
    """Bring the lane up and return where everything is."""
    done = verb(project, "up", "--lane", "localstack", **more)
    assert done.returncode == 0, done.stderr
    return report(done)


@pytest.fixture(scope="module")
def lane(project: Path) -> dict[str, Any]:
    """Return the addresses of a lane that is up, with a secret in the caller's environment."""
    return up(project, A_SECRET="shh")


@pytest.fixture(scope="module")
def ran(project: Path, lane: dict[str, Any]) -> dict[str, Any]:
    """Return what a run of the DAG on it ended with."""
    done = verb(project, "run", "--once", "--lane", "localstack", "--as-of", AS_OF, A_SECRET="shh")
    assert done.returncode == 0, done.stderr
    return report(done)


def asked(**more: Any) -> dict[str, Any]:
    """Return a request for the forecast that the run made."""
    return {"symbol": "BTC", "horizon_hours": 24, "as_of": AS_OF, "allow_stale": True, **more}


def test_the_dag_runs_from_end_to_end(ran: dict[str, Any]) -> None:
    """Every stage is done, and both horizons are forecast behind API Gateway."""
    assert [stage["state"] for stage in stages(ran).values()] == ["done"] * 6
    assert {forecast["horizon_hours"] for forecast in ran["forecasts"]} == {6, 24}
    assert "/_aws/execute-api/" in ran["api_url"]


def test_the_served_number_is_the_offline_one(project: Path, ran: dict[str, Any]) -> None:
    """To the last bit, API Gateway answers what `cryptovol predict` computes from the same bucket here."""
    own = {**environs.cloud(ran["cloud_url"]), "CRYPTOVOL_MARKET": ran["market"]}
    done = verb(project, "predict", "--symbol", "BTC", "--as-of", AS_OF, "--allow-stale", **own)
    assert done.returncode == 0, done.stderr
    offline = {found["horizon_hours"]: found for found in map(json.loads, done.stdout.splitlines())}
    for served in ran["forecasts"]:
        local = offline[served["horizon_hours"]]
        assert (served["volatility"], served["interval"]) == (local["volatility"], local["interval"])
        assert served["model"] == local["model"]


def test_the_served_number_is_the_backtests(
    project: Path, ran: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """To the last bit, it is what an offline backtest over the same bars forecasts for that instant."""
    words = ["--bars", str(project / "bars.csv.gz"), "--params", str(project / "params.yaml"), "--start", AS_OF]
    (served,) = [forecast for forecast in ran["forecasts"] if forecast["horizon_hours"] == 24]
    assert cli.main(["backtest", *words, "--end", AS_OF, "--horizon", "24", "--out", str(tmp_path / "out.csv")]) == 0
    capsys.readouterr()
    (row,) = csv.DictReader((tmp_path / "out.csv").read_text().splitlines())
    assert float(row["prediction"]) == served["volatility"]


@pytest.mark.skipif(not CHROMIUM, reason="no Chromium on PATH")
def test_the_page_finds_its_routes_below_the_stage(ran: dict[str, Any], tmp_path: Path) -> None:
    """In a real browser the page asks under its own address, and no request of it is API Gateway's 403."""
    with Browser(tmp_path) as browser:
        browser.open(ran["api_url"])
        browser.until("document.body.innerText.includes('BTC')")
        answers = [
            event["params"]["response"] for event in browser.events if event["method"] == "Network.responseReceived"
        ]
    asked = {answer["url"].removeprefix(ran["api_url"]): answer["status"] for answer in answers}
    assert any(path.startswith("/forecast/") for path in asked) and 403 not in asked.values(), asked


def test_every_way_of_asking_answers_behind_api_gateway(ran: dict[str, Any]) -> None:
    """A symbol, and with its explanation; the page; the contract: each as the app says it, headers and all."""
    url = ran["api_url"]
    explained = Answer(f"{url}/predict", asked(explain=True))
    assert explained.status == 200 and len(explained.json["contributions"]["features"]) == 36
    page = Answer(f"{url}/", headers={"Accept": "text/html"})
    assert page.status == 200 and page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert (
        "<title>Cryptovol</title>" in page.body.decode("utf-8")
        and "script-src" in page.headers["Content-Security-Policy"]
    )
    assert Answer(f"{url}/openapi.json").json["openapi"] == "3.1.0"


def test_a_stored_forecast_is_not_sent_twice(ran: dict[str, Any]) -> None:
    """The ETag that came with a forecast gets 304, also through API Gateway."""
    where = f"{ran['api_url']}/forecast/BTC?allow_stale=true&as_of={AS_OF}"
    first = Answer(where)
    assert first.status == 200 and first.json["volatility"] > 0
    again = Answer(where, headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status, again.body) == (304, b"")


@pytest.mark.parametrize(
    ("path", "body", "headers", "status", "code"),
    [
        ("/forecast/DOGE", None, {}, 404, "unknown_symbol"),
        ("/predict", {"symbol": "BTC", "horizon": 24}, {}, 422, None),
        ("/predict", {"symbol": "Б"}, {}, 422, "invalid_value"),
        ("/predict", b"\xff\xfe{}", {}, 400, "malformed"),
        ("/predict", b"symbol=BTC", {"Content-Type": "text/plain"}, 415, "unsupported_media_type"),
        ("/predict", b"a" * 1_000_001, {}, 413, "body_too_large"),
    ],
)
def test_refusals_are_problem_documents(
    ran: dict[str, Any], path: str, body: Any, headers: dict[str, str], status: int, code: str | None
) -> None:
    """What the app refuses comes through API Gateway as it is, bytes that are no text too."""
    answer = Answer(ran["api_url"] + path, body, headers)
    assert (answer.status, answer.headers["Content-Type"]) == (status, "application/problem+json")
    assert code in (None, answer.json["code"])


@pytest.mark.parametrize(("method", "path"), [("GET", "/nope"), ("DELETE", "/predict"), ("HEAD", "/health")])
def test_what_has_no_route_never_reaches_the_app(ran: dict[str, Any], method: str, path: str) -> None:
    """API Gateway itself answers 403, as on AWS: no problem document, and no 404 or 405 as on the embedded lane."""
    answer = Answer(ran["api_url"] + path, method=method)
    assert answer.status == 403 and "X-Request-Id" not in answer.headers


def test_health_and_metrics_see_what_functions_print(ran: dict[str, Any]) -> None:
    """The store is reached, and the sidecar has counted requests of the API and bars of the stages."""
    health = Answer(f"{ran['api_url']}/health")
    assert health.status in (200, 503) and health.json["store"] == "ok"  # these bars are old, by the clock
    text = Answer(ran["metrics_url"]).body.decode()
    assert 'http_requests_total{endpoint="/predict",method="POST",status="200"}' in text
    assert 'stage="train"' in text


def test_up_again_changes_nothing_and_a_changed_app_is_deployed(
    project: Path, lane: dict[str, Any], ran: dict[str, Any]
) -> None:
    """The same code leaves functions as they are; with a key set the API asks for it, at the same address."""
    before = _revisions(ran)
    assert up(project, A_SECRET="shh")["api_url"] == lane["api_url"]
    assert _revisions(ran) == before
    keyed = up(project, A_SECRET="shh", CRYPTOVOL_API_KEY_SHA256=f"desk:{keyring.digest(KEY)}")
    assert keyed["api_url"] == lane["api_url"]
    where = f"{keyed['api_url']}/predict"
    for wrong in ({}, {"x-api-key": "another"}):
        refused = Answer(where, asked(), wrong)
        assert (refused.status, refused.json["code"]) == (401, "unauthorized")
    assert Answer(where, asked(), {"x-api-key": KEY}).status == 200
    assert Answer(f"{keyed['api_url']}/openapi.json").status == 200
    _judge(keyed)


def _judge(keyed: dict[str, Any]) -> None:
    """The authorizer, which LocalStack attaches and never asks, lets the right key through and no other."""
    known = {name.lower(): value for name, value in environs.CREDENTIALS.items()}
    gateway = boto3.client("apigateway", endpoint_url=keyed["cloud_url"], region_name=environs.REGION, **known)
    (found,) = gateway.get_authorizers(restApiId=keyed["api_url"].split("/")[-2])["items"]
    gateway.close()
    assert found["identitySource"] == "method.request.header.x-api-key"
    assert f"function:{apigateway.FUNCTION}-authorize/" in found["authorizerUri"]
    _, functions = deploy.clients(keyed["cloud_url"])
    told = []
    for key in (KEY, "another"):
        event = {
            "type": "TOKEN",
            "authorizationToken": key,
            "methodArn": "arn:aws:execute-api:x:0:api/api/POST/predict",
        }
        answer = functions.invoke(FunctionName=f"{apigateway.FUNCTION}-authorize", Payload=json.dumps(event).encode())
        told.append(json.loads(answer["Payload"].read()))
    functions.close()
    assert told[0]["policyDocument"]["Statement"][0]["Effect"] == "Allow" and told[0]["principalId"] == "desk"
    assert told[1]["errorMessage"] == "Unauthorized"


def _revisions(ran: dict[str, Any]) -> dict[str, str]:
    _, functions = deploy.clients(ran["cloud_url"])
    return {f["FunctionName"]: f["RevisionId"] for f in functions.list_functions()["Functions"]}
