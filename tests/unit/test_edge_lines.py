"""The stages' log: start and outcome are one line each, with every id, and nothing that is nobody's business."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cryptovol import cost, edge, params, settings, wiring
from cryptovol.adapters.telemetry import MemoryMeter
from cryptovol.errors import CryptovolError, GateRefusedError, StoreUnavailableError
from cryptovol.testing import MemoryStore

SECRET = "k3y-of-a-customer"
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
EVENT = {"symbol": "BTC", "quote": "USD", "as_of": "2025-05-01T00:00:00Z", "run_id": "r1", "note": SECRET}
CONTEXT = SimpleNamespace(aws_request_id="inv-7")
Lines = list[dict[str, Any]]


def ports(**environ: str) -> wiring.Ports:
    """Return ports on fakes, but for the log, in an environment that holds a secret."""
    environ = {"CRYPTOVOL_CRYPTOCOMPARE_KEY": SECRET, **environ}
    found = wiring.Ports(settings.load(environ), params.load(Path("params.yaml")), clock=lambda: 1_746_057_600)
    found.__dict__.update(store=MemoryStore(), meter=MemoryMeter())
    return found


@pytest.fixture(autouse=True)
def uncounted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what each stage's result is counted by: the lines do not depend on it."""
    monkeypatch.setattr(edge, "_count", lambda *_: None)


def done(event: Any, ports: Any, params: Any) -> dict[str, Any]:
    """Return the event's own result."""
    result: dict[str, Any] = event.result(rows=1)
    return result


def run(stage: str, step: Any, on: wiring.Ports, text: Any, event: Mapping[str, Any] = EVENT) -> Lines:
    """Run a stage as Lambda does and return its log lines."""
    try:
        edge.stage_handler(stage, step, lambda: on)(event, CONTEXT)
    except (CryptovolError, ZeroDivisionError):
        pass
    printed = text.readouterr().out
    assert SECRET not in printed
    return [json.loads(line) for line in printed.splitlines()]


@pytest.mark.parametrize("stage", sorted(edge.ROWS))
def test_every_stage_logs_start_and_outcome(stage: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Two lines, both with run, invocation, stage and symbol; the second with outcome and seconds."""
    start, end = run(stage, done, ports(), capsys)
    ids = {"stage": stage, "symbol": "BTC", "quote": "USD", "run_id": "r1", "request_id": "inv-7", "level": "INFO"}
    assert ids.items() <= start.items() and ids.items() <= end.items()
    assert (start["message"], end["message"], end["outcome"]) == ("stage started", "stage done", "done")
    assert end["seconds"] >= 0 and "code" not in end and "outcome" not in start


def refuse(*_: object) -> None:
    """Refuse a batch, quoting what must not be logged."""
    raise GateRefusedError(f"refused {SECRET}", [SECRET])


def crash(*_: object) -> None:
    """Fail by a slip of the code's, quoting what must not be logged."""
    raise ZeroDivisionError(SECRET)


@pytest.mark.parametrize(("step", "outcome", "code"), [(refuse, "refused", "gate_refused"), (crash, "failed", "crash")])
def test_failure_is_an_error_line_with_its_code(
    step: Any, outcome: str, code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The code leads to the cure; the message, which may quote a market's answer, stays in the status object."""
    *_, end = run("validate", step, ports(), capsys)
    assert (end["level"], end["outcome"], end["code"]) == ("ERROR", outcome, code)


def test_store_that_is_away_is_logged_as_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    """Even the run whose status object cannot be written has its outcome in the log."""

    def away(key: str, data: bytes) -> None:
        raise StoreUnavailableError("away")

    on = ports()
    on.__dict__["store"] = SimpleNamespace(put=away)
    *_, end = run("ingest", done, on, capsys)
    assert (end["outcome"], end["code"]) == ("failed", StoreUnavailableError.code)


def test_level_leaves_out_what_went_well(capsys: pytest.CaptureFixture[str]) -> None:
    """With ERROR a good run is silent and a refusal is one line."""
    on = ports(CRYPTOVOL_LOG_LEVEL="error")
    assert run("ingest", done, on, capsys) == []
    assert [line["outcome"] for line in run("validate", refuse, on, capsys)] == ["refused"]


def test_trace_of_the_event_is_logged_and_handed_on(capsys: pytest.CaptureFixture[str]) -> None:
    """A traceparent in the first event is in every line, and in the result that the next stage is given."""
    event = {**EVENT, "traceparent": PARENT}
    lines = run("featurize", done, ports(), capsys, event)
    assert [line["traceparent"] for line in lines] == [PARENT, PARENT]
    assert edge.stage_handler("featurize", done, ports)(event, None)["traceparent"] == PARENT


def test_invocation_is_metered_in_gb_seconds_and_dollars(capsys: pytest.CaptureFixture[str]) -> None:
    """A training's seconds count twice, for its 2 GB; a step that is no function costs nothing."""
    on = ports()
    _, end = run("train", done, on, capsys)
    meter: Any = on.meter
    gb_seconds = meter.total("stage_gigabyte_seconds_total", stage="train")
    assert 2 * (end["seconds"] - 1e-4) <= gb_seconds <= 2 * (end["seconds"] + 0.0011)
    price = on.params.cost
    expected = gb_seconds * price.gb_second_x86 + price.million_requests / 1e6
    assert meter.total("stage_cost_usd_total", stage="train") == pytest.approx(expected)
    run("version", done, on, capsys)
    assert "version" in cost.UNBILLED and meter.total("stage_gigabyte_seconds_total", stage="version") == 0


def test_unknown_level_is_refused() -> None:
    """A typing error is told at the start, with the levels there are."""
    with pytest.raises(CryptovolError, match="DEBUG, INFO, WARNING, ERROR"):
        settings.load({"CRYPTOVOL_LOG_LEVEL": "LOUD"})
