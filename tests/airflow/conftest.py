"""Airflow reads its settings when it is imported, so they are set before any test module is; and what the tests share."""

import importlib.metadata
import io
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

HOME = tempfile.TemporaryDirectory(prefix="airflow-test-")
# Elsewhere than in Airflow's own environment these tests are skipped and nothing is set.
if any(importlib.metadata.distributions(name="apache-airflow-core")):
    os.environ.update(
        {
            "AIRFLOW_HOME": HOME.name,
            "AIRFLOW__CORE__DAGS_FOLDER": str(Path(__file__).parents[2] / "airflow" / "dags"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            "AIRFLOW_CONN_AWS_DEFAULT": '{"conn_type": "aws", "extra": {"region_name": "us-east-1"}}',
            "CRYPTOVOL_RETRY_SECONDS": "0.1",
            "CRYPTOVOL_SYMBOLS": "BTC,ETH",
            "CRYPTOVOL_PYTHON": "/bin/echo",
            "CRYPTOVOL_HOME": HOME.name,
            "CRYPTOVOL_VERSION_LOG": os.path.join(HOME.name, "version.log"),
        }
    )


DAGS = Path(__file__).parents[2] / "airflow" / "dags"


@pytest.fixture
def dag() -> Any:
    """Return the pipeline, parsed afresh: a run in this process leaves its parameters in the DAG object."""
    from airflow.dag_processing.dagbag import DagBag

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
        self.answers: dict[str, dict[str, Any]] = {}

    def invoke_lambda(self, *, function_name: str, payload: Any, **more: Any) -> dict[str, Any]:
        """Answer as `LambdaHook.invoke_lambda` does."""
        event = json.loads(payload)
        stage = function_name.removeprefix("cryptovol-")
        self.calls.append((stage, event))
        body: dict[str, Any]
        planned = self.failures.get((stage, event["symbol"]), [])
        if planned:
            body = {"errorMessage": planned.pop(0), "errorType": "E"}
            return {"StatusCode": 200, "FunctionError": "Unhandled", "Payload": io.BytesIO(json.dumps(body).encode())}
        body = {**event, stage: "done", **self.answers.get(stage, {})}
        return {"StatusCode": 200, "Payload": io.BytesIO(json.dumps(body).encode())}

    def count(self, symbol: str) -> dict[str, int]:
        """Return how often each stage of a symbol was invoked."""
        return dict(Counter(stage for stage, event in self.calls if event["symbol"] == symbol))


@pytest.fixture
def functions(monkeypatch: pytest.MonkeyPatch) -> Functions:
    """Functions in place of the cloud's."""
    from airflow.providers.amazon.aws.hooks.lambda_function import LambdaHook

    made = Functions()
    monkeypatch.setattr(LambdaHook, "invoke_lambda", lambda self, **asked: made.invoke_lambda(**asked))
    return made


def pytest_sessionfinish() -> None:
    """Remove Airflow's home."""
    HOME.cleanup()
