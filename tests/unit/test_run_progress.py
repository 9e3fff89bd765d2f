"""How a run is watched, told and turned into an exit code."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from rich.console import Console

from cryptovol import keys, tables
from cryptovol.cloud import embedded, pipeline, progress, report
from cryptovol.cloud.progress import STAGES, Lines, LiveTable, Status, Watch
from cryptovol.errors import ModelNotFoundError, StoreUnavailableError, TransientError
from cryptovol.testing import MemoryStore

FORECAST = {
    "symbol": "BTC", "horizon_hours": 24, "volatility": 0.0045, "volatility_annualized": 0.42,
    "interval": {"level": 0.9, "lower": 0.002, "upper": 0.007}, "baselines": {"persistence": 0.006, "har": 0.005},
    "model": {"name": "cryptovol-btc-usd-h24", "version": "3"}, "warnings": [],
}  # fmt: skip


def write(store: MemoryStore, stage: str, state: str, *, symbol: str = "BTC", run: str = "r1", **more: Any) -> None:
    """Store a status object as the functions do."""
    body = {"stage": stage, "symbol": symbol, "quote": "USD", "started": "x", "state": state, "seconds": 1.5, **more}
    store.put(keys.run(run, keys.series(symbol, "USD"), stage), tables.encode_json(body))


def status(stage: str = "ingest", state: str = "done", **more: Any) -> Status:
    """Return one status."""
    return Status("BTC", stage, state, 1.5, more.get("result", {}), more.get("error", {}))


def test_watch_returns_each_change_once_and_only_of_its_own_run() -> None:
    """A stage is told when it starts and when it ends, and stages of another run are not."""
    store = MemoryStore()
    watch = Watch(store, "r1", ["BTC"], "USD")
    write(store, "ingest", "done", run="earlier")
    assert watch.poll() == []
    write(store, "ingest", "running")
    assert [(s.stage, s.state) for s in watch.poll()] == [("ingest", "running")]
    assert watch.poll() == []
    write(store, "ingest", "done", result={"rows_new": 7})
    write(store, "validate", "refused", error={"code": "gate_refused", "message": "no", "reasons": ["nulls"]})
    assert [(s.stage, s.state, s.rows) for s in watch.poll()] == [("ingest", "done", 7), ("validate", "refused", None)]
    assert [s.stage for s in watch.failures] == ["validate"]


def test_watch_forgets_a_failure_that_a_retry_has_cured() -> None:
    """The last state of a stage counts."""
    store = MemoryStore()
    watch = Watch(store, "r1", ["BTC"], "USD")
    write(store, "ingest", "failed", error={"code": "source_unavailable", "message": "no answer"})
    watch.poll()
    write(store, "ingest", "done", result={"rows_new": 7})
    watch.poll()
    assert watch.failures == []


def test_lines_print_one_line_per_finished_stage() -> None:
    """Plain progress says symbol, stage, rows, seconds and outcome, and nothing of what still runs."""
    out = io.StringIO()
    lines = Lines(out)
    lines.show([status(state="running")])
    assert out.getvalue() == ""
    lines.show([status(result={"rows_new": 26304, "rows_revised": 2, "source": "simulated"})])
    head, line = out.getvalue().splitlines()
    assert head.split() == ["symbol", "stage", "rows", "seconds", "outcome"]
    assert line.split() == ["BTC", "ingest", "26,304", "1.5", "done", "2", "revised,", "from", "simulated"]


def test_live_table_shows_every_stage_from_the_start() -> None:
    """The table has a row per stage, waiting ones too, and shows a failure's own words with brackets intact."""
    table = LiveTable(["BTC"])
    table.show([status(state="running"), status("validate", "refused", error={"message": "range [0, 1] broken"})])
    console = Console(file=io.StringIO(), width=120)
    console.print(table)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert all(stage in text for stage in STAGES)
    assert "running" in text and "refused  range [0, 1] broken" in text
    assert text.count("waiting") == 4


def test_display_is_plain_when_the_output_is_no_terminal() -> None:
    """A pipe gets lines, not a table that redraws itself."""
    with progress.display(["BTC"], io.StringIO()) as shown:
        assert isinstance(shown, Lines)


