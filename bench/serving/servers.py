"""The servers under load: ours two ways, and the usual ones with the same model."""

from __future__ import annotations

import http.client
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptovol.cloud.state import free_port

from . import children
from . import world as worlds
from .world import World

READY_SECONDS = 90.0
HEADERS = {"Content-Type": "application/json", "x-api-key": worlds.KEY}


@dataclass(frozen=True)
class Server:
    """One server.

    Parameters
    ----------
    name
        In the table.
    command
        Its words; ``{port}`` and ``{folder}`` are filled in.
    path
        `PYTHONPATH`.
    ours
        Whether it is one of ours.
    url
        Where it is asked.
    body
        What it is asked, from the features.
    read
        Its answer's volatility per hour.
    rivals
        Whether its interpreter is the rivals'.
    """

    name: str
    command: tuple[str, ...]
    path: str = ""
    ours: bool = False
    url: str = "/predict"
    body: Callable[[dict[str, float]], Any] = lambda row: {"features": row}
    read: Callable[[Any], float] = lambda answer: float(answer["volatility"])
    rivals: bool = False

    def words(self, port: int, folder: Path) -> list[str]:
        """Return the command with its interpreter."""
        python = str(worlds.RIVALS) if self.rivals else sys.executable
        return [python, *(word.format(port=port, folder=folder) for word in self.command)]

    def missing(self) -> str:
        """Return why it cannot be started at all, or an empty text."""
        if self.rivals and not worlds.RIVALS.exists():
            return f"{worlds.RIVALS} is not there; `make bench` makes it"
        return ""


_UVICORN = ("-m", "uvicorn", "fastapi_frame:app", "--host", "127.0.0.1", "--port", "{port}", "--no-access-log")
SERVERS = (
    Server("ours, `python -m cryptovol.cloud.api` (`chalice local`)", ("-m", "cryptovol.cloud.api", "--port", "{port}"), ours=True),
    Server(
        "ours, `cryptovol serve --workers 2`", ("-m", "cryptovol", "serve", "--workers", "2", "--port", "{port}"), ours=True
    ),
    Server("FastAPI, uvicorn, DataFrame, XGBRegressor; 1 worker", _UVICORN, "bench/rivals", rivals=True),
    Server("the same; 2 workers", (*_UVICORN, "--workers", "2"), "bench/rivals", rivals=True),
    Server(
        "BentoML, DataFrame, XGBRegressor; 1 worker",
        ("-m", "bentoml", "serve", "bento_frame:Forecast", "--host", "127.0.0.1", "--port", "{port}"),
        "bench/rivals", rivals=True,
    ),
    Server(
        "`mlflow models serve`; 1 worker",
        (
            "-m", "mlflow", "models", "serve", "-m", "{folder}/mlflow", "--env-manager", "local", "--host", "127.0.0.1",
            "--port", "{port}", "--workers", "1",
        ),
        url="/invocations", body=lambda row: {"dataframe_records": [row]},
        read=lambda answer: math.exp(float(answer["predictions"][0])),
    ),
)  # fmt: skip
# Offline, silent, and each on one thread, as ours is.
QUIET = {
    "OMP_NUM_THREADS": "1", "BENTOML_DO_NOT_TRACK": "True", "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}  # fmt: skip


@dataclass(frozen=True)
class Running:
    """A server that answers right: where, and the request's body."""

    child: subprocess.Popen[bytes]
    port: int
    body: bytes


def saved_for_mlflow(world: World) -> Path:
    """Return the model as MLflow keeps it, saved once."""
    folder = world.folder / "mlflow"
    if not folder.exists():
        command = [sys.executable, "bench/rivals/mlflow_save.py", str(world.model), str(folder)]
        environ = world.environ(**QUIET, HOME=str(world.folder))
        with (world.folder / "mlflow-save.log").open("wb") as log:
            subprocess.run(command, env=environ, stdout=log, stderr=log, check=True, timeout=120)
    return folder


@contextmanager
def started(server: Server, world: World) -> Iterator[Running]:
    """Yield the server once it gives the model's own answer.

    Raises
    ------
    FailedError
        If it does not.
    """
    port, place = free_port(), str(SERVERS.index(server))
    log = world.folder / f"server-{place}.log"
    words = server.words(port, world.folder)
    # MLflow starts uvicorn by its name: the interpreter's own commands come first.
    path = f"{Path(words[0]).absolute().parent}:{os.environ.get('PATH', '')}"
    environ = world.environ(**QUIET, PATH=path, PYTHONPATH=server.path, BENTOML_HOME=str(world.folder / "bento"))
    body = json.dumps(server.body(world.row)).encode()
    with children.running(words, environ, log) as child:
        children.wait_until(lambda: _answers(server, world, port, body), child, log, READY_SECONDS)
        yield Running(child, port, body)


def _answers(server: Server, world: World, port: int, body: bytes) -> bool:
    """Return whether the server is there; raise if its answer is another than the model's."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("POST", server.url, body=body, headers=HEADERS)
        answer = connection.getresponse()
        data = answer.read()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    if answer.status != 200:
        raise children.FailedError(f"it answers {answer.status}: {data[:300].decode(errors='replace')}")
    found = server.read(json.loads(data))
    if not world.agrees(found):
        raise children.FailedError(f"it says {found}, the model {world.expected}")
    return True
