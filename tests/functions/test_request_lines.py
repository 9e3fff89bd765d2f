"""The API's line per request: it carries the caller's trace, obeys the level, and holds nothing of the body."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.api import Api

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
ROOT = "1-5759e988-bd862e3fe1be46a994272793"


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """Return what was logged for requests."""
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return [line for line in found if line.get("message") == "request"]


def test_request_line_carries_the_callers_trace(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    """Both headers' ids stand beside the request's own, whatever their letters' case."""
    answer = api.post({"symbol": "BTC"}, traceparent=PARENT, **{"X-Amzn-Trace-Id": f"Root={ROOT};Sampled=0"})
    (line,) = lines(capsys)
    assert (line["traceparent"], line["xray_trace_id"]) == (PARENT, ROOT)
    assert line["request_id"] == answer.headers["X-Request-Id"]


def test_trace_of_another_form_is_not_logged(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    """A header is a caller's text: what is no trace stays out."""
    api.post({"symbol": "BTC"}, traceparent="planted text", **{"x-amzn-trace-id": "Root=planted"})
    (line,) = lines(capsys)
    assert "planted" not in json.dumps(line)


def test_level_silences_requests_that_went_well(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    """With WARNING no line is written per request, and the request is still counted."""
    api.open(CRYPTOVOL_LOG_LEVEL="warning")
    assert api.post({"symbol": "BTC"}).status_code == 200
    assert lines(capsys) == [] and api.meter.total("http_requests_total") == 1


def test_body_is_in_no_line(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    """What a caller sends in a body, well-formed or not, is written nowhere."""
    api.post({"symbol": "PLANTED", "explain": "planted"})
    api.post(b'{"planted":')
    out, err = capsys.readouterr()
    assert "planted" not in (out + err).lower()
