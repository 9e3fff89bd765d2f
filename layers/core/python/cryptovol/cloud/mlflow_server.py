"""The MLflow server: runs and registry in a local SQLite file, artifacts in the S3 bucket, clients over HTTP only."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from cryptovol.cloud import environs
from cryptovol.cloud.processes import Spec

NAME = "mlflow"
BUCKET = "cryptovol-mlflow"


def spec(folder: Path, port: int, environ: Mapping[str, str], *, endpoint: str) -> Spec:
    """Return the server's process.

    Parameters
    ----------
    folder
        ``var``, absolute; the database is ``mlflow/mlflow.db`` in it.
    endpoint
        Where S3 is.
    """
    home = folder / "mlflow"
    home.mkdir(parents=True, exist_ok=True)
    own = {
        **environs.cloud(endpoint),
        "MLFLOW_S3_ENDPOINT_URL": endpoint,
        # Seven more processes for features that are not used here, and half a gigabyte.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "GIT_PYTHON_REFRESH": "quiet",
    }
    command = (
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        "--backend-store-uri", f"sqlite:///{home / 'mlflow.db'}", "--artifacts-destination", f"s3://{BUCKET}",
    )  # fmt: skip
    return Spec(NAME, command, environs.scrubbed(environ, **own), port, "/health", ready_seconds=120.0)
