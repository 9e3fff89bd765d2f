"""Airflow reads its settings when it is imported, so they are set before any test module is."""

import importlib.metadata
import os
import tempfile
from pathlib import Path

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


def pytest_sessionfinish() -> None:
    """Remove Airflow's home."""
    HOME.cleanup()
