"""The lane as a user handles it: serving until told to stop, up and down, bad input. Whole runs: test_main_job."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from cryptovol.cloud import processes
from cryptovol.cloud.fleet import down

pytestmark = [
    pytest.mark.stack,
    pytest.mark.skipif(not Path(".venv-airflow/bin/airflow").exists(), reason="needs .venv-airflow: make setup"),
]
COMMAND = [sys.executable, "-m", "cryptovol"]
LATER = "2025-05-01T06:00:00Z"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project folder with the real code and parameters small enough for a quick training."""
    root = tmp_path_factory.mktemp("project")
    for name in ("functions", "layers", "airflow", "localstack", ".venv-airflow"):
        (root / name).symlink_to(Path(name).resolve())
    body = yaml.safe_load(Path("params.yaml").read_text())
    body["ingest"]["history_hours"] = 12000
    body["train"]["forest"]["trees"] = 40
    (root / "params.yaml").write_text(yaml.safe_dump(body))
    yield root
    down(root / "var")


def cryptovol(project: Path, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a command in the project and return its outcome."""
    env = {**os.environ, **environ}
    return subprocess.run([*COMMAND, *words], cwd=project, env=env, capture_output=True, text=True, timeout=200)


@pytest.fixture
def serving(project: Path) -> Iterator[subprocess.Popen[str]]:
    """A run that goes on serving the simulated market; whatever a test does, it is told to stop."""
    simulated = {**os.environ, "CRYPTOVOL_SOURCE": "simulated"}
    words = [*COMMAND, "run", "--as-of", LATER]
    with subprocess.Popen(words, cwd=project, env=simulated, stdout=subprocess.PIPE, text=True) as going:
        try:
            yield going
        finally:
            going.send_signal(signal.SIGTERM)
            going.communicate(timeout=60)


def read_until(url: str, *wanted: str) -> None:
    """Return when a page holds every text; the sidecar follows the log and may be a moment behind."""
    deadline = time.monotonic() + 20
    page = ""
    while time.monotonic() < deadline and not all(text in page for text in wanted):
        time.sleep(0.2)
        with urllib.request.urlopen(url, timeout=10) as answer:
            page = answer.read().decode()
    assert all(text in page for text in wanted), page


def test_run_serves_until_it_is_told_to_stop_and_takes_everything_with_it(
    project: Path, serving: subprocess.Popen[str]
) -> None:
    """It serves the simulated market and its metrics; a second run is refused meanwhile; SIGTERM ends every process."""
    assert serving.stdout is not None
    said = ""
    for line in serving.stdout:
        said += line
        if line.startswith("serving on"):
            break
    assert "market: simulated" in said
    urls = {
        line.split()[0]: line.split()[1] for line in said.splitlines() if line.split()[:1] in (["API"], ["metrics"])
    }
    read_until(urls["metrics"], "stage_runs_total", "model_predictions_count")
    read_until(f"{urls['API']}/metrics", "stage_runs_total", "model_predictions_count")
    children = [processes.read(project / "var", name) for name in processes.names(project / "var")]
    assert {child.name for child in children if child} == {"api", "cloud", "market", "mlflow", "sidecar"}
    other = cryptovol(project, "run", "--once")
    assert other.returncode == 2
    assert f"pid {serving.pid}" in other.stderr
    serving.send_signal(signal.SIGTERM)
    serving.stdout.read()
    assert serving.wait(60) == 0
    assert not [child for child in children if child and child.alive]


def test_up_leaves_the_lane_running_and_down_ends_it(project: Path) -> None:
    """`up` twice starts once; `status` follows; `down` twice is fine."""
    up = cryptovol(project, "up", "--json")
    assert up.returncode == 0, up.stderr
    pids = [processes.read(project / "var", name) for name in processes.names(project / "var")]
    assert cryptovol(project, "up", "--json").stdout == up.stdout
    assert pids == [processes.read(project / "var", name) for name in processes.names(project / "var")]
    found = json.loads(cryptovol(project, "status", "--json").stdout)
    assert {part["name"] for part in found["parts"] if part["running"]} == {
        "api",
        "cloud",
        "market",
        "mlflow",
        "sidecar",
    }
    assert found["lane"] == json.loads(up.stdout)
    assert cryptovol(project, "down").returncode == 0
    assert cryptovol(project, "status").returncode == 3
    assert "nothing was running" in cryptovol(project, "down").stdout


@pytest.mark.parametrize(
    ("words", "environ", "code", "says"),
    [
        (["--as-of", "2100-01-01T00:00:00Z"], {}, 2, "future"),
        (["--symbol", "b!"], {}, 2, "not a symbol"),
        (["--port", "0"], {}, 2, "not a port"),
        ([], {"CRYPTOVOL_SOURCE": "replay:absent.csv"}, 2, "there is no bar file"),
        ([], {"CRYPTOVOL_SOURCE": "replay:half.csv"}, 1, "no column close"),
    ],
)
def test_run_refuses_bad_input_with_one_message(
    words: list[str], environ: dict[str, str], code: int, says: str, project: Path
) -> None:
    """What cannot work is said at once, in one line with its exit code, and nothing is left running."""
    (project / "half.csv").write_text("time,open,high,low\n1700000000,1,1,1\n")
    done = cryptovol(project, "run", "--once", *words, **environ)
    assert done.returncode == code
    assert says in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert processes.names(project / "var") == []
