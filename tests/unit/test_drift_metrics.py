"""What the score stage tells of drift as metrics: a ratio and 36 scores where it could be told, else nothing."""

from pathlib import Path

import pytest

from cryptovol import edge, params, settings, wiring
from cryptovol.adapters.telemetry import MemoryMeter
from cryptovol.features import FEATURE_NAMES
from cryptovol.metrics import CONTRACT
from cryptovol.testing import MemoryStore

EVENT = {"symbol": "BTC", "quote": "USD", "as_of": "2025-05-01T00:00:00Z", "run_id": "r1"}
AS_OF = 1_746_057_600


@pytest.fixture
def ports():
    """Return ports on fakes, whose clock is an hour ahead of the event."""
    found = wiring.Ports(settings.load({}), params.load(Path("params.yaml")), clock=lambda: AS_OF + 3600)
    found.__dict__.update(store=MemoryStore(), meter=MemoryMeter())
    return found


def told(ports, **drift):
    """Run a score stage that found this drift; return the drift metrics as (name, value, labels)."""
    rest = {"rows_scored": 0, "live": [], "matured": {}, "matured_late": {}}
    edge.stage_handler("score", lambda event, p, q: event.result(**rest, **drift), lambda: ports)(EVENT, None)
    return [(name, value, labels) for name, value, labels in ports.meter.values if "drift" in name]


def test_drift_is_told_as_ratio_scores_and_instant(ports):
    """Each model has one ratio, one score per feature and the instant of the evaluation, by the contract's labels."""
    found = told(ports, drift={"m": 0.25}, drift_scores={"m": dict.fromkeys(FEATURE_NAMES, 0.5)})
    assert ("data_drift_ratio", 0.25, {"model": "m"}) in found
    assert ("data_drift_last_evaluation_timestamp_seconds", AS_OF, {"model": "m"}) in found
    scores = {labels["feature"]: value for name, value, labels in found if name == "feature_drift_score"}
    assert scores == dict.fromkeys(FEATURE_NAMES, 0.5)
    assert all(set(labels) == set(CONTRACT[name].labels) for name, _, labels in found)


def test_drift_that_cannot_be_told_is_no_metric(ports):
    """Below the least window there is no value, not a zero, and no instant of an evaluation."""
    assert told(ports, drift={}, drift_scores={}) == []
