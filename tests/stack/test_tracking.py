"""The MLflow tracker against a real MLflow server."""

import os
import subprocess
import sys
import time
import urllib.request

import pytest

from cryptovol.adapters.tracking import MlflowTracker
from cryptovol.cloud.state import free_port
from cryptovol.errors import TransientError

pytestmark = pytest.mark.stack
RUN = {
    "params": {"horizon": 24, "forest": {"trees": 10}},
    "metrics": {"qlike": 0.3, "har.qlike": 0.4},
    "fold_metrics": {"fold_qlike": [0.2, 0.4]},
    "artifacts": {"bundle/bundle.json": b"{}\n", "plots/a.svg": b"<svg/>"},
    "tags": {"run_id": "r1", "bundle_sha256": "ab" * 32, "market": "simulated"},
}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Return the address of an MLflow server on loopback with a database and artifacts of its own."""
    folder, port = tmp_path_factory.mktemp("mlflow"), free_port()
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        "--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "artifacts"),
    ]  # fmt: skip
    quiet = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "GIT_PYTHON_REFRESH": "quiet"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=quiet, cwd=folder, start_new_session=True)
    try:
        wait_until_healthy(f"http://127.0.0.1:{port}/health", process)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, 15)
        process.wait(30)


def wait_until_healthy(url: str, process: subprocess.Popen[bytes]) -> None:
    """Return when the server answers; fail if it ends or takes two minutes."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, "mlflow server ended"
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            time.sleep(0.3)
    raise AssertionError("mlflow server did not come up")


def test_tracker_logs_registers_and_aliases(server):
    """A run has its parameters, metrics, folds, artifacts, version and aliases; logging it again doubles nothing."""
    from mlflow.tracking import MlflowClient

    tracker = MlflowTracker(server)
    first = tracker.log("cryptovol-test-h24", **RUN)
    assert tracker.log("cryptovol-test-h24", **RUN) == first
    for alias in ("challenger", "champion"):
        tracker.alias("cryptovol-test-h24", version=first.version, alias=alias)
    client = MlflowClient(tracking_uri=server)
    run = client.get_run(first.run_id)
    assert run.data.params["forest.trees"] == "10" and run.data.metrics["har.qlike"] == 0.4
    assert [m.value for m in client.get_metric_history(first.run_id, "fold_qlike")] == [0.2, 0.4]
    assert {a.path for a in client.list_artifacts(first.run_id)} == {"bundle", "plots"}
    assert client.get_model_version_by_alias("cryptovol-test-h24", "champion").run_id == first.run_id
    assert len(client.search_runs([run.info.experiment_id])) == 1
    assert run.data.tags["market"] == "simulated"


def test_a_note_is_a_run_without_a_registered_version(server):
    """Parameters, series and pictures are in MLflow once, and no model is registered under the name."""
    from mlflow.tracking import MlflowClient

    own = {**RUN, "identity": "s1-50", "series": {"best_qlike": [0.4, 0.3, 0.3]}}
    del own["fold_metrics"]
    tracker = MlflowTracker(server)
    first = tracker.note("cryptovol-test-h24-tuning", **own)
    assert tracker.note("cryptovol-test-h24-tuning", **own) == first and first.version == ""
    client = MlflowClient(tracking_uri=server)
    run = client.get_run(first.run_id)
    assert run.info.run_name == "cryptovol-test-h24-tuning" and run.data.params["forest.trees"] == "10"
    assert [m.value for m in client.get_metric_history(first.run_id, "best_qlike")] == [0.4, 0.3, 0.3]
    assert {a.path for a in client.list_artifacts(first.run_id, "plots")} == {"plots/a.svg"}
    assert not [model for model in client.search_registered_models() if model.name.endswith("-tuning")]


def test_tracker_without_a_server_is_a_failure_that_may_pass():
    """No server is a retryable error with the address in it."""
    url = f"http://127.0.0.1:{free_port()}"
    os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"
    try:
        with pytest.raises(TransientError, match=url):
            MlflowTracker(url).log("x", **RUN)
    finally:
        del os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"]
