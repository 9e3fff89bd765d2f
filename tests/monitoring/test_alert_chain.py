"""The whole chain as real processes: requests → EMF → sidecar → Prometheus → alert → Alertmanager → webhook."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.prometheus import stack, tool, until, webhook
from tests.servers import LOCAL, NOWHERE, Http, Process

pytestmark = pytest.mark.stack
PAUSE = 0.1  # seconds between two requests


@contextmanager
def asking(url: str) -> Iterator[list[int]]:
    """Ask for forecasts until the block ends; give the statuses that came."""
    statuses: list[int] = []
    end = threading.Event()

    def ask() -> None:
        with Http(url) as client:
            while not end.wait(PAUSE):
                statuses.append(client("POST", "/predict", {"symbol": "BTC"})[0])

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield statuses
    finally:
        end.set()
        thread.join()


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """Run an API whose store is away, and a sidecar over its log; give both addresses."""
    for program in ("prometheus", "prometheus-alertmanager"):
        tool(program)
    log = tmp_path / "api.log"
    api = Process(log, {**NOWHERE, "CRYPTOVOL_SPOOL": str(tmp_path / "spool")}, *LOCAL)
    words = ("--state", str(tmp_path / "state.sqlite"), "--file", str(log), "--port", "0", "--interval", "0.1")
    try:
        sidecar = Process(tmp_path / "sidecar.log", {}, "cryptovol", "sidecar", *words)
        try:
            yield api.url, sidecar.url
        finally:
            sidecar.terminate()
    finally:
        api.terminate()


def told(alerts: list[dict[str, Any]], name: str, status: str) -> list[dict[str, Any]]:
    """Return the notes of an alert and a status."""
    return [alert for alert in list(alerts) if (alert["labels"]["alertname"], alert["status"]) == (name, status)]


def test_failing_requests_reach_the_webhook_and_their_end_does_too(processes: tuple[str, str], tmp_path: Path) -> None:
    """With the store away requests fail, the counts agree, two alerts are delivered, and one clears with the requests."""
    api, sidecar = processes
    (tmp_path / "monitoring").mkdir()
    with (
        webhook() as (receiver, alerts),
        stack(tmp_path / "monitoring", urlsplit(sidecar).netloc, receiver) as prometheus,
    ):
        with asking(api) as statuses:
            until(lambda: told(alerts, "AvailabilityBurnFast", "firing"), f"no burn alert in {alerts}")
            until(lambda: told(alerts, "StoreUnreachable", "firing"), f"no store alert in {alerts}")
        assert set(statuses) == {503}
        query = 'sum(http_requests_total{endpoint="/predict",status="503"})'
        counted = until(
            lambda: [
                float(row["value"][1]) for row in prometheus.query(query) if float(row["value"][1]) >= len(statuses)
            ],
            "Prometheus does not show all requests",
        )
        assert counted == [len(statuses)]
        until(lambda: told(alerts, "AvailabilityBurnFast", "resolved"), f"the burn alert does not clear: {alerts}")
    note, *_ = told(alerts, "AvailabilityBurnFast", "firing")
    assert note["labels"]["severity"] == "page" and note["annotations"]["runbook"].startswith("docs/runbook.md#")
    # Waiting for a store that is away may be slow, too; of model, data and monitoring nothing may be said.
    others = {alert["labels"]["alertname"] for alert in alerts} - {"StoreUnreachable"}
    assert all(name.startswith(("Availability", "Latency")) for name in others)
