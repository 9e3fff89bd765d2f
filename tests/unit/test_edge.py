"""The edge: status objects, outcomes, and errors that tell their kind on any cloud."""

import json
from pathlib import Path

import pytest

from cryptovol import edge, events, keys, params, settings, wiring
from cryptovol.adapters.telemetry import MemoryMeter
from cryptovol.errors import GateRefusedError, NoNewBarsError
from cryptovol.testing import MemoryStore

EVENT = {"symbol": "BTC", "quote": "USD", "as_of": "2025-05-01T00:00:00Z", "run_id": "r1"}


@pytest.fixture
def ports():
    """Return ports on fakes."""
    found = wiring.Ports(settings.load({}), params.load(Path("params.yaml")), clock=lambda: 1_746_057_600)
    found.__dict__.update(store=MemoryStore(), meter=MemoryMeter())
    return found


def status(ports, stage):
    """Return the status object of a stage."""
    return json.loads(ports.store.objects[keys.run("r1", "btc-usd", stage)])


def test_edge_records_a_finished_stage(ports):
    """The status holds the result, and the next stage finds it there."""
    handler = edge.stage_handler("featurize", lambda e, p, q: e.result(rows_features=7), lambda: ports)
    assert handler(EVENT, None)["rows_features"] == 7
    assert status(ports, "featurize")["state"] == "done"
    found = edge.read_result(ports.store, events.parse(EVENT), "featurize")
    assert found is not None and found["rows_features"] == 7


def test_edge_tags_a_refusal_with_its_code_and_reasons(ports):
    """A gate refusal is `refused`, not retryable, and its reasons are in the status."""

    def refuse(event, ports, params):
        raise GateRefusedError("gate refused btc-usd", ["nulls: 5 of 100"])

    with pytest.raises(GateRefusedError, match=r"^\[gate_refused\] gate refused"):
        edge.stage_handler("validate", refuse, lambda: ports)(EVENT, None)
    assert status(ports, "validate")["state"] == "refused"
    assert status(ports, "validate")["error"]["reasons"] == ["nulls: 5 of 100"]


def test_edge_tells_when_a_stage_last_ended_well(ports):
    """A finished stage gives the clock's time; a failed one leaves the time of the last success as it was."""

    def fail(event, ports, params):
        raise NoNewBarsError("nothing new")

    edge.stage_handler("featurize", lambda e, p, q: e.result(rows_features=7), lambda: ports)(EVENT, None)
    with pytest.raises(NoNewBarsError):
        edge.stage_handler("ingest", fail, lambda: ports)(EVENT, None)
    told = [value for value in ports.meter.values if value[0] == "stage_last_success_timestamp_seconds"]
    labels = {"stage": "featurize", "series": "btc-usd"}
    assert told == [("stage_last_success_timestamp_seconds", 1_746_057_600.0, labels)]


def test_edge_tags_what_may_be_retried(ports):
    """A transient failure says so in its message."""

    def fail(event, ports, params):
        raise NoNewBarsError("nothing new")

    with pytest.raises(NoNewBarsError, match=r"^\[no_new_bars, retryable\] "):
        edge.stage_handler("ingest", fail, lambda: ports)(EVENT, None)
    assert status(ports, "ingest")["state"] == "failed"


def test_edge_records_a_crash_and_raises_it(ports):
    """A bug is neither hidden nor left as `running`."""

    def crash(event, ports, params):
        raise ZeroDivisionError("oops")

    with pytest.raises(ZeroDivisionError):
        edge.stage_handler("train", crash, lambda: ports)(EVENT, None)
    assert status(ports, "train")["error"]["code"] == "crash"


def test_edge_records_what_the_gate_found_and_where_its_report_is(ports):
    """The status of a refusal carries reasons, findings, the rules that refused and the report's key."""

    def refuse(event, ports, params):
        raise GateRefusedError(
            "no", ["gaps: 3 %"], findings={"nulls": 2, "gaps": 7}, refused_by=["gaps"], report_key="reports/x.json"
        )

    with pytest.raises(GateRefusedError):
        edge.stage_handler("validate", refuse, lambda: ports)(EVENT, None)
    told = status(ports, "validate")["error"]
    assert (told["reasons"], told["refused_by"], told["report_key"]) == (["gaps: 3 %"], ["gaps"], "reports/x.json")
    assert told["findings"] == {"nulls": 2, "gaps": 7}


def test_edge_counts_findings_by_rule_whether_the_gate_passes_or_refuses(ports):
    """Every rule's findings are counted either way; a refusal also counts for its series and for each rule behind it."""

    def passes(event, ports, params):
        return event.result(rows_clean=9, findings={"nulls": 2, "gaps": 0})

    def refuses(event, ports, params):
        raise GateRefusedError("no", ["a", "b"], findings={"nulls": 40, "gaps": 7}, refused_by=["nulls", "gaps"])

    edge.stage_handler("validate", passes, lambda: ports)(EVENT, None)
    assert counted(ports, "gate_findings_total") == {"nulls": 2, "gaps": 0}
    assert not counted(ports, "gate_rule_refusals_total") and not counted(ports, "gate_refusals_total", "series")
    with pytest.raises(GateRefusedError):
        edge.stage_handler("validate", refuses, lambda: ports)(EVENT, None)
    assert counted(ports, "gate_findings_total") == {"nulls": 42, "gaps": 7}
    assert counted(ports, "gate_rule_refusals_total") == {"nulls": 1, "gaps": 1}
    assert counted(ports, "gate_refusals_total", "series") == {"btc-usd": 1}


def counted(ports, name, label="rule"):
    """Return a counter's total by one label."""
    total = {}
    for metric, value, labels in ports.meter.values:
        if metric == name:
            total[labels[label]] = total.get(labels[label], 0) + value
    return total
