"""The main job as a user runs it: real cloud, real Airflow, real MLflow, real API, in an empty copy of the project."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from cryptovol import cli
from cryptovol.keys import compact
from cryptovol.testing import make_bars
from cryptovol.times import HOUR, format_instant

from tests.lane import copy_project, environ, report, run, stages, stop, write_bars

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]
BARS = make_bars(2330, seed=3)
FIRST = int(BARS.time[2299]) + HOUR


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """Return a copy of the project with small parameters, a bar file and no state."""
    folder = copy_project(tmp_path_factory.mktemp("project") / "cryptovol")
    body = yaml.safe_load((folder / "params.yaml").read_text(encoding="utf-8"))
    body["ingest"]["history_hours"] = 2300
    body["train"].update(window_hours=540, refit_hours=180, least_rows=400)
    body["train"]["forest"].update(trees=20, min_child_weight=20)
    body["promotion"]["least_rows"] = 200
    (folder / "params.yaml").write_text(yaml.safe_dump(body), encoding="utf-8")
    write_bars(folder / "bars.csv.gz", BARS)
    yield folder
    stop(folder)


@pytest.fixture(scope="module")
def first(project) -> dict[str, Any]:
    """Return the report of the first run."""
    done = run(project, FIRST)
    assert done.returncode == 0, done.stderr
    return report(done)


def test_run_ingests_trains_promotes_and_forecasts(first):
    """Every stage is done and both horizons are forecast with interval and baselines."""
    assert [s["state"] for s in stages(first).values()] == ["done"] * 6
    assert {f["horizon_hours"] for f in first["forecasts"]} == {6, 24}
    for forecast in first["forecasts"]:
        assert forecast["interval"]["lower"] < forecast["volatility"] < forecast["interval"]["upper"]
        assert set(forecast["baselines"]) >= {"persistence", "har"}
        assert forecast["source"].startswith("replay:")


def test_run_serves_what_the_offline_backtest_gives(first, project, capsys):
    """The served forecast is, to the last bit, the backtest's for the same instant."""
    out = project / "predictions.csv"
    words = ["--bars", str(project / "bars.csv.gz"), "--start", format_instant(FIRST), "--end", format_instant(FIRST)]
    science = ["--params", str(project / "params.yaml")]
    for served in first["forecasts"]:
        horizon = ["--horizon", str(served["horizon_hours"])]
        assert cli.main(["backtest", *words, *science, *horizon, "--out", str(out)]) == 0
        row = list(csv.DictReader(out.read_text().splitlines()))[0]
        assert int(row["time"]) == FIRST - HOUR
        assert float(row["prediction"]) == served["volatility"]
        assert float(row["lower"]) == served["interval"]["lower"]
    capsys.readouterr()


def test_run_on_the_cloud_equals_the_stages_on_files(first, project, tmp_path, monkeypatch, capsys):
    """Bars, features and bundles of the Lambda functions are byte-equal to those of the stage verbs."""
    monkeypatch.setenv("CRYPTOVOL_SOURCE", f"replay:{project}/bars.csv.gz")
    monkeypatch.setenv("CRYPTOVOL_PARAMS", str(project / "params.yaml"))
    for verb in ("ingest", "validate", "featurize", "train"):
        assert cli.main([verb, "--store", str(tmp_path), "--symbol", "BTC", "--as-of", format_instant(FIRST)]) == 0
    capsys.readouterr()
    mine = {p.relative_to(tmp_path).as_posix(): p for p in tmp_path.rglob("*") if p.is_file()}
    wanted = [k for k in mine if k.startswith(("bars/", "features/", "reports/")) or "/bundles/" in k]
    assert len(wanted) > 20
    bucket = next((project / "var/cloud/s3").glob("*/cryptovol"))
    assert not [key for key in wanted if (bucket / key).read_bytes() != mine[key].read_bytes()]


def test_run_six_hours_later_fetches_six_bars(first, project):
    """Nothing is fetched twice, and the first run's six-hour forecast has matured and is scored."""
    done = run(project, FIRST + 6 * HOUR)
    assert done.returncode == 0, done.stderr
    found = stages(report(done))
    assert found["ingest"]["result"]["rows_new"] == 6 and found["score"]["result"]["rows_scored"] == 1


