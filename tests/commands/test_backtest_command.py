"""`cryptovol backtest` on a bar file: the CSV, the page, the numbers, and going on after a stop."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from cryptovol import cli
from cryptovol.testing import make_bars
from cryptovol.times import HOUR, format_instant

BARS = make_bars(2260, seed=3)
START = int(BARS.time[2199]) + HOUR


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Return the command's words on a bar file and small parameters; the caller adds its own."""
    body = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    body["train"].update(window_hours=540, refit_hours=180, least_rows=400, members=2, threads=1)
    body["train"]["forest"].update(trees=10, min_child_weight=20)
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(body), encoding="utf-8")
    names = ("time", "open", "high", "low", "close", "volume_base", "volume_quote")
    with (tmp_path / "bars.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(("time", "open", "high", "low", "close", "volumefrom", "volumeto"))
        rows.writerows(zip(*(getattr(BARS, name).tolist() for name in names), strict=True))
    words = ["backtest", "--bars", str(tmp_path / "bars.csv"), "--params", str(tmp_path / "params.yaml")]
    return [*words, "--start", format_instant(START), "--out", str(tmp_path / "p.csv")]


def test_backtest_writes_the_documented_files(files, tmp_path, capsys):
    """predictions.csv has time, prediction, lower, upper; the page and the same numbers as JSON stand beside it."""
    assert cli.main([*files, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    rows = list(csv.DictReader((tmp_path / "p.csv").read_text().splitlines()))
    assert list(rows[0]) == ["time", "prediction", "lower", "upper"] and len(rows) == 61
    assert int(rows[0]["time"]) == START - HOUR
    assert all(float(r["lower"]) < float(r["upper"]) for r in rows)
    body = json.loads((tmp_path / "p.json").read_text())
    assert body == printed and set(body["scores"]) == {"model", "har", "garch", "ewma", "persistence"}
    assert body["importance"] and body["learning_curve"] and body["run"]["bars_sha256"]
    page = (tmp_path / "p.html").read_text()
    assert page.startswith("<!doctype html>") and body["verdict"]["sentence"].split(":")[0] in page
    assert not (tmp_path / "p.parts").exists()


def test_backtest_csv_is_scored_alike_by_score(files, tmp_path, capsys, monkeypatch):
    """`cryptovol score --predictions` finds the same errors in the CSV as the backtest reports."""
    assert cli.main([*files, "--json", "--no-garch"]) == 0
    own = json.loads(capsys.readouterr().out)
    assert "garch" not in own["scores"]
    monkeypatch.setenv("CRYPTOVOL_PARAMS", str(tmp_path / "params.yaml"))
    words = ["score", "--predictions", str(tmp_path / "p.csv"), "--bars", str(tmp_path / "bars.csv"), "--json"]
    assert cli.main(words) == 0
    other = json.loads(capsys.readouterr().out)
    for error in ("qlike", "rmse", "mae"):
        assert other["scores"]["model"][error] == pytest.approx(own["scores"]["model"][error], rel=1e-12)


def test_backtest_at_the_end_of_the_file_says_that_nothing_is_known_yet(files, tmp_path, capsys):
    """One forecast from the last bar is written, not scored, and the command says so."""
    files[files.index("--start") + 1] = format_instant(int(BARS.time[-1]) + HOUR)
    assert cli.main(files) == 0
    assert "not known yet" in capsys.readouterr().out
    assert len((tmp_path / "p.csv").read_text().splitlines()) == 2
    assert not (tmp_path / "p.html").exists()


@pytest.mark.parametrize(
    ("words", "cure"),
    [
        (["--horizon", "1"], "--horizon at least 2"),
        (["--refit-hours", "0"], "--refit-hours must be"),
        (["--level", "0.7"], "use one of 0.5, 0.8, 0.9, 0.95"),
        (["--out", "p.html"], "name a .csv file"),
        (["--start", "soon"], "soon"),
    ],
)
def test_backtest_refuses_wrong_words(files, words, cure, capsys):
    """Each wrong argument is one line on stderr with its cure, and exit 2."""
    assert cli.main([*files, *words]) == 2
    assert cure in capsys.readouterr().err


def test_backtest_forecasts_are_the_same_every_time(files, tmp_path, capsys):
    """Two runs of the same command write the same bytes."""
    assert cli.main(files) == 0
    first = [(tmp_path / name).read_bytes() for name in ("p.csv", "p.json", "p.html")]
    assert cli.main([*files, "--fresh"]) == 0
    assert [(tmp_path / name).read_bytes() for name in ("p.csv", "p.json", "p.html")] == first
    assert np.isfinite([float(row["prediction"]) for row in csv.DictReader(first[0].decode().splitlines())]).all()
    capsys.readouterr()
