"""The DAG: its shape, its retries, and whole runs of it with made-up functions."""

import io
import json
import os
import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("airflow.sdk", reason="Airflow is in .venv-airflow; `make test` runs this file there")

from airflow.dag_processing.dagbag import DagBag  # noqa: E402
from airflow.providers.amazon.aws.hooks.lambda_function import LambdaHook  # noqa: E402
from airflow.sdk.exceptions import AirflowFailException  # noqa: E402

DAGS = Path(__file__).parents[2] / "airflow" / "dags"
AS_OF = datetime(2025, 5, 1, tzinfo=UTC)
STAGES = ["ingest", "validate", "featurize", "train", "version", "score"]


@pytest.fixture(scope="session")
def bag() -> DagBag:
    """Return all DAGs as Airflow reads them; no database is needed."""
    return DagBag(str(DAGS))


@pytest.fixture
def dag() -> Any:
    """Return the pipeline, parsed afresh: a run in this process leaves its parameters in the DAG object."""
    return DagBag(str(DAGS)).dags["volatility_pipeline"]


@pytest.fixture
def module(dag: Any) -> Any:
    """Return the DAG file as Airflow has loaded it."""
    return sys.modules[type(dag.get_task("ingest")).__module__]


@pytest.fixture(scope="session")
def database() -> None:
    """Make Airflow's database."""
    subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], check=True, capture_output=True)


class Functions:
    """Stands in for Lambda: answers with the event, or fails as it is told; remembers every call."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.failures: dict[tuple[str, str], list[str]] = {}

    def invoke_lambda(self, *, function_name: str, payload: Any, **more: Any) -> dict[str, Any]:
        """Answer as `LambdaHook.invoke_lambda` does."""
        event = json.loads(payload)
        stage = function_name.removeprefix("cryptovol-")
        self.calls.append((stage, event))
        planned = self.failures.get((stage, event["symbol"]), [])
        if planned:
            body: dict[str, Any] = {"errorMessage": planned.pop(0), "errorType": "E"}
            return {"StatusCode": 200, "FunctionError": "Unhandled", "Payload": io.BytesIO(json.dumps(body).encode())}
        return {"StatusCode": 200, "Payload": io.BytesIO(json.dumps({**event, stage: "done"}).encode())}

    def count(self, symbol: str) -> dict[str, int]:
        """Return how often each stage of a symbol was invoked."""
        return dict(Counter(stage for stage, event in self.calls if event["symbol"] == symbol))


@pytest.fixture
def functions(monkeypatch: pytest.MonkeyPatch) -> Functions:
    """Functions in place of the cloud's."""
    made = Functions()
    monkeypatch.setattr(LambdaHook, "invoke_lambda", lambda self, **asked: made.invoke_lambda(**asked))
    return made


# ---------------------------------------------------------------- shape


def test_dags_load_without_errors_and_quickly(bag: DagBag) -> None:
    """Every file parses, and our own part of it takes less than a second."""
    assert bag.import_errors == {}
    assert set(bag.dags) == {"volatility_pipeline"}
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


# ---------------------------------------------------------------- operator


@pytest.mark.parametrize(
    ("message", "final"),
    [
        ("[gate_refused] 3 rows too many", True),
        ("[config] CRYPTOVOL_SOURCE is 'x'", True),
        ("[source_unavailable, retryable] no answer", False),
        ("[gate_refused] a text that quotes [x, retryable] later", True),
        ("Task timed out after 900.00 seconds", False),
        ("Runtime exited before returning a response", False),
        ("", False),
    ],
)
def test_a_failure_is_final_only_if_it_is_ours_and_not_retryable(message: str, final: bool, module: Any) -> None:
    """Our own refusals are final; retryable errors and crashes are not."""
    assert module.is_final(message) is final


