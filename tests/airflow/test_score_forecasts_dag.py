"""The hourly scoring: its shape, and whole runs of it with made-up functions."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("airflow.sdk", reason="Airflow is in .venv-airflow; `make test` runs this file there")

from airflow.dag_processing.dagbag import DagBag  # noqa: E402

DAGS = Path(__file__).parents[2] / "airflow" / "dags"
STAGES = ["ingest", "validate", "featurize", "forecast", "score"]
HOUR = datetime(2025, 5, 1, 7, 10, tzinfo=UTC)


@pytest.fixture
def hourly() -> Any:
    """Return the DAG, parsed afresh."""
    return DagBag(str(DAGS)).dags["score_forecasts"]


def run(dag: Any, **conf: Any) -> Any:
    """Run the DAG once in this process and return the run."""
    return dag.test(logical_date=HOUR, run_conf={"symbols": ["BTC"], **conf})


def test_scoring_is_hourly_alone_documented_and_trains_nothing(hourly: Any) -> None:
    """Ten past each hour, one run at a time, no catching up; the stages in their order, without train."""
    assert (hourly.schedule, hourly.catchup, hourly.max_active_runs) == ("10 * * * *", False, 1)
    assert [task.task_id for task in hourly.topological_sort()] == ["plan", *STAGES]
    assert all(task.doc_md for task in hourly.tasks) and hourly.doc_md
    assert {stage: hourly.get_task(stage).retries for stage in STAGES} == {
        "ingest": 3, "validate": 0, "featurize": 0, "forecast": 3, "score": 3
    }  # fmt: skip


@pytest.mark.usefixtures("database")
def test_a_run_hands_each_answer_to_the_next_stage(hourly: Any, functions: Any) -> None:
    """Every function is invoked once, with what the one before returned and the end of the interval."""
    assert run(hourly, run_id="h1").state == "success"
    assert [stage for stage, _ in functions.calls] == STAGES
    own = {"symbol": "BTC", "quote": "USD", "as_of": "2025-05-01T07:10:00Z", "run_id": "h1"}
    assert functions.calls[-1][1] == {**own, **{stage: "done" for stage in STAGES[:-1]}}


@pytest.mark.usefixtures("database")
def test_a_refused_batch_is_not_scored_and_stops_no_other_symbol(hourly: Any, functions: Any) -> None:
    """Where the gate refuses, nothing is forecast or scored; the other symbol's run is whole."""
    functions.failures["validate", "BTC"] = ["[gate_refused] no"] * 9
    assert run(hourly, symbols=["BTC", "ETH"]).state == "failed"
    assert functions.count("BTC") == {"ingest": 1, "validate": 1}
    assert functions.count("ETH") == dict.fromkeys(STAGES, 1)


@pytest.mark.usefixtures("database")
def test_a_score_that_was_cut_off_is_tried_again_with_the_same_event(hourly: Any, functions: Any) -> None:
    """The stage counts nothing twice, so it may be retried."""
    functions.failures["score", "BTC"] = ["Task timed out after 900.00 seconds"]
    assert run(hourly).state == "success"
    assert functions.count("BTC") == {**dict.fromkeys(STAGES, 1), "score": 2}
    assert len({str(event) for stage, event in functions.calls if stage == "score"}) == 1