@pytest.mark.parametrize(
    ("codes", "expected"),
    [([], 0), (["gate_refused"], 1), (["unknown_symbol"], 2), (["source_unavailable"], 3), (["crash"], 3), (["?"], 3),
     (["gate_refused", "source_unavailable"], 3)],
)  # fmt: skip
def test_exit_code_follows_the_errors_kinds(codes: list[str], expected: int) -> None:
    """A refusal is 1, a wrong setting 2, anything outside or unknown 3, and of several the worst counts."""
    failed = [status(state="failed", error={"code": code, "message": "m"}) for code in codes]
    assert pipeline.exit_code(failed) == expected


def test_forecasts_text_shows_interval_baselines_and_doubts() -> None:
    """The table has what a reader of a forecast needs, and warnings under it."""
    text = report.forecasts_text([FORECAST, {**FORECAST, "horizon_hours": 6, "warnings": ["stale_data"]}])
    assert "0.450%" in text and "0.200% to 0.700% (90%)" in text and "42.0%" in text
    assert "0.600%" in text and "0.500%" in text and "cryptovol-btc-usd-h24 v3" in text
    assert text.splitlines()[-1].strip() == "BTC 6 h: stale_data"
    assert report.forecasts_text([]) == ""


def test_scores_text_puts_the_model_first_and_sorts_horizons_as_numbers() -> None:
    """QLIKE of model and baselines stand side by side, 6 h before 24 h, with the decision."""
    model = {"qlike": {"har": 0.4, "model": 0.3}, "decision": "promoted", "reason": "not worse than HAR"}
    trained = status("train", result={"models": {"24": model, "6": model}})
    head, first, second = report.scores_text({("BTC", "train"): trained}).splitlines()
    assert head.split() == ["symbol", "horizon", "model", "har", "decision"]
    assert first.split()[:5] == ["BTC", "6", "h", "0.3000", "0.4000"]
    assert second.split()[1] == "24"


@pytest.mark.parametrize(
    ("body", "kind", "says"),
    [
        (b'{"code": "model_not_found", "detail": "no champion"}', ModelNotFoundError, "no champion"),
        (b'{"code": "stale_data", "detail": "old bars"}', TransientError, "503: old bars"),
        (b"<html>", TransientError, "<html>"),
        (b"[1]", TransientError, "503"),
    ],
)
def test_a_refused_forecast_keeps_the_problems_own_words(body: bytes, kind: type[Exception], says: str) -> None:
    """A problem document becomes an error of its kind; anything else is shown as it came."""
    error = report._refused(503, body)
    assert type(error) is kind
    assert says in str(error)


def test_ask_names_the_log_when_the_api_is_not_there() -> None:
    """No answer is an outside failure with a cure."""
    with pytest.raises(TransientError, match="var/logs/api.log"):
        report.ask("http://127.0.0.1:1", {"symbol": "BTC"})


def test_unsaved_finds_a_write_the_disk_refused(tmp_path: Any) -> None:
    """Only complaints after the given place in the log count."""
    log = tmp_path / "cloud.log"
    log.write_text("WARNING Failed to persist S3 object a/old: [Errno 28]\n")
    since = log.stat().st_size
    assert embedded.unsaved(log, since) == ""
    with log.open("a") as file:
        file.write("INFO fine\nWARNING Failed to persist S3 object a/b: [Errno 28] No space left on device\n")
    assert "a/b" in embedded.unsaved(log, since)
    assert embedded.unsaved(tmp_path / "absent", 0) == ""


def test_keeping_blames_a_full_disk_first(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a full disk whatever failed is told as no space left; otherwise the error stays what it is."""
    with pytest.raises(TransientError, match="mlflow did not start"), embedded.keeping(tmp_path):
        raise TransientError("mlflow did not start")
    with pytest.raises(StoreUnavailableError, match="cannot work under.*Cure"), embedded.keeping(tmp_path):
        raise PermissionError("no")
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 5})())
    with pytest.raises(StoreUnavailableError, match="no space left.*Cure"), embedded.keeping(tmp_path):
        raise TransientError("mlflow did not start")
    with pytest.raises(StoreUnavailableError, match="no space left"):
        embedded.require_space(tmp_path)


def test_status_objects_are_read_as_the_edge_writes_them() -> None:
    """The edge's own status object, failure included, is understood."""
    from cryptovol import edge

    store = MemoryStore()
    error = edge.describe(TransientError("try later"))
    write(store, "train", "failed", error=json.loads(json.dumps(error)))
    [found] = Watch(store, "r1", ["BTC"], "USD").poll()
    assert found.error["code"] == "transient"
    assert found.note == "try later"
