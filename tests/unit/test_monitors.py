"""Prometheus and Alertmanager on the lane: the files they read, when they are replaced, and what is said without them."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cryptovol.cloud import monitors
from cryptovol.cloud.fleet import Fleet, down
from cryptovol.cloud.state import State
from cryptovol.errors import ConfigError

# Stands in for both programs: serves 200 where it is told to listen.
PROGRAM = """#!{python}
import http.server, sys
class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
address = next(word.partition("=")[2] for word in sys.argv if word.startswith("--web.listen-address="))
http.server.HTTPServer(("127.0.0.1", int(address.rpartition(":")[2])), Ready).serve_forever()
"""


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """Return an environment with stand-ins for both programs on its PATH."""
    (tmp_path / "bin").mkdir()
    for name in ("prometheus", "alertmanager"):
        (tmp_path / "bin" / name).write_text(PROGRAM.format(python=sys.executable))
        (tmp_path / "bin" / name).chmod(0o755)
    return {"PATH": f"{tmp_path / 'bin'}"}


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """Return a project folder with the project's own monitoring files; what runs in it is ended."""
    shutil.copytree("monitoring", tmp_path / "project" / "monitoring", ignore=shutil.ignore_patterns("__pycache__"))
    yield tmp_path / "project"
    down(tmp_path / "project" / "var")


def started(root: Path, environ: dict[str, str], **more: str) -> tuple[Fleet, dict[str, str]]:
    """Start both as a command of its own would, and return its processes and the addresses."""
    fleet = Fleet(root, State(root / "var"))
    return fleet, monitors.start(root, fleet, environ, **more)


def written(root: Path, name: str) -> Any:
    """Return a copy under `var`."""
    return yaml.safe_load((root / "var" / "monitoring" / name).read_text())


def test_copies_name_the_lanes_own_ports_and_nothing_else_changes(root: Path, environ: dict[str, str]) -> None:
    """Prometheus scrapes the sidecar and alerts at Alertmanager, with the project's intervals and rules."""
    fleet, urls = started(root, environ)
    copy, given = written(root, "prometheus.yml"), yaml.safe_load(
        Path("monitoring/prometheus/prometheus.yml").read_text()
    )
    assert copy["scrape_configs"][0].pop("static_configs") == [{"targets": [f"127.0.0.1:{fleet.port('sidecar')}"]}]
    alerted = copy["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"][0]
    assert urls == {"prometheus_url": fleet.children["prometheus"].url, "alertmanager_url": f"http://{alerted}"}
    given["scrape_configs"][0].pop("static_configs")
    assert {**copy, "alerting": None} == {**given, "alerting": None}
    rules = Path("monitoring/prometheus/rules")
    assert {path.name: path.read_bytes() for path in (root / "var/monitoring/rules").iterdir()} == {
        path.name: path.read_bytes() for path in rules.glob("*.yml")
    }


@pytest.mark.parametrize("webhook", ["", "http://127.0.0.1:9/alerts"])
def test_alerts_go_where_they_are_told_to_or_nowhere(root: Path, environ: dict[str, str], webhook: str) -> None:
    """Without a webhook no receiver has an address; with one each has that, and keeps the rest of its settings."""
    started(root, environ, webhook=webhook)
    hooks = [
        hook
        for receiver in written(root, "alertmanager.yml")["receivers"]
        for hook in receiver.get("webhook_configs", [])
    ]
    assert hooks == ([{"url": webhook, "send_resolved": True}] if webhook else [])


def test_a_second_command_uses_what_runs_until_a_rule_changes(root: Path, environ: dict[str, str]) -> None:
    """The same files give the same processes; another rule replaces them, at the same addresses; a gone one is not read."""
    first, urls = started(root, environ)
    again, _ = started(root, environ)
    assert again.children == first.children and not again.started
    rules = root / "monitoring" / "prometheus" / "rules"
    gone = sorted(rules.glob("*.yml"))[0]
    gone.unlink()
    (rules / "more.yml").write_text("groups: []\n")
    changed, there = started(root, environ)
    assert there == urls and {child.name for child in changed.started} == {"prometheus", "alertmanager"}
    left = {path.name for path in (root / "var/monitoring/rules").iterdir()}
    assert "more.yml" in left and gone.name not in left


def test_programs_that_are_absent_are_named_with_the_command_that_installs_them(environ: dict[str, str]) -> None:
    """Either Debian's name or the releases' own will do; what is missing is told with its cure."""
    assert monitors.programs(environ)["alertmanager"].endswith("/bin/alertmanager")
    os.unlink(monitors.programs(environ)["prometheus"])
    with pytest.raises(ConfigError, match="not on PATH: prometheus. Cure: .*apt-get install"):
        monitors.programs(environ)
    with pytest.raises(ConfigError, match="prometheus, prometheus-alertmanager or alertmanager"):
        monitors.programs({})


def test_a_webhook_without_a_scheme_and_a_project_without_its_files_are_refused(
    root: Path, environ: dict[str, str]
) -> None:
    """Both are told before a process is started."""
    with pytest.raises(ConfigError, match="'localhost:9' is not where alerts can be sent"):
        started(root, environ, webhook="localhost:9")
    (root / "monitoring" / "alertmanager" / "alertmanager.yml").unlink()
    with pytest.raises(ConfigError, match="alertmanager.yml.*Cure"):
        started(root, environ)
    assert not (root / "var" / "run").exists()
