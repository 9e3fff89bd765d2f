"""The watch: its shape, and whole runs of it with made-up functions."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("airflow.sdk", reason="Airflow is in .venv-airflow; `make test` runs this file there")

from airflow.dag_processing.dagbag import DagBag  # noqa: E402
from airflow.models.dagrun import DagRun  # noqa: E402
from airflow.utils.session import create_session  # noqa: E402

DAGS = Path(__file__).parents[2] / "airflow" / "dags"
HOUR = datetime(2025, 5, 1, 7, 25, tzinfo=UTC)
QUIET = {"retrain": False, "watch": "quiet", "market": "live"}


@pytest.fixture
def watch() -> Any:
    """Return the DAG, parsed afresh."""
    return DagBag(str(DAGS)).dags["watch_and_retrain"]


@pytest.fixture
def decided(functions: Any, monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Any]]:
    """Return what the watch function answers by symbol; one that is not there is quiet."""
    answers: dict[str, dict[str, Any]] = {}
    plain = functions.invoke_lambda

    def invoke(*, function_name: str, payload: Any, **more: Any) -> dict[str, Any]:
        functions.answers["watch"] = answers.get(json.loads(payload)["symbol"], QUIET)
        return dict(plain(function_name=function_name, payload=payload, **more))

    monkeypatch.setattr(functions, "invoke_lambda", invoke)
    return answers


def retrain(number: int, symbol: str) -> dict[str, Any]:
    """Return the answer of a decision to retrain."""
    return {"retrain": True, "watch": "retrain", "market": "live", "retraining": f"watch-{symbol}-{number:04d}"}


def run(dag: Any, **conf: Any) -> Any:
    """Run the DAG once in this process and return the run."""
    return dag.test(logical_date=HOUR, run_conf={"symbols": ["BTC"], **conf})


def triggered() -> dict[str, dict[str, Any]]:
    """Return the pipeline's runs in Airflow's database by id, with their parameters."""
    with create_session() as session:
        found = session.query(DagRun).filter(DagRun.dag_id == "volatility_pipeline").all()
        return {each.run_id: dict(each.conf) for each in found if each.run_id.startswith("watch-")}


def test_watch_is_hourly_after_the_scoreboards_alone_and_documented(watch: Any) -> None:
    """A quarter of an hour after `score_forecasts`, one run at a time, no catching up."""
    assert (watch.schedule, watch.catchup, watch.max_active_runs) == ("25 * * * *", False, 1)
    assert {task.task_id: task.downstream_task_ids for task in watch.tasks} == {
        "plan": {"watch"}, "watch": {"started", "judged"}, "judged": set(),
        "started": {"tune", "pipeline"}, "tune": {"pipeline"}, "pipeline": set(),
    }  # fmt: skip
    assert all(task.doc_md for task in watch.tasks) and watch.doc_md


@pytest.mark.usefixtures("database")
def test_a_quiet_market_tunes_and_triggers_nothing(watch: Any, functions: Any, decided: Any) -> None:
    """The function is asked once per symbol with the end of the interval, and that is all."""
    before = triggered()
    assert run(watch, symbols=["BTC", "ETH"], run_id="w1").state == "success"
    own = {"quote": "USD", "as_of": "2025-05-01T07:25:00Z", "run_id": "w1"}
    calls = sorted(functions.calls, key=lambda call: call[1]["symbol"])
    assert calls == [("watch", {"symbol": symbol, **own}) for symbol in ("BTC", "ETH")]
    assert triggered() == before


@pytest.mark.usefixtures("database")
def test_a_decision_starts_tuning_then_the_pipeline_for_its_symbol_alone(
    watch: Any, functions: Any, decided: Any
) -> None:
    """The search and the triggered run have the decision's id and instant; the quiet symbol is left alone."""
    decided["BTC"] = retrain(11, "btc-usd")
    assert run(watch, symbols=["BTC", "ETH"]).state == "success"
    (event,) = [event for stage, event in functions.calls if stage == "tune"]
    assert (event["symbol"], event["run_id"], event["market"]) == ("BTC", "watch-btc-usd-0011", "live")
    assert triggered()["watch-btc-usd-0011"] == {
        "symbols": ["BTC"], "quote": "USD", "as_of": "2025-05-01T07:25:00Z", "run_id": "watch-btc-usd-0011"
    }  # fmt: skip


@pytest.mark.usefixtures("database")
def test_the_same_decision_twice_triggers_one_run(watch: Any, functions: Any, decided: Any) -> None:
    """A cleared or repeated run finds the pipeline's run there and leaves it."""
    decided["BTC"] = retrain(12, "btc-usd")
    for _ in range(2):
        assert run(watch).state == "success"
    assert [name for name in triggered() if name == "watch-btc-usd-0012"] == ["watch-btc-usd-0012"]


@pytest.mark.usefixtures("database")
def test_a_search_that_fails_does_not_keep_the_pipeline_from_starting(watch: Any, functions: Any, decided: Any) -> None:
    """After its retries the search is failed; the training on newer bars is started nevertheless."""
    decided["BTC"] = retrain(13, "btc-usd")
    functions.failures["tune", "BTC"] = ["Task timed out after 900.00 seconds"] * 9
    run(watch)
    assert functions.count("BTC")["tune"] == 4 and "watch-btc-usd-0013" in triggered()


@pytest.mark.usefixtures("database")
def test_one_symbols_failure_keeps_no_other_from_being_retrained(watch: Any, functions: Any, decided: Any) -> None:
    """A scoreboard that cannot be read fails its symbol; the other's retraining starts."""
    decided["ETH"] = retrain(14, "eth-usd")
    functions.failures["watch", "BTC"] = ["[data] scoreboard/live/btc-usd/… cannot be read"] * 9
    assert run(watch, symbols=["BTC", "ETH"]).state == "failed"
    assert functions.count("BTC") == {"watch": 4} and "watch-eth-usd-0014" in triggered()
