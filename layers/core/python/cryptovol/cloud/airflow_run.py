"""Airflow on a local cloud: its environment, its database, one run of the DAG, and its own UI.

Airflow lives in a virtual environment of its own and knows the functions by name only.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cryptovol.cloud import environs, parts
from cryptovol.cloud.processes import Spec, log_tail
from cryptovol.errors import ConfigError, TransientError

NAME = "airflow"
DAG_ID = "volatility_pipeline"
VENV = ".venv-airflow"
# A stage may take a quarter of an hour. With boto3's defaults the client would give up after one minute and
# invoke the stage again, up to three times, while the first still runs.
CLIENT = {"read_timeout": 900, "connect_timeout": 5, "retries": {"max_attempts": 0}}
RETRY_SECONDS = "3"  # a person waits: the deployed default is ten times that


def program(root: Path) -> Path:
    """Return the `airflow` program; raise `ConfigError` if it is not installed."""
    path = root / VENV / "bin" / "airflow"
    if not path.is_file():
        raise ConfigError(f"{path} does not exist. Cure: `make setup` installs Airflow in {VENV}")
    return path


def environ(
    root: Path,
    folder: Path,
    caller: Mapping[str, str],
    *,
    endpoint: str,
    application: Mapping[str, str],
    symbols: Sequence[str],
    quote: str,
) -> dict[str, str]:
    """Return Airflow's environment.

    Parameters
    ----------
    root, folder
        The project and its ``var``, absolute.
    application
        The project's settings: the version step runs the project's interpreter in this environment.
    symbols, quote
        What a scheduled run is for.
    """
    bin_folder = program(root).parent
    base = environs.scrubbed(caller, **environs.cloud(endpoint))
    return {
        **base,
        **application,
        # `airflow` starts further `airflow` processes by name.
        "PATH": f"{bin_folder}:{base.get('PATH', '/usr/bin:/bin')}",
        "AIRFLOW_HOME": str(folder / "airflow"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(root / "airflow" / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG": "False",
        "AIRFLOW_CONN_AWS_DEFAULT": connection(endpoint),
        "CRYPTOVOL_SYMBOLS": ",".join(symbols),
        "CRYPTOVOL_QUOTE": quote,
        "CRYPTOVOL_PYTHON": sys.executable,
        "CRYPTOVOL_HOME": str(root),
        "CRYPTOVOL_VERSION_LOG": str(parts.function_log(folder, "version")),
        "CRYPTOVOL_RETRY_SECONDS": RETRY_SECONDS,
    }


def connection(endpoint: str) -> str:
    """Return the `aws_default` connection as JSON."""
    extra = {"region_name": environs.REGION, "endpoint_url": endpoint, "config_kwargs": CLIENT}
    login, password = environs.CREDENTIALS.values()
    return json.dumps({"conn_type": "aws", "login": login, "password": password, "extra": extra})


def migrate(root: Path, folder: Path, env: Mapping[str, str]) -> bool:
    """Bring Airflow's database to the installed version and return whether anything had to be done."""
    home = folder / "airflow"
    home.mkdir(parents=True, exist_ok=True)
    marker, version = home / "migrated", installed_version(root)
    if (home / "airflow.db").is_file() and marker.is_file() and marker.read_text() == version:
        return False
    log = folder / "logs" / "airflow-migrate.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "wb") as out:
        command = [str(program(root)), "db", "migrate"]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=env, cwd=root, check=False)
    if done.returncode:
        raise TransientError(f"`airflow db migrate` failed; the end of {log}:\n{log_tail(log)}")
    marker.write_text(version)
    return True


def installed_version(root: Path) -> str:
    """Return the installed Airflow's version, read from its metadata folder's name: importing it takes seconds."""
    found = sorted((root / VENV).glob("lib/python*/site-packages/apache_airflow_core-*.dist-info"))
    if not found:
        raise ConfigError(f"{root / VENV} holds no Airflow. Cure: `make setup`")
    return found[-1].name.split("-")[1]


def test_spec(root: Path, env: Mapping[str, str], *, as_of: str, conf: Mapping[str, Any]) -> Spec:
    """Return the process of one run of the DAG, from first task to last, in one Airflow process."""
    command = (str(program(root)), "dags", "test", DAG_ID, as_of, "--conf", json.dumps(conf))
    return Spec(NAME, command, env)


def ui_specs(root: Path, env: Mapping[str, str], port: int) -> list[Spec]:
    """Return Airflow's scheduler, DAG processor and API server with its UI: the six-hourly schedule, to look at.

    Not ``airflow standalone``: that also starts log servers, which can only be bound to every interface. Nothing
    here needs them, nor a triggerer.
    """
    own = {
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "AIRFLOW__CORE__PARALLELISM": "2",
        # Bound to loopback, for one person: a login would protect nothing.
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
    }
    airflow, whole = str(program(root)), {**env, **own}
    server = (airflow, "api-server", "--host", "127.0.0.1", "--port", str(port))
    return [
        Spec("airflow-scheduler", (airflow, "scheduler", "--skip-serve-logs"), whole),
        Spec("airflow-processor", (airflow, "dag-processor"), whole),
        Spec("airflow-ui", server, whole, port, "/api/v2/monitor/health", ready_seconds=180.0),
    ]
