"""The whole pipeline on a made-up market, each function in an interpreter of its own that sees nothing but its layers.

What only imports may still fail at work: a trimmed package misses a module on one road only. So each stage runs here, and
one request is answered, on a folder in place of the bucket.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from cryptovol.cloud.packaging import interpreter
from cryptovol.cloud.packaging.build import Built
from cryptovol.cloud.packaging.interpreter import Interpreter
from cryptovol.cloud.packaging.plan import Function
from cryptovol.errors import ModelError

AS_OF = "2025-01-01T00:00:00Z"
EVENT = {"symbol": "BTC", "quote": "USD", "as_of": AS_OF, "run_id": "drill"}
# Ten months of bars and a short search: enough for every line of code to be passed, too little for a good model.
_SMALLER = {
    "ingest": {"history_hours": 24 * 300},
    "train": {"members": 2},
    "tune": {"folds": 2, "test_hours": 720, "trials": 3, "startup_trials": 2, "prune_after_trials": 2},
}
_STAGE = """
from cryptovol import edge, wiring
edge.open_ports = lambda bounded: wiring.open_ports(pathlib.Path(store), bounded=bounded)
result = importlib.import_module("handler").lambda_handler(event, None)
cloud = wiring.open_ports(bounded=True)
cloud.store
cloud.meter.add("stage_rows", 1.0, {"stage": "drill", "series": "drill"})
cloud.meter.flush()
if tracked: cloud.tracker._client
"""
_REQUEST = """
from chalicelib import service
from cryptovol import wiring
import app
service.install(service.open_service(wiring.open_ports(pathlib.Path(store))))
class Context:
    aws_request_id = function_name = "drill"
    memory_limit_in_mb = 512
    invoked_function_arn = "drill"
result = app.app(event, Context())
wiring.open_ports(lean=True).store
wiring.open_ports().store  # the road back, where the environment asks for more than the lean one knows
importlib.import_module("cryptovol.sidecar.exposition")  # what GET /metrics goes through
"""
# Records what our own code imports, at its top and inside functions.
_HEAD = """
import builtins, importlib, json, pathlib, sys
folders, store, event, tracked = json.loads(sys.argv[1])
sys.path[:0] = folders
asked, plain = set(), builtins.__import__
def recorded(name, globals=None, *more, **named):
    if (globals or {}).get("__name__", "").split(".")[0] in ("cryptovol", "chalicelib", "handler", "app"):
        asked.add(name.split(".")[0])
    return plain(name, globals, *more, **named)
builtins.__import__ = recorded
"""
_TAIL = """
outside = asked - set(sys.stdlib_module_names) - {"cryptovol", "chalicelib", "app", "handler", ""}
print("\\n" + json.dumps({"result": result, "imported": sorted(outside)}))
"""


def perform(
    command: Sequence[str], name: str, folders: Sequence[Path], store: Path, event: Mapping[str, Any], params: Path
) -> dict[str, Any]:
    """Run one function once, in a process of its own, and return its ``result`` and what its code ``imported``.

    Parameters
    ----------
    command
        The interpreter and its options.
    name
        A stage, or ``predict``.
    folders
        What is put on the interpreter's path; the function's own comes first.
    store
        The folder in place of the bucket.
    params
        In place of `params.yaml`.

    Raises
    ------
    ModelError
        If it fails, with the last line it said.
    """
    tracked = name != "predict" and "ports.tracker" in (folders[0] / "handler.py").read_text(encoding="utf-8")
    task = json.dumps([[str(each.resolve()) for each in folders], str(store), event, tracked])
    program = _HEAD + (_REQUEST if name == "predict" else _STAGE) + _TAIL
    environ = {
        "CRYPTOVOL_SOURCE": "simulated", "CRYPTOVOL_MARKET": "simulated", "CRYPTOVOL_PARAMS": str(params),
        "MLFLOW_TRACKING_URI": "http://127.0.0.1:9", "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_DEFAULT_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
        "HOME": str(store), "PATH": "/usr/bin:/bin",
    }  # fmt: skip
    try:
        done = interpreter.run([*command, "-c", program, task], environ)
    except subprocess.CalledProcessError as error:
        raise ModelError(f"{name} does not run alone: {interpreter.last_words(error)}") from error
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def request(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the event API Gateway makes of ``POST /predict``."""
    return {
        "resource": "/predict", "path": "/predict", "httpMethod": "POST", "headers": {"content-type": "application/json"},
        "multiValueHeaders": {"content-type": ["application/json"]}, "multiValueQueryStringParameters": None,
        "pathParameters": None, "stageVariables": None, "body": json.dumps(body), "isBase64Encoded": False,
        "requestContext": {
            "httpMethod": "POST", "resourcePath": "/predict", "path": "/predict", "requestId": "drill",
            "identity": {"sourceIp": "127.0.0.1"},
        },
    }  # fmt: skip


def write_params(root: Path, target: Path) -> Path:
    """Write the project's parameters, made smaller, and return the file."""
    own = yaml.safe_load((root / "params.yaml").read_text(encoding="utf-8"))
    target.write_text(yaml.safe_dump({**own, **{block: own[block] | few for block, few in _SMALLER.items()}}))
    return target


def run(
    python: Interpreter, functions: Sequence[Function], built: Built, root: Path, say: Callable[[str], None]
) -> None:
    """Run the stages in their order, and one request, and tell what came of each.

    Raises
    ------
    ModelError
        If one fails, or the request is not answered with a forecast or a documented refusal.
    """
    event: dict[str, Any] = dict(EVENT)
    with tempfile.TemporaryDirectory() as folder:
        params = write_params(root, Path(folder, "params.yaml"))
        for function in functions:
            alone = [str(python.path), "-I", "-S"]
            asked = request({"symbol": "BTC", "as_of": AS_OF}) if function.name == "predict" else event
            told = perform(alone, function.name, built.folders(function), Path(folder, "store"), asked, params)
            if function.name == "predict":
                say(f"ran predict alone: HTTP {told['result']['statusCode']}, {told['result']['body'][:200]}")
                continue
            event = event | told["result"] if function.name != "tune" else event
            say(f"ran {function.name} alone")
