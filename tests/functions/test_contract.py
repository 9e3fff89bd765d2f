"""The published contract against the running API: what schemathesis makes of it, over real sockets."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import app as predict_app
import pytest
import schemathesis
from chalice.config import Config
from chalice.local import LocalChalice
from chalicelib import access, openapi, service
from openapi_spec_validator import validate
from schemathesis import engine
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import Status, events

from cryptovol.cloud.gateway import Gateway
from cryptovol.cloud.local import Server
from cryptovol.params import Params
from tests import contract
from tests.api import serving
from tests.served import MARKET

KEY = "a key of this test's own"
CASES = 2000
SETTINGS = {
    "seed": 20250501,
    "headers": {"x-api-key": KEY},
    "generation": {"max-examples": 250, "database": "none"},
    # 422 is right for bars in the wrong order, for a level that is not calibrated, for an hour before the first bar:
    # no JSON schema can say so. Everything else that the contract allows must be answered, and never with a 5xx.
    "checks": {"positive_data_acceptance": {"expected-statuses": ["2xx", "304", "404", "422"]}},
    "phases": {"stateful": {"enabled": False}},  # no route makes what another needs
}


@pytest.fixture
def url(params: Params) -> Iterator[str]:
    """Return the address of the API with keys, over Chalice's gateway and our server, with something on every route."""
    made = serving(params)
    board = {"as_of": "2025-05-01T00:00:00Z", "market": MARKET, "series": "btc-usd", "horizons": {}}
    made.store.put(f"scoreboard/{MARKET}/btc-usd/latest.json", json.dumps(board).encode())
    made.open(CRYPTOVOL_API_KEY_SHA256=hashlib.sha256(KEY.encode()).hexdigest(), CRYPTOVOL_RATE_PER_MINUTE="0")
    plain = predict_app.app.__class__
    predict_app.app.__class__ = LocalChalice
    server = Server(Gateway(predict_app.app, Config()), "127.0.0.1", 0)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.finish()
    predict_app.app.__class__ = plain
    service.install(None)


class Run:
    """What came of a run: how many cases, which answers, and what was wrong."""

    def __init__(self, url: str) -> None:
        self.cases = 0
        self.statuses: Counter[tuple[str, int]] = Counter()
        self.faults: list[str] = []
        config = SchemathesisConfig.from_dict(SETTINGS)
        schema = schemathesis.openapi.from_url(f"{url}/openapi.json", config=config, headers={"x-api-key": KEY})
        for event in engine.from_schema(schema).execute():
            if isinstance(event, events.ScenarioFinished):
                self._count(event.recorder)
            elif isinstance(event, events.NonFatalError | events.FatalError):
                self.faults.append(repr(event))

    def _count(self, recorder: Any) -> None:
        self.cases += len(recorder.cases)
        for found in recorder.interactions.values():
            self.statuses[recorder.label, found.response.status_code if found.response else 0] += 1
        for check in (check for checks in recorder.checks.values() for check in checks):
            if check.status == Status.FAILURE:
                told = check.failure_info
                self.faults.append(f"{recorder.label} {check.name}: {told.failure} {told.code_sample[:500]}")


@pytest.mark.filterwarnings("ignore")  # of schemathesis and what it is built on; pytest would make them failures
def test_api_keeps_to_its_published_contract_in_two_thousand_cases(url: str) -> None:
    """Valid and invalid requests to every route: no undocumented status, type or member, no 5xx, no open door."""
    run = Run(url)
    assert not run.faults, "\n".join(run.faults[:10])
    assert run.cases >= CASES
    assert not {found for found in run.statuses if found[1] >= 500 or found[1] == 0}
    answered = {label for label, status in run.statuses if status == 200}
    assert answered >= {
        "POST /predict",
        "GET /forecast/{symbol}",
        "GET /model",
        "GET /health",
        "GET /scoreboard/{symbol}",
    }


def test_published_document_is_openapi() -> None:
    """The document is valid OpenAPI 3.1, and each example in it is valid by its own schema."""
    document = json.loads(openapi.encoded())
    validate(document)
    media = document["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]
    assert len(media["examples"]) >= 4
    for example in media["examples"].values():
        assert not contract.faults(media["schema"], example["value"])
    operations = [operation for entries in document["paths"].values() for operation in entries.values()]
    answers = [answer for operation in operations for answer in operation["responses"].values()]
    shown = [media for answer in answers for media in answer.get("content", {}).values() if "example" in media]
    assert len(shown) > 40
    for media in shown:
        assert not contract.faults(media["schema"], media["example"])


def test_only_public_routes_ask_for_no_key() -> None:
    """Which routes the contract calls public is what the code lets in without a key."""
    paths = json.loads(openapi.encoded())["paths"]
    assert {
        path for path, entries in paths.items() if next(iter(entries.values())).get("security") == []
    } == access.OPEN
