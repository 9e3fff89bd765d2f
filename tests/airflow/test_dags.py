"""The DAG: its shape, its retries, and whole runs of it with made-up functions."""

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("airflow.sdk", reason="Airflow is in .venv-airflow; `make test` runs this file there")

from airflow.dag_processing.dagbag import DagBag  # noqa: E402

DAGS = Path(__file__).parents[2] / "airflow" / "dags"
AS_OF = datetime(2025, 5, 1, tzinfo=UTC)
STAGES = ["ingest", "validate", "featurize", "train", "version", "score"]


@pytest.fixture(scope="session")
def bag() -> DagBag:
    """Return all DAGs as Airflow reads them; no database is needed."""
    return DagBag(str(DAGS))


# ---------------------------------------------------------------- shape


def test_dags_load_without_errors_and_quickly(bag: DagBag) -> None:
    """Every file parses, and our own part of it takes less than a second."""
    assert bag.import_errors == {}
    assert set(bag.dags) == {"volatility_pipeline", "volatility_tuning", "score_forecasts", "watch_and_retrain"}
    started = time.monotonic()
    DagBag(str(DAGS))
    assert time.monotonic() - started < 1.0


def test_dag_runs_every_six_hours_one_at_a_time_and_never_catches_up(dag: Any) -> None:
    """The schedule is the agreed one."""
    assert dag.schedule == "0 */6 * * *"
    assert dag.catchup is False
    assert dag.max_active_runs == 1


def test_dag_walks_the_stages_in_order(dag: Any) -> None:
    """Each stage follows the one before; nothing runs beside the line."""
    for before, after in zip(["plan", *STAGES], STAGES, strict=False):
        assert after in dag.get_task(before).downstream_task_ids
    assert [task.task_id for task in dag.topological_sort()] == ["plan", *STAGES]


def test_stages_are_mapped_over_symbols_by_name_alone(dag: Any) -> None:
    """The stages form one mapped group, without a prefix, and call functions by name."""
    groups = {dag.get_task(stage).task_group.group_id for stage in STAGES}
    assert groups == {"pair"}
    names = {stage: dag.get_task(stage).function_name for stage in STAGES if stage != "version"}
    assert names == {stage: f"cryptovol-{stage}" for stage in names}


def test_only_ingest_and_train_are_retried_with_growing_pauses(dag: Any) -> None:
    """The gate, and what follows from stored data, is never retried."""
    retries = {stage: dag.get_task(stage).retries for stage in STAGES}
    assert retries == {"ingest": 3, "train": 3, "validate": 0, "featurize": 0, "version": 0, "score": 0}
    for stage in ("ingest", "train"):
        assert dag.get_task(stage).retry_exponential_backoff
        assert dag.get_task(stage).max_retry_delay == timedelta(minutes=10)


def test_every_task_is_documented(dag: Any) -> None:
    """Each task says in the UI what it does."""
    assert all(task.doc_md for task in dag.tasks)
    assert dag.doc_md


# ---------------------------------------------------------------- whole runs


def run(dag: Any, **conf: Any) -> Any:
    """Run the DAG once in this process and return the run."""
    return dag.test(logical_date=AS_OF, run_conf={"symbols": ["BTC"], **conf})


@pytest.mark.usefixtures("database")
def test_a_run_hands_each_answer_to_the_next_stage(dag: Any, functions: Any) -> None:
    """Every stage is invoked once with what the one before returned, and the version step knows the run."""
    assert run(dag, run_id="r1").state == "success"
    assert [stage for stage, _ in functions.calls] == ["ingest", "validate", "featurize", "train", "score"]
    first, last = functions.calls[0][1], functions.calls[-1][1]
    assert first == {"symbol": "BTC", "quote": "USD", "as_of": "2025-05-01T00:00:00Z", "run_id": "r1"}
    assert last == {**first, "ingest": "done", "validate": "done", "featurize": "done", "train": "done"}
    words = Path(os.environ["CRYPTOVOL_VERSION_LOG"]).read_text()
    assert words == "-m cryptovol version --run-id r1 --symbol BTC --quote USD --as-of 2025-05-01T00:00:00Z\n"


@pytest.mark.usefixtures("database")
def test_one_symbols_refusal_does_not_stop_the_others(dag: Any, functions: Any) -> None:
    """A refused batch fails the run, skips its own later stages, and leaves the other symbol alone."""
    functions.failures["validate", "BTC"] = ["[gate_refused] no"] * 9
    assert run(dag, symbols=["BTC", "ETH"]).state == "failed"
    assert functions.count("BTC") == {"ingest": 1, "validate": 1}
    assert functions.count("ETH") == {"ingest": 1, "validate": 1, "featurize": 1, "train": 1, "score": 1}


@pytest.mark.usefixtures("database")
def test_a_retryable_failure_and_a_crash_are_tried_again(dag: Any, functions: Any) -> None:
    """Ingest that cannot reach its source, and a train that crashes, succeed at the next attempt."""
    functions.failures["ingest", "BTC"] = ["[source_unavailable, retryable] no answer"]
    functions.failures["train", "BTC"] = ["Runtime exited before returning a response"]
    assert run(dag).state == "success"
    assert functions.count("BTC") == {"ingest": 2, "validate": 1, "featurize": 1, "train": 2, "score": 1}


@pytest.mark.usefixtures("database")
def test_a_wrong_setting_is_not_retried(dag: Any, functions: Any) -> None:
    """An error that no retry can cure ends ingest at its first attempt."""
    functions.failures["ingest", "BTC"] = ["[unknown_symbol] no source knows BTC"] * 9
    assert run(dag).state == "failed"
    assert functions.count("BTC") == {"ingest": 1}


@pytest.mark.usefixtures("database")
def test_a_run_without_a_logical_date_uses_the_moment_it_was_due(dag: Any, functions: Any) -> None:
    """Triggered by hand, without an interval, `as_of` is the moment from which the run may start."""
    due = datetime(2025, 5, 2, 6, 30, tzinfo=UTC)
    done = dag.test(logical_date=None, run_after=due, run_conf={"symbols": ["BTC"]})
    assert done.state == "success"
    assert {event["as_of"] for _, event in functions.calls} == {"2025-05-02T06:30:00Z"}


@pytest.mark.usefixtures("database")
def test_conf_overrides_as_of_quote_and_default_symbols(dag: Any, functions: Any) -> None:
    """What the caller asks for wins over the interval and the environment; unasked, the environment's symbols run."""
    assert dag.test(logical_date=AS_OF, run_conf={"as_of": "2024-01-01T00:00:00Z", "quote": "EUR"}).state == "success"
    seen = {(event["symbol"], event["quote"], event["as_of"]) for _, event in functions.calls}
    assert seen == {("BTC", "EUR", "2024-01-01T00:00:00Z"), ("ETH", "EUR", "2024-01-01T00:00:00Z")}


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize("conf", [{"symbols": []}, {"symbols": ["btc; rm"]}, {"symbols": "BTC"}, {"quote": "usd!"}])
def test_conf_that_is_no_request_is_refused_before_anything_runs(
    conf: dict[str, Any], dag: Any, functions: Any
) -> None:
    """Parameters are checked against their schema; no function is invoked."""
    with pytest.raises(Exception, match="Invalid input for param"):
        dag.test(logical_date=AS_OF, run_conf=conf)
    assert functions.calls == []
