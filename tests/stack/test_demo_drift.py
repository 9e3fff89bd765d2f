"""`make demo-drift` itself: a real Prometheus, a real sidecar, and everything that the page claims."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cryptovol import cli, ledger
from cryptovol.adapters.files import FileStore
from cryptovol.demo.loop import HORIZON, MARKET, PAIR
from tests.prometheus import tool

pytestmark = pytest.mark.stack


def test_drift_alert_retraining_gate_and_the_alerts_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The alert fires after two evaluations, one retraining starts, the gate decides, the alert ends, and all is on the page."""
    tool("prometheus")
    assert cli.main(["demo", "drift", "--folder", str(tmp_path / "drift"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    titles = [event["title"] for event in told["events"]]
    order = (
        "Planted",
        "The watch waits",
        "Alert DataDrift fires",
        "The watch decides to retrain",
        "Tuning",
        "The gate decides",
    )
    places = [next(i for i, title in enumerate(titles) if title.startswith(start)) for start in order]
    assert places == sorted(places) and told["seconds"] < 600
    fired = told["events"][places[2]]
    assert fired["source"] == "Prometheus" and fired["evidence"]["state"] == "firing"
    assert float(fired["evidence"]["value"]) > 0.15

    store = FileStore(tmp_path / "drift" / "store")
    chain = ledger.entries(store, MARKET, PAIR, HORIZON)
    (decision,) = store.keys("watch/")
    assert [entry.body["outcome"] for entry in chain] == ["first", told["entry"]["outcome"]]
    assert chain[-1].sha256 == told["entry"]["sha256"] and chain[-1].body["run_id"] == "watch-btc-usd-0001"
    assert len(json.loads(store.get(decision).data)["evaluations"]) == 2
    promoted = told["entry"]["decision"] == "promoted"
    assert told["cleared"] is promoted
    assert any(title.startswith("Alert DataDrift has cleared") for title in titles) is promoted
    html = Path(told["page"]).read_text(encoding="utf-8")
    assert chain[-1].sha256 in html and f"Ledger entry 2: {told['entry']['reason']}" in html
    assert not list((tmp_path / "drift" / "run").glob("*.json"))
