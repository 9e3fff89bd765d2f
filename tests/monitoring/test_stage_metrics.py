"""Every stage that a function runs counts its outcomes and seconds, and, when it ended well, its rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cryptovol import edge, params, settings, wiring
from cryptovol.adapters.telemetry import MemoryMeter
from cryptovol.testing import MemoryStore

EVENT = {"symbol": "BTC", "quote": "USD", "as_of": "2025-05-01T00:00:00Z", "run_id": "r1"}
EMPTY: dict[str, Any] = {  # what stages are counted by, with nothing in it
    "rows_revised": 0, "rows_repaired": 0, "last": EVENT["as_of"], "findings": {}, "models": {}, "live": [],
    "drift": {}, "matured": {}, "matured_late": {},
}  # fmt: skip


def crash(*_: object) -> None:
    """Fail by a slip of the code's."""
    raise ZeroDivisionError


@pytest.mark.parametrize("stage", sorted(edge.ROWS))
def test_every_stage_counts_runs_seconds_and_rows(stage: str) -> None:
    """One run that ends well and one that crashes are two runs, two durations, and one number of rows."""
    ports = wiring.Ports(settings.load({}), params.load(Path("params.yaml")), clock=lambda: 1_746_057_600)
    meter = MemoryMeter()
    ports.__dict__.update(store=MemoryStore(), meter=meter)
    result = {**EMPTY, "rows_new": 0, edge.ROWS[stage]: 7}
    edge.stage_handler(stage, lambda event, *_: event.result(**result), lambda: ports)(EVENT, None)
    with pytest.raises(ZeroDivisionError):
        edge.stage_handler(stage, crash, lambda: ports)(EVENT, None)
    assert meter.total("stage_runs_total", stage=stage, outcome="done") == 1
    assert meter.total("stage_runs_total", stage=stage, outcome="failed") == 1
    assert sum(name == "stage_duration_seconds" for name, *_ in meter.values) == 2
    assert meter.total("stage_rows", stage=stage, series="btc-usd") == 7


def test_every_function_is_a_stage_that_is_counted() -> None:
    """No function of the pipeline runs beside the edge, where nothing would count it."""
    functions = {path.parent.name: path.read_text(encoding="utf-8") for path in Path("functions").glob("*/handler.py")}
    assert len(functions) >= 6
    assert all(name in edge.ROWS and "stage_handler(" in text for name, text in functions.items())
