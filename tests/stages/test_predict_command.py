"""`cryptovol predict` on a folder."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from cryptovol.adapters.files import FileStore
from cryptovol.cli import main
from cryptovol.testing import make_bars
from cryptovol.times import HOUR, floor_hour, format_instant
from tests.served import make_bundle, promote, put_bars

HOURS = 800
END = floor_hour(int(time.time())) - 2 * HOUR


@pytest.fixture
def folder(tmp_path: Path) -> str:
    """Return a folder with bars up to two or three hours ago and a champion per horizon of the live market."""
    store = FileStore(tmp_path)
    put_bars(store, make_bars(HOURS, start=END - HOURS * HOUR), market="live")
    for horizon in (6, 24):
        promote(store, make_bundle(horizon=horizon, trained_at=format_instant(END), market="live"))
    return str(tmp_path)


def test_predict_prints_every_horizon_as_of_an_instant(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a horizon each trained one is forecast, one JSON object per line, and no metric lines among them."""
    assert main(["predict", "--store", folder, "--as-of", format_instant(END), "--json"]) == 0
    bodies = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [body["horizon_hours"] for body in bodies] == [6, 24]
    assert {body["as_of"] for body in bodies} == {format_instant(END)} and bodies[0]["data_age_seconds"] == 0


def test_predict_describes_a_forecast_for_people(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The plain output names interval, baselines, model and warnings."""
    past = format_instant(END - HOUR)
    assert main(["predict", "--store", folder, "--as-of", past, "--horizon", "6", "--level", "0.5"]) == 0
    out = capsys.readouterr().out
    assert f"BTC  next 6 h from {past}" in out and "at 0.5" in out and "har 1.000" in out
    assert "warning     model_trained_later" in out


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--symbol", "DOGE"], 2),
        (["--horizon", "7"], 2),
        (["--as-of", "2999-01-01T00:00:00Z"], 2),
        (["--as-of", "x"], 2),
    ],
)
def test_predict_refuses_wrong_words_with_a_usage_error(folder: str, words: list[str], code: int) -> None:
    """What is not served exits with 2."""
    assert main(["predict", "--store", folder, *words]) == code


def test_predict_refuses_an_empty_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a champion the command is refused with 1 and says what to do."""
    assert main(["predict", "--store", str(tmp_path)]) == 1
    assert "run the pipeline" in capsys.readouterr().err
