"""The main job in a copy of the project, for tests that run it as a user does."""

import csv
import gzip
import json
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from cryptovol.bars import Bars
from cryptovol.times import format_instant

ROOT = Path.cwd()


def write_bars(path: Path, bars: Bars, *, broken: int = 0, symbol: str = "BTC") -> None:
    """Write a bar file whose newest `broken` ones have their high below their low."""
    with gzip.open(path, "wt", newline="") as file:
        out = csv.writer(file)
        out.writerow(["time", "open", "high", "low", "close", "volumefrom", "volumeto", "symbol"])
        names = ("time", "open", "high", "low", "close", "volume_base", "volume_quote")
        for i, row in enumerate(zip(*(getattr(bars, name).tolist() for name in names), strict=True)):
            values = list(row)
            if i >= len(bars) - broken:
                values[2], values[3] = values[3] * 0.9, values[2] * 1.1
            out.writerow([*values, symbol])


def copy_project(folder: Path) -> Path:
    """Return a copy of the project without state; the environments are shared."""
    folder.mkdir()
    for name in ("layers", "functions", "airflow", "localstack"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in (".venv", ".venv-airflow", ".venv-localstack"):
        if (ROOT / name).exists():
            (folder / name).symlink_to(ROOT / name)
    shutil.copy(ROOT / "params.yaml", folder)
    return folder


def stop(folder: Path) -> None:
    """Stop whatever a test may have left running."""
    subprocess.run(
        [sys.executable, "-m", "cryptovol", "down"], cwd=folder, env=environ(folder), check=False, timeout=60
    )


def environ(folder: Path, bars: Path | None = None) -> dict[str, str]:
    """Return a clean environment in which the copy's own package is the one that runs."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("CRYPTOVOL_", "AWS_", "MLFLOW_", "AIRFLOW_"))}
    own = str(folder / "layers/core/python")
    return {**kept, "PYTHONPATH": own, "CRYPTOVOL_SOURCE": f"replay:{bars or folder / 'bars.csv.gz'}"}


def run(folder: Path, as_of: int, bars: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the main job once and return what it said."""
    command = [sys.executable, "-m", "cryptovol", "run", "--once", "--json", "--as-of", format_instant(as_of)]
    return subprocess.run(
        command, cwd=folder, env=environ(folder, bars), capture_output=True, text=True, timeout=240, check=False
    )


def report(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """Return the JSON a run ended with."""
    body: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return body


def stages(body: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the stages' last status by name."""
    return {stage["stage"]: stage for stage in body["stages"]}


class Answer:
    """What an address answers: status, headers, body."""

    def __init__(self, url: str, body: Any = None, headers: dict[str, str] | None = None, method: str | None = None):
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {"Content-Type": "application/json", **(headers or {})}
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            answer = opener.open(urllib.request.Request(url, data, named, method=method), timeout=60)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            self.status, self.headers, self.body = answer.status, answer.headers, answer.read()

    @property
    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)
