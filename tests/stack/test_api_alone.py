"""The API as it ships: built from the package index, unpacked, and put to work without any package of this machine."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from moto.server import ThreadedMotoServer
from tests import served

from cryptovol.adapters.files import FileStore
from cryptovol.cloud.packaging import drill, interpreter
from cryptovol.cloud.packaging.interpreter import Interpreter
from cryptovol.cloud.packaging.sizes import OWN_LIMITS, ZIPPED_LIMIT
from cryptovol.features import FEATURE_NAMES

pytestmark = pytest.mark.stack
S3_PROGRAM = """
import json, sys
folders, endpoint = json.loads(sys.argv[1])
sys.path[:0] = folders
import boto3, os
from cryptovol.adapters import s3lean
from cryptovol.adapters.s3 import S3Store
client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")
client.create_bucket(Bucket="alone")
stores = S3Store("alone", client), s3lean.from_environ("alone", os.environ | {"AWS_ENDPOINT_URL": endpoint})
told = []
for key, store in zip(("a/b", "c/d"), stores):
    first, second = store.put_new(key, b"one"), store.put_new(key, b"two")
    told.append([first, second, store.get(key).data.decode(), list(store.keys(key[:2]))])
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def python() -> Interpreter:
    """Return Lambda's Python on this machine, or skip."""
    found = interpreter.find(os.environ)
    if found is None or found.architecture not in ("x86_64", "aarch64"):
        pytest.skip(f"no Python {interpreter.VERSION} for Linux on PATH; found {found}, machine {platform.machine()}")
    return found


@pytest.fixture(scope="module")
def built(python: Interpreter, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], list[Path]]:
    """Build the API by the command people use; return its row and what is on its path. Skip without a package index."""
    into = tmp_path_factory.mktemp("build")
    command = ["-m", "cryptovol", "layers", "--function", "predict", "--arch", python.architecture, "--into", str(into)]
    done = subprocess.run([sys.executable, *command, "--json"], capture_output=True, text=True, check=False)
    if done.returncode == 3:
        pytest.skip(f"the package index does not answer: {done.stderr}")
    (row,) = json.loads(done.stdout)
    assert done.returncode == 0, done.stderr
    parts = [into / python.architecture / name / "python" for name in row["layers"]]
    return row, [into / "functions" / "predict", *parts]


@pytest.fixture
def s3() -> Iterator[str]:
    """Return the address of an S3 on loopback."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def test_the_api_is_within_its_limits(built: tuple[dict[str, Any], list[Path]]) -> None:
    """Function and layers have less than 90 MB, no archive more than 50, all compiled, and the app imports alone."""
    row, _ = built
    assert row["faults"] == [] and row["imported"] == "yes" and row["compiled"]
    assert row["unzipped"] < OWN_LIMITS["predict"] and row["largest"] < ZIPPED_LIMIT


def test_the_api_answers_from_its_own_layers_alone(
    python: Interpreter, built: tuple[dict[str, Any], list[Path]], tmp_path: Path
) -> None:
    """In an interpreter without any package of this machine, with the parameters in its own package, a forecast is served."""
    store = FileStore(tmp_path)
    served.promote(store, served.make_bundle(trained_at="2025-01-01T00:00:00Z", market="simulated"))
    asked = drill.request({"features": dict.fromkeys(FEATURE_NAMES, 0.5), "allow_stale": True})
    _, folders = built
    told = drill.perform(
        [str(python.path), "-I", "-S"], "predict", folders, tmp_path, asked, folders[0] / "params.yaml"
    )
    body = json.loads(told["result"]["body"])
    assert told["result"]["statusCode"] == 200, body
    assert body["volatility"] > 0


def test_both_clients_of_s3_do_what_the_store_asks(
    python: Interpreter, built: tuple[dict[str, Any], list[Path]], s3: str
) -> None:
    """The trimmed boto3, with the services that are left, and obstore write once, read and list over a real socket."""
    task = json.dumps([[str(folder) for folder in built[1]], s3])
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"}
    done = interpreter.run([str(python.path), "-I", "-S", "-c", S3_PROGRAM, task], keys)
    assert json.loads(done.stdout) == [[True, False, "one", ["a/b"]], [True, False, "one", ["c/d"]]]


def test_an_interpreter_alone_sees_no_package_of_this_machine(python: Interpreter) -> None:
    """The options the API was run with hide site-packages: without its layers it could not have answered."""
    done = subprocess.run([python.path, "-I", "-S", "-c", "import numpy"], capture_output=True, text=True, check=False)
    assert "No module named 'numpy'" in done.stderr
