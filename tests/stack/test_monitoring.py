"""`make monitoring` as a user has it: the local cloud with a real Prometheus and Alertmanager over it."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cryptovol.cloud.fleet import down

from tests import lane
from tests.prometheus import Prometheus, tool, until

pytestmark = [
    pytest.mark.stack,
    pytest.mark.skipif(not Path(".venv-airflow/bin/airflow").exists(), reason="needs .venv-airflow: make setup"),
]
SERVED = 'sum by (endpoint) (http_requests_total{endpoint="/model"})'


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    """A project folder with the real code; what a test leaves running in it is stopped."""
    for name in ("prometheus", "prometheus-alertmanager"):
        tool(name)
    for name in ("functions", "layers", "airflow", "localstack", "monitoring", ".venv-airflow", "params.yaml"):
        (tmp_path / name).symlink_to(Path(name).resolve())
    yield tmp_path
    down(tmp_path / "var")


def cryptovol(project: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command in the project over the simulated market."""
    environ = {**lane.environ(project), "CRYPTOVOL_SOURCE": "simulated"}
    command = [sys.executable, "-m", "cryptovol", *words]
    return subprocess.run(command, cwd=project, env=environ, capture_output=True, text=True, timeout=200, check=False)


def asked(url: str) -> Any:
    """Return what an address answers, as JSON."""
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)


def test_prometheus_sees_the_lane_and_a_request_to_its_api(project: Path) -> None:
    """The sidecar is up, a request is counted, every rule is loaded, Alertmanager is known, and `down` ends all of it."""
    up = cryptovol(project, "up", "--monitoring", "--json")
    assert up.returncode == 0, up.stderr
    found = json.loads(up.stdout)
    with pytest.raises(urllib.error.HTTPError):  # no model yet: a request like another
        urllib.request.urlopen(f"{found['api_url']}/model", timeout=10)
    prometheus = Prometheus(found["prometheus_url"])
    up_now = until(lambda: prometheus.query('up{job="metrics-sidecar"} == 1'), "the sidecar is not scraped", 60)
    port = urllib.parse.urlsplit(found["metrics_url"]).netloc
    assert [series["metric"]["instance"] for series in up_now] == [port]
    [served] = until(lambda: prometheus.query(SERVED), "the request is not counted", 60)
    assert float(served["value"][1]) == 1
    groups = asked(f"{found['prometheus_url']}/api/v1/rules")["data"]["groups"]
    alerts = {rule["name"] for group in groups for rule in group["rules"] if rule["type"] == "alerting"}
    assert {"SidecarDown", "DataDrift", "LatencyP95High"} <= alerts and all(group["rules"] for group in groups)
    active = asked(f"{found['prometheus_url']}/api/v1/alertmanagers")["data"]["activeAlertmanagers"]
    assert [each["url"] for each in active] == [f"{found['alertmanager_url']}/api/v2/alerts"]
    ended = cryptovol(project, "down")
    assert ended.returncode == 0 and "prometheus" in ended.stdout and "alertmanager" in ended.stdout
