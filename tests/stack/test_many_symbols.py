"""Two symbols in one run of the real pipeline: one coin's trouble is its own."""

import gzip
from pathlib import Path
from typing import Any

import pytest
import yaml

from cryptovol.testing import make_bars
from cryptovol.times import HOUR

from tests.lane import copy_project, report, run, stop, write_bars

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]
N = 2300
BARS = {"BTC": make_bars(N, seed=3), "ETH": make_bars(N, seed=5), "SOL": make_bars(N, seed=3)}
AS_OF = int(BARS["BTC"].time[-1]) + HOUR


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """Return a copy of the project whose parameters name three symbols, small enough to train in seconds."""
    folder = copy_project(tmp_path_factory.mktemp("project") / "cryptovol")
    body = yaml.safe_load((folder / "params.yaml").read_text(encoding="utf-8"))
    body["symbols"] = list(BARS)
    body["ingest"]["history_hours"] = N
    body["train"].update(window_hours=540, refit_hours=180, least_rows=400)
    body["train"]["forest"].update(trees=20, min_child_weight=20)
    body["promotion"]["least_rows"] = 200
    (folder / "params.yaml").write_text(yaml.safe_dump(body), encoding="utf-8")
    yield folder
    stop(folder)


def write(project: Path, *symbols: str, broken: str = "") -> None:
    """Write one bar file of several coins; the newest five bars of `broken` have their high below their low."""
    header, rows = "", []
    for symbol in symbols:
        path = project / f"{symbol}.csv.gz"
        write_bars(path, BARS[symbol], symbol=symbol, broken=5 if symbol == broken else 0)
        header, *lines = gzip.decompress(path.read_bytes()).decode().splitlines()
        rows += lines
    (project / "bars.csv.gz").write_bytes(gzip.compress("\n".join([header, *rows, ""]).encode()))


def states(body: dict[str, Any]) -> dict[str, dict[str, str]]:
    """Return each symbol's stages and how they ended."""
    found: dict[str, dict[str, str]] = {}
    for stage in body["stages"]:
        found.setdefault(stage["symbol"], {})[stage["stage"]] = stage["state"]
    return found


def test_one_symbols_failure_does_not_stop_the_others_and_is_visible(project):
    """BTC is forecast although ETH's batch is refused and no source knows SOL; both say why, and the run says 2."""
    write(project, "BTC", "ETH", broken="ETH")
    done = run(project, AS_OF)
    assert done.returncode == 2, done.stderr
    body = report(done)
    ended = states(body)
    assert set(ended["BTC"].values()) == {"done"} and len(ended["BTC"]) == 6
    assert ended["ETH"] == {"ingest": "done", "validate": "refused"}
    assert ended["SOL"] == {"ingest": "failed"}
    assert {f["symbol"] for f in body["forecasts"]} == {"BTC"}
    assert "ETH validate refused" in done.stderr and "  - range: " in done.stderr
    assert "SOL ingest failed" in done.stderr and "Traceback" not in done.stderr


def test_the_others_are_made_good_once_their_bars_are(project):
    """With mended bars the same instant completes for all three, and the finished one is not done again."""
    write(project, *BARS)
    done = run(project, AS_OF)
    assert done.returncode == 0, done.stderr
    body = report(done)
    assert {f["symbol"] for f in body["forecasts"]} == set(BARS)
    news = {s["symbol"]: s["result"]["rows_new"] for s in body["stages"] if s["stage"] == "ingest"}
    assert news["BTC"] == 0 and news["SOL"] == N
