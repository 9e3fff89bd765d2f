"""The main job on three real years of BTC/USD, with the shipped parameters."""

import csv
from pathlib import Path

import pytest

from cryptovol import cli
from cryptovol.times import HOUR, format_instant, parse_instant

from tests.lane import copy_project, report, run, stages, stop

BARS = Path("../shared/data/btc_usd_cryptocompare_1h.csv.gz").resolve()
AS_OF = parse_instant("2025-05-01T00:00:00Z")

pytestmark = [
    pytest.mark.realdata,
    pytest.mark.stack,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not BARS.exists(), reason="the real bars are not here"),
]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Return a copy of the project without state."""
    folder = copy_project(tmp_path_factory.mktemp("real") / "cryptovol")
    yield folder
    stop(folder)


@pytest.fixture(scope="module")
def first(project):
    """Return the report of the run at the first instant."""
    done = run(project, AS_OF, BARS)
    assert done.returncode == 0, done.stderr
    return report(done)


def test_main_job_ingests_three_years_trains_promotes_and_serves(first):
    """Three years of bars, a champion at both horizons that beats HAR, and a forecast from each."""
    found = stages(first)
    assert found["ingest"]["result"]["rows_new"] >= 3 * 8760
    for model in found["train"]["result"]["models"].values():
        assert model["decision"] == "promoted" and model["qlike"]["model"] < model["qlike"]["har"]
    assert {f["horizon_hours"] for f in first["forecasts"]} == {6, 24}


def test_main_job_serves_the_backtest_forecast(first, tmp_path, capsys):
    """The served numbers are the offline backtest's for the same instant, to the last bit."""
    for served in first["forecasts"]:
        out = tmp_path / f"{served['horizon_hours']}.csv"
        words = ["--bars", str(BARS), "--horizon", str(served["horizon_hours"]), "--out", str(out)]
        instants = ["--start", format_instant(AS_OF), "--end", format_instant(AS_OF)]
        assert cli.main(["backtest", *words, *instants]) == 0
        row = next(csv.DictReader(out.read_text().splitlines()))
        assert int(row["time"]) == AS_OF - HOUR and float(row["prediction"]) == served["volatility"]
    capsys.readouterr()


def test_main_job_six_hours_later_fetches_six_bars(first, project):
    """The second run asks for six bars, not three years."""
    done = run(project, AS_OF + 6 * HOUR, BARS)
    assert done.returncode == 0, done.stderr
    result = stages(report(done))["ingest"]["result"]
    assert result["rows_new"] == 6 and result["rows_fetched"] <= 7