def test_operator_turns_a_refusal_into_a_failure_without_retry(
    dag: Any, functions: Functions, module: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A refusal raises `AirflowFailException`, and each of its lines is a line of the task log."""
    functions.failures["validate", "BTC"] = [
        "[gate_refused] the gate refused btc-usd\n- nulls: 41 rows\n- gaps: 7 rows"
    ]
    task = module.StageOperator(
        task_id="validate", function_name="cryptovol-validate", payload='{"symbol": "BTC"}', retries=3
    )
    lines: list[str] = []
    task.log.error = lambda text, *words: lines.append(text % words)  # type: ignore[method-assign]
    with pytest.raises(AirflowFailException, match="the gate refused"):
        task.execute({})
    assert lines == [
        "validate: [gate_refused] the gate refused btc-usd",
        "validate: - nulls: 41 rows",
        "validate: - gaps: 7 rows",
    ]


def test_operator_leaves_a_retryable_failure_to_the_retries(functions: Functions, module: Any) -> None:
    """A retryable error stays what it was, so that Airflow tries again."""
    functions.failures["ingest", "BTC"] = ["[source_unavailable, retryable] no answer"]
    task = module.StageOperator(task_id="ingest", function_name="cryptovol-ingest", payload='{"symbol": "BTC"}')
    with pytest.raises(ValueError, match="no answer"):
        task.execute({})
    assert json.loads(task.execute({})) == {"symbol": "BTC", "ingest": "done"}


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (ValueError("plain"), "plain"),
        (ValueError("text", {"Payload": "not json"}), "not json"),
        (ValueError("text", {"Payload": "[1]"}), "[1]"),
        (ValueError("text", {"Payload": '{"errorMessage": "m"}'}), "m"),
        (ValueError("text", {"Payload": '{"other": 1}'}), '{"other": 1}'),
        (ValueError("text", {}), "('text', {})"),
    ],
)
def test_failure_message_reads_any_shape_of_error(error: ValueError, says: str, module: Any) -> None:
    """Whatever the emulator answered, some text comes out."""
    assert module.failure_message(error) == says


# ---------------------------------------------------------------- whole runs


def run(dag: Any, **conf: Any) -> Any:
    """Run the DAG once in this process and return the run."""
    return dag.test(logical_date=AS_OF, run_conf={"symbols": ["BTC"], **conf})


@pytest.mark.usefixtures("database")
def test_a_run_hands_each_answer_to_the_next_stage(dag: Any, functions: Functions) -> None:
    """Every stage is invoked once with what the one before returned, and the version step knows the run."""
    assert run(dag, run_id="r1").state == "success"
    assert [stage for stage, _ in functions.calls] == ["ingest", "validate", "featurize", "train", "score"]
    first, last = functions.calls[0][1], functions.calls[-1][1]
    assert first == {"symbol": "BTC", "quote": "USD", "as_of": "2025-05-01T00:00:00Z", "run_id": "r1"}
    assert last == {**first, "ingest": "done", "validate": "done", "featurize": "done", "train": "done"}
    words = Path(os.environ["CRYPTOVOL_VERSION_LOG"]).read_text()
    assert words == "-m cryptovol version --run-id r1 --symbol BTC --quote USD --as-of 2025-05-01T00:00:00Z\n"


@pytest.mark.usefixtures("database")
def test_one_symbols_refusal_does_not_stop_the_others(dag: Any, functions: Functions) -> None:
    """A refused batch fails the run, skips its own later stages, and leaves the other symbol alone."""
    functions.failures["validate", "BTC"] = ["[gate_refused] no"] * 9
    assert run(dag, symbols=["BTC", "ETH"]).state == "failed"
    assert functions.count("BTC") == {"ingest": 1, "validate": 1}
    assert functions.count("ETH") == {"ingest": 1, "validate": 1, "featurize": 1, "train": 1, "score": 1}


@pytest.mark.usefixtures("database")
def test_a_retryable_failure_and_a_crash_are_tried_again(dag: Any, functions: Functions) -> None:
    """Ingest that cannot reach its source, and a train that crashes, succeed at the next attempt."""
    functions.failures["ingest", "BTC"] = ["[source_unavailable, retryable] no answer"]
    functions.failures["train", "BTC"] = ["Runtime exited before returning a response"]
    assert run(dag).state == "success"
    assert functions.count("BTC") == {"ingest": 2, "validate": 1, "featurize": 1, "train": 2, "score": 1}


@pytest.mark.usefixtures("database")
def test_a_wrong_setting_is_not_retried(dag: Any, functions: Functions) -> None:
    """An error that no retry can cure ends ingest at its first attempt."""
    functions.failures["ingest", "BTC"] = ["[unknown_symbol] no source knows BTC"] * 9
    assert run(dag).state == "failed"
    assert functions.count("BTC") == {"ingest": 1}


@pytest.mark.usefixtures("database")
def test_a_run_without_a_logical_date_uses_the_moment_it_was_due(dag: Any, functions: Functions) -> None:
    """Triggered by hand, without an interval, `as_of` is the moment from which the run may start."""
    due = datetime(2025, 5, 2, 6, 30, tzinfo=UTC)
    done = dag.test(logical_date=None, run_after=due, run_conf={"symbols": ["BTC"]})
    assert done.state == "success"
    assert {event["as_of"] for _, event in functions.calls} == {"2025-05-02T06:30:00Z"}


@pytest.mark.usefixtures("database")
def test_conf_overrides_as_of_quote_and_default_symbols(dag: Any, functions: Functions) -> None:
    """What the caller asks for wins over the interval and the environment; unasked, the environment's symbols run."""
    assert dag.test(logical_date=AS_OF, run_conf={"as_of": "2024-01-01T00:00:00Z", "quote": "EUR"}).state == "success"
    seen = {(event["symbol"], event["quote"], event["as_of"]) for _, event in functions.calls}
    assert seen == {("BTC", "EUR", "2024-01-01T00:00:00Z"), ("ETH", "EUR", "2024-01-01T00:00:00Z")}


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize("conf", [{"symbols": []}, {"symbols": ["btc; rm"]}, {"symbols": "BTC"}, {"quote": "usd!"}])
def test_conf_that_is_no_request_is_refused_before_anything_runs(
    conf: dict[str, Any], dag: Any, functions: Functions
) -> None:
    """Parameters are checked against their schema; no function is invoked."""
    with pytest.raises(Exception, match="Invalid input for param"):
        dag.test(logical_date=AS_OF, run_conf=conf)
    assert functions.calls == []
