"""`cryptovol logs` and `cryptovol cost`: what a local lane's log files tell."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cryptovol import cli

LINES = {
    "functions/cryptovol-train.log": [
        {"timestamp": "2026-11-26 08:00:03,000+0000", "message": "stage done", "run_id": "r1", "stage": "train",
         "outcome": "done", "seconds": 10.0},
    ],
    "functions/cryptovol-ingest.log": [
        {"timestamp": "2026-11-26 08:00:01,000+0000", "message": "stage done", "run_id": "r1", "stage": "ingest",
         "outcome": "done", "seconds": 1.0},
    ],
    "api.log": [
        {"timestamp": "2026-11-26 08:00:09,000+0000", "message": "request", "service": "cryptovol-api",
         "request_id": "q1", "endpoint": "/predict", "status": "200", "milliseconds": 5.0},
    ],
}  # fmt: skip


@pytest.fixture
def lane(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder whose local lane has run once."""
    monkeypatch.setenv("CRYPTOVOL_PARAMS", str(Path("params.yaml").resolve()))
    for name, lines in LINES.items():
        path = tmp_path / "var" / "logs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("Traceback, or a server's own words\n" + "".join(json.dumps(line) + "\n" for line in lines))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_logs_of_a_run_are_gathered_in_time_order(lane: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two functions' files, one sequence, each line with its file."""
    assert cli.main(["logs", "--run", "r1", "--json"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["stage"], line["file"]) for line in found] == [
        ("ingest", "functions/cryptovol-ingest.log"),
        ("train", "functions/cryptovol-train.log"),
    ]


def test_logs_of_a_request_are_shown_as_text(lane: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A person gets one readable line."""
    assert cli.main(["logs", "--request", "q1"]) == 0
    assert "request_id=q1 endpoint=/predict status=200" in capsys.readouterr().out


@pytest.mark.parametrize("wanted", ["r", ""])
def test_logs_of_an_unknown_run_are_a_usage_error(lane: Path, wanted: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A beginning of an id is none, and neither is an empty one."""
    assert cli.main(["logs", "--run", wanted]) == 2
    assert "no line with run_id" in capsys.readouterr().err


def test_cost_of_a_month_is_as_by_hand(lane: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """840 runs of 1 s at 1 GB, 120 of 10 s at 2 GB, and a million forecasts of 5 ms at 1 GB."""
    assert cli.main(["cost", "--forecasts", "1000000", "--architecture", "arm64", "--json"]) == 0
    body = json.loads(capsys.readouterr().out)
    assert body["gb_seconds"] == pytest.approx(840 + 2400 + 5000)
    assert body["requests"] == pytest.approx(960 + 1_000_000)
    assert body["usd"] == pytest.approx(8240 * 0.0000133334 + 1_000_960 * 0.2e-6)


def test_cost_is_a_table_that_ends_with_its_sum(lane: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every function has a row."""
    assert cli.main(["cost", "--forecasts", "0"]) == 0
    rows = [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]]
    assert sorted(rows[1:-1]) == ["ingest", "predict", "train"] and (rows[0], rows[-1]) == ("stage", "all")


def test_cost_without_logs_is_a_usage_error(
    tmp_path: Path, lane: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing measured is nothing told, with the cure."""
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    assert cli.main(["cost"]) == 2
    assert "cryptovol run --once" in capsys.readouterr().err


def test_cost_refuses_a_negative_count(lane: Path) -> None:
    """Fewer than no symbols is a typing error."""
    with pytest.raises(SystemExit, match="2"):
        cli.main(["cost", "--symbols", "-1"])
