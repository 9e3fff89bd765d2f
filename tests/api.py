"""The forecast API in this process, over a store in memory; every answer is held against the published contract."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import Any

import app as predict_app
from chalice.local import RouteMatcher
from chalice.test import Client, HTTPResponse
from chalicelib import bodies, decoding, service
from chalicelib.problems import Problem

from cryptovol.adapters.telemetry import MemoryMeter, logger
from cryptovol.bars import Bars
from cryptovol.features import FEATURE_NAMES
from cryptovol.held import at_once
from cryptovol.params import Params
from cryptovol.ports import Journal, Meter
from cryptovol.settings import load
from cryptovol.stages.predict import Forecaster
from cryptovol.testing import MemoryStore, make_bars
from cryptovol.times import HOUR, format_instant
from tests import contract
from tests.served import MARKET, make_bundle, promote, put_bars

BARS = make_bars(800, seed=5)
END = int(BARS.time[-1]) + HOUR
ROW = dict.fromkeys(FEATURE_NAMES, 0.0) | {"rv_24": -5.0}
JSON = {"content-type": "application/json"}
ROUTES = RouteMatcher(list(predict_app.app.routes))


class Api:
    """The app over a store in memory; a test may move the clock and change the settings."""

    def __init__(self, params: Params, meter: Meter | None = None, journal: Journal | None = None) -> None:
        self.store = MemoryStore()
        self.meter = MemoryMeter()
        self.params = params
        self.now = END + 600
        self.client = Client(predict_app.app).http
        self._meter = meter or self.meter
        self._journal = journal
        self.open()

    def open(self, **environ: str) -> None:
        """Install a service with the given environment."""
        settings = replace(load(environ), market=MARKET)
        forecaster = Forecaster(
            self.store, market=MARKET, params=self.params, clock=lambda: self.now, meter=self._meter,
            journal=self._journal, start=at_once,
        )  # fmt: skip
        log = logger("test-predict-app", io.StringIO())
        parts = (settings, self.params, self.store, self._meter, lambda: self.now, forecaster, log)
        service.install(service.Service(*parts))

    def request(self, method: str, path: str, headers: dict[str, str], body: bytes = b"") -> HTTPResponse:
        """Return the answer to any request to a route that exists."""
        answer = self.client.request(method, path, headers=headers, body=body)
        template = ROUTES.match_route(path).route
        contract.check(method, template, status=answer.status_code, headers=answer.headers, body=answer.body)
        return answer

    def get(self, path: str, **headers: str) -> HTTPResponse:
        """Return the answer to a GET."""
        return self.request("GET", path, headers)

    def post(self, body: Any, **headers: str) -> HTTPResponse:
        """Return the answer to ``POST /predict``; header names may be written with ``_`` for ``-``."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.request("POST", "/predict", {**JSON, **named}, raw)


def serving(params: Params, meter: Meter | None = None, journal: Journal | None = None) -> Api:
    """Return the API with fresh bars and a champion per horizon."""
    made = Api(params, meter, journal)
    put_bars(made.store, BARS)
    for horizon in (6, 24):
        promote(made.store, make_bundle(horizon=horizon, trained_at=format_instant(END)))
    return made


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


def parsed(raw: bytes) -> bodies.Request | Problem:
    """Return what the bytes of a body become; nothing else may come of them."""
    try:
        return bodies.request(decoding.decode(raw), symbols=("BTC",), quote="USD", request_id="r")
    except Problem as problem:
        assert problem.status in (400, 413, 422)
        assert not contract.faults(contract.component("ProblemDocument"), json.loads(problem.response("r").body))
        return problem


def refused(raw: bytes) -> Problem:
    """Return the problem of a body that must be refused."""
    found = parsed(raw)
    assert isinstance(found, Problem)
    return found