def test_run_with_nothing_new_changes_nothing(first, project):
    """The same instant again fetches nothing, trains nothing, and gives the same forecast."""
    done = run(project, FIRST + 6 * HOUR)
    assert done.returncode == 0, done.stderr
    assert stages(report(done))["ingest"]["result"]["rows_new"] == 0


def test_run_with_a_broken_batch_stops_at_the_gate_and_goes_on_serving(first, project):
    """A refused batch exits with 1 and its reasons; nothing after the gate ran; the last champion still forecasts."""
    write_bars(project / "bars.csv.gz", BARS.take(slice(0, 2312)), broken=5)
    done = run(project, FIRST + 12 * HOUR)
    write_bars(project / "bars.csv.gz", BARS)
    assert done.returncode == 1, done.stderr
    assert "range" in done.stderr and "Traceback" not in done.stderr
    body = report(done)
    assert stages(body)["validate"]["state"] == "refused" and "featurize" not in stages(body)
    assert body["forecasts"] and {f["model"]["version"] for f in body["forecasts"]} == {"2"}
    page = f"{compact(format_instant(FIRST + 12 * HOUR))}.html"
    told = (project / "var/logs/airflow.log").read_text(encoding="utf-8")
    assert re.search(rf"validate: report, .*: http://127\.0\.0\.1:\d+/cryptovol/\S+/{page}\?X-Amz-Algorithm", told)


def test_run_of_a_symbol_no_source_knows_is_refused_without_a_retry(first, project):
    """An unknown symbol is a usage error told once; Airflow does not try again what cannot work."""
    write_bars(project / "eth.csv.gz", BARS, symbol="ETH")
    done = run(project, FIRST, project / "eth.csv.gz")
    assert done.returncode == 2, done.stderr
    assert "BTC" in done.stderr.splitlines()[-1] and "Traceback" not in done.stderr
    assert stages(report(done))["ingest"]["error"]["code"] == "unknown_symbol"


def test_run_with_a_function_that_raises_names_it_and_the_next_one_succeeds(first, project):
    """A bug in one function is told with its name and its log, exit code 3; mended, the same instant completes."""
    handler = project / "functions/score/handler.py"
    sound = handler.read_text(encoding="utf-8")
    handler.write_text(sound.replace("score.run(", "(1 / 0, score.run)[1]("), encoding="utf-8")
    done = run(project, FIRST + 6 * HOUR)
    handler.write_text(sound, encoding="utf-8")
    assert done.returncode == 3
    assert "ZeroDivisionError" in done.stderr and "cryptovol-score.log" in done.stderr
    mended = run(project, FIRST + 6 * HOUR)
    assert mended.returncode == 0, mended.stderr


def test_run_whose_cloud_is_killed_says_so_and_the_next_one_succeeds(first, project):
    """The emulator killed in mid-run is one clear message and exit code 3; the store survives it."""
    as_of = format_instant(FIRST + 18 * HOUR)
    command = [sys.executable, "-m", "cryptovol", "run", "--once", "--json", "--as-of", as_of]
    with subprocess.Popen(
        command, cwd=project, env=environ(project), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        try:
            os.kill(cloud_pid(project, child), signal.SIGKILL)
            _, error = child.communicate(timeout=240)
        finally:
            child.terminate()
    assert child.returncode == 3 and "cloud" in error and "Cure" in error and "Traceback" not in error
    done = run(project, FIRST + 18 * HOUR)
    assert done.returncode == 0, done.stderr
    assert [s["state"] for s in stages(report(done)).values()] == ["done"] * 6


def cloud_pid(project: Path, child: subprocess.Popen[str]) -> int:
    """Return the emulator's process id once this run's first stage has been recorded."""
    bucket = next((project / "var/cloud/s3").glob("*/cryptovol"))
    before = set(bucket.glob("runs/*"))
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        assert child.poll() is None, "the run ended before it could be disturbed"
        if set(bucket.glob("runs/*")) - before:
            return int(json.loads((project / "var/run/cloud.json").read_text())["pid"])
        time.sleep(0.1)
    raise AssertionError("no stage was recorded")
