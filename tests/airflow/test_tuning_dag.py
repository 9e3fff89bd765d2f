"""The weekly search: its shape, and whole runs of it with made-up functions."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("airflow.sdk", reason="Airflow is in .venv-airflow; `make test` runs this file there")

from airflow.dag_processing.dagbag import DagBag  # noqa: E402

DAGS = Path(__file__).parents[2] / "airflow" / "dags"
SUNDAY = datetime(2025, 5, 4, tzinfo=UTC)


@pytest.fixture
def tuning() -> Any:
    """Return the DAG, parsed afresh."""
    return DagBag(str(DAGS)).dags["volatility_tuning"]


def run(dag: Any, **conf: Any) -> Any:
    """Run the DAG once in this process and return the run."""
    return dag.test(logical_date=SUNDAY, run_conf=conf)


def test_the_search_is_weekly_alone_and_documented(tuning: Any) -> None:
    """One run at a time, one symbol at a time, no catching up; retried, because it resumes."""
    assert (tuning.schedule, tuning.catchup, tuning.max_active_runs, tuning.max_active_tasks) == (
        "@weekly",
        False,
        1,
        1,
    )
    assert [task.task_id for task in tuning.topological_sort()] == ["plan", "tune"]
    assert all(task.doc_md for task in tuning.tasks) and tuning.doc_md
    tune = tuning.get_task("tune")
    assert tune.partial_kwargs["function_name"] == "cryptovol-tune" and tune.retries == 2


def test_each_dag_file_stands_alone() -> None:
    """Each is read by itself, with this folder on no import path, and gives the one DAG of its name."""
    for path in DAGS.glob("*.py"):
        bag = DagBag(str(path))
        assert (bag.import_errors, list(bag.dags)) == ({}, [path.stem])


@pytest.mark.usefixtures("database")
def test_a_run_invokes_the_function_once_per_symbol_with_the_end_of_the_interval(tuning: Any, functions: Any) -> None:
    """By default the environment's symbols, each with pair, instant and run: the function finds the table itself."""
    assert run(tuning, run_id="w1").state == "success"
    own = {"quote": "USD", "as_of": "2025-05-04T00:00:00Z", "run_id": "w1"}
    calls = sorted(functions.calls, key=lambda call: call[1]["symbol"])
    assert calls == [("tune", {"symbol": symbol, **own}) for symbol in ("BTC", "ETH")]


@pytest.mark.usefixtures("database")
def test_one_symbols_failure_does_not_stop_the_others(tuning: Any, functions: Any) -> None:
    """A symbol without a feature table fails, tried again or not; the other is tuned."""
    functions.failures["tune", "BTC"] = ["[data] no feature table of btc-usd; run featurize first"] * 9
    assert run(tuning).state == "failed"
    assert (functions.count("BTC"), functions.count("ETH")) == ({"tune": 3}, {"tune": 1})


@pytest.mark.usefixtures("database")
def test_a_search_that_was_cut_off_is_taken_up_again(tuning: Any, functions: Any) -> None:
    """A function that timed out, and a tracker that was away, are tried again with the very same event."""
    functions.failures["tune", "BTC"] = ["Task timed out after 900.00 seconds", "[transient, retryable] MLflow is away"]
    assert run(tuning, symbols=["BTC"]).state == "success"
    assert functions.count("BTC") == {"tune": 3} and len({str(event) for _, event in functions.calls}) == 1
