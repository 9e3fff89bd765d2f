"""Sixteen threads call the app as Lambda would: what callers got, what is counted, logged and kept is one number."""

from __future__ import annotations

import json
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import app as predict_app
import pytest
from chalice.local import LocalChalice
from chalicelib import service

from cryptovol.adapters.spool import Spool
from cryptovol.adapters.telemetry import EmfMeter
from cryptovol.params import Params
from cryptovol.sidecar import emf
from tests.api import ROW, serving

THREADS, REQUESTS = 16, 5000
Asked = tuple[str, str, Any, int]  # route, method, body, and the status that must come
MIX: list[Asked] = [
    ("/predict", "POST", {"features": ROW}, 200),
    ("/predict", "POST", {"symbol": "BTC"}, 200),
    ("/predict", "POST", {"instances": [ROW, ROW, {**ROW, "gk_1": 100.0}]}, 200),
    ("/predict", "POST", {"symbol": "DOGE"}, 404),
    ("/predict", "POST", {"features": {}}, 422),
    ("/forecast/{symbol}", "GET", None, 200),
    ("/predict", "GET", None, 405),
    ("/predict", "POST", {"symbol": "BTC", "horizon_hours": 6}, 200),
]


class Context:
    """What Lambda gives beside the event, as far as the app looks at it."""

    def __init__(self, request_id: str) -> None:
        self.aws_request_id = request_id


def event(asked: Asked) -> dict[str, Any]:
    """Return the proxy event of a request."""
    route, method, body, _ = asked
    return {
        "requestContext": {"httpMethod": method, "resourcePath": route, "identity": {"sourceIp": "127.0.0.1"}},
        "headers": {"content-type": "application/json"},
        "pathParameters": {"symbol": "BTC"},
        "stageVariables": {},
        "multiValueQueryStringParameters": None,
        "body": None if body is None else json.dumps(body),
        "isBase64Encoded": False,
    }


@pytest.fixture
def threaded() -> Iterator[None]:
    """Have the app keep the current request per thread, as its servers do."""
    plain = predict_app.app.__class__
    predict_app.app.__class__ = LocalChalice
    yield
    predict_app.app.__class__ = plain
    service.install(None)


def test_counts_agree_in_answers_metrics_log_and_journal(
    threaded: None, params: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """80,000 requests: each is answered rightly, counted once, logged once, and kept once if it was a forecast."""
    answered: Counter[tuple[str, str, str]] = Counter()
    given: set[str] = set()
    with (tmp_path / "emf").open("w") as metrics, (tmp_path / "log").open("w") as log:
        meter = EmfMeter(metrics)
        spool = Spool(tmp_path / "spool", meter)
        serving(params, meter, spool)
        monkeypatch.setattr(sys, "stdout", log)
        found = run()
        monkeypatch.undo()
        meter.flush()
        spool.close_file()
    for ids, statuses, wrong in found:
        assert not wrong
        given |= ids
        answered += statuses
    assert sum(answered.values()) == THREADS * REQUESTS
    assert counted(tmp_path / "emf", "http_requests_total") == answered
    assert logged(tmp_path / "log") == answered
    texts = [path.read_text(encoding="utf-8") for path in (tmp_path / "spool").iterdir()]
    records = [json.loads(line) for text in texts for line in text.splitlines()]
    kept = [record["answer"] for record in records if "answer" in record]
    assert len(kept) == len(given) and {answer["request_id"] for answer in kept} == given
    forecasts = sum(len(answer["predictions"]) for answer in kept)
    assert sum(counted(tmp_path / "emf", "model_predictions").values()) == forecasts > len(given)
    assert sum(counted(tmp_path / "emf", "feature_ood_total").values()) == THREADS * REQUESTS // len(MIX)


Outcome = tuple[set[str], Counter[tuple[str, str, str]], list[str]]


def run() -> list[Outcome]:
    """Return, per thread, the ids of the forecasts it got, its answers by route, method and status, and what was wrong."""
    events = [(asked, event(asked)) for asked in MIX]
    outcomes: list[Outcome] = []

    def work(number: int) -> None:
        ids: set[str] = set()
        statuses: Counter[tuple[str, str, str]] = Counter()
        wrong: list[str] = []
        for i in range(REQUESTS):
            (route, method, _, wanted), sent = events[(i + number) % len(events)]
            own = f"{number}-{i}"
            answer = predict_app.app(sent, Context(own))
            status, told = answer["statusCode"], json.loads(answer["body"])["request_id"]
            statuses[route, method, str(status)] += 1
            if status != wanted or told != own:
                wrong.append(f"{route}: {status}, not {wanted}; {told}, not {own}")
            if status == 200:
                ids.add(told)
        outcomes.append((ids, statuses, wrong))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == THREADS
    return outcomes


def counted(path: Path, name: str) -> Counter[tuple[str, ...]]:
    """Return a metric's values by its labels, as the sidecar reads them; a histogram counts its values."""
    found: Counter[tuple[str, ...]] = Counter()
    for line in path.read_bytes().splitlines():
        parsed = emf.parse(line)
        assert parsed.result == "applied"
        for point in parsed.points:
            if point.name == name:
                found[tuple(point.labels)] += len(point.values)
    return found


def logged(path: Path) -> Counter[tuple[str, str, str]]:
    """Return the log's request lines by route, method and status."""
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return Counter((line["endpoint"], line["method"], line["status"]) for line in lines if line["message"] == "request")
