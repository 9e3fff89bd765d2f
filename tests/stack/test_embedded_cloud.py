"""The embedded cloud: MiniStack on a free port, functions by the deploy code that `make run` uses."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cryptovol.adapters.s3 import S3Store
from cryptovol.cloud import deploy, embedded, processes, zips
from cryptovol.errors import ConflictError, StoreUnavailableError

from tests.cloud import BUCKET, Cloud

pytestmark = pytest.mark.stack
HANDLER = """
import os, sys, time
import cryptovol

def lambda_handler(event, context):
    print("heard " + event["say"], flush=True)
    if event["say"] == "refuse":
        raise ValueError("[gate_refused] 3 rows too many")
    if event["say"] == "die":
        os._exit(7)
    return {"said": event["say"], "mark": cryptovol.MARK, "version": 1, "variables": sorted(os.environ)}
"""


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    """A running emulator over a small project: five functions that answer, a layer with a mark."""
    for stage in zips.STAGES:
        (tmp_path / "functions" / stage).mkdir(parents=True)
        (tmp_path / "functions" / stage / "handler.py").write_text(HANDLER)
    layer = tmp_path / "layers/core/python/cryptovol"
    layer.mkdir(parents=True)
    (layer / "__init__.py").write_text('MARK = "the copy in the layer"\n')
    (tmp_path / "params.yaml").write_text("a: 1\n")
    made = Cloud(tmp_path)
    made.start()
    try:
        yield made
    finally:
        made.stop()


def say(cloud: Cloud, word: str, stage: str = "ingest") -> tuple[str | None, Any]:
    """Say a word to a function and return the kind of failure, if any, and its answer."""
    return cloud.invoke(stage, {"say": word})


def test_functions_run_the_layers_code_in_a_clean_environment(cloud: Cloud) -> None:
    """A deployed function imports the layer's package, not the checkout's, and sees no secret of the caller."""
    assert set(cloud.deploy().values()) == {"created"}
    for stage in zips.STAGES:
        failure, answer = say(cloud, "hello", stage)
        assert failure is None
        assert answer["mark"] == "the copy in the layer"
        assert "A_SECRET" not in answer["variables"]
        assert "AWS_ENDPOINT_URL" in answer["variables"]


def test_deploy_is_idempotent_and_updates_only_what_differs(cloud: Cloud) -> None:
    """A second deploy changes nothing; a changed handler updates its function alone, a changed setting all."""
    cloud.deploy()
    before = cloud.functions.get_function_configuration(FunctionName="cryptovol-train")["RevisionId"]
    assert set(cloud.deploy().values()) == {"unchanged"}
    assert cloud.functions.get_function_configuration(FunctionName="cryptovol-train")["RevisionId"] == before
    handler = cloud.root / "functions/ingest/handler.py"
    handler.write_text(HANDLER.replace('"version": 1', '"version": 2'))
    assert cloud.deploy() == {f"cryptovol-{s}": "updated" if s == "ingest" else "unchanged" for s in zips.STAGES}
    assert say(cloud, "hello")[1]["version"] == 2
    assert set(cloud.deploy(EXTRA="1").values()) == {"updated"}
    assert "EXTRA" in say(cloud, "hello")[1]["variables"]


def test_a_new_layer_reaches_the_functions(cloud: Cloud) -> None:
    """A changed package is published as a new layer version and imported by the next invocation."""
    cloud.deploy()
    say(cloud, "hello")
    (cloud.root / "layers/core/python/cryptovol/__init__.py").write_text('MARK = "newer"\n')
    assert set(cloud.deploy().values()) == {"updated"}
    assert say(cloud, "hello")[1]["mark"] == "newer"
    versions = cloud.functions.list_layer_versions(LayerName=deploy.LAYER)["LayerVersions"]
    assert len(versions) == 2


def test_a_function_that_raises_tells_its_message_and_serves_on(cloud: Cloud) -> None:
    """The payload of a failure holds the error's own text, and the environment stays usable."""
    cloud.deploy()
    failure, answer = say(cloud, "refuse")
    assert failure == "Unhandled"
    assert answer["errorType"] == "ValueError"
    assert answer["errorMessage"] == "[gate_refused] 3 rows too many"
    assert say(cloud, "again")[1]["said"] == "again"


def test_a_function_whose_process_dies_is_an_error_and_serves_on(cloud: Cloud) -> None:
    """A process that exits inside the handler fails the invocation, not the cloud."""
    cloud.deploy()
    failure, answer = say(cloud, "die")
    assert failure is not None
    assert "exited" in answer["errorMessage"]
    assert say(cloud, "again")[1]["said"] == "again"


def test_what_functions_print_is_in_their_log_files(cloud: Cloud) -> None:
    """Each function's lines, tracebacks too, are in its own file once the invocation is over."""
    cloud.deploy()
    say(cloud, "first")
    say(cloud, "refuse")
    text = (cloud.state.folder / "logs/functions/cryptovol-ingest.log").read_text()
    assert [line for line in text.splitlines() if line.startswith("heard")] == ["heard first", "heard refuse"]
    assert "3 rows too many" in text


def test_objects_survive_kill_nine_and_functions_come_back(cloud: Cloud) -> None:
    """After kill -9 and a restart every object is there byte for byte, and deploying again makes the rest."""
    cloud.deploy()
    store = S3Store(BUCKET, cloud.s3)
    store.put("bars/raw/a.bin", b"\x00" * 70_000)
    store.put("champion.json", b"one")
    tag = store.get("champion.json").etag
    store.replace("champion.json", b"two", tag)
    child = cloud.fleet.children["cloud"]
    os.kill(child.pid, signal.SIGKILL)
    _until(lambda: not child.alive)
    with pytest.raises(StoreUnavailableError, match="Cure"):
        store.get("champion.json")
    embedded.repair(cloud.state.folder)
    cloud.start()
    cloud.deploy()
    assert store.get("bars/raw/a.bin").data == b"\x00" * 70_000
    assert store.get("champion.json").data == b"two"
    with pytest.raises(ConflictError):
        store.replace("champion.json", b"three", tag)
    assert say(cloud, "hello")[1]["said"] == "hello"


def test_a_write_cut_in_two_by_a_kill_is_repaired(cloud: Cloud) -> None:
    """New bytes beside old metadata, and a half-written file, are put right before the next start."""
    cloud.deploy()
    store = S3Store(BUCKET, cloud.s3)
    store.put("head.json", b"old and longer")
    processes.stop(cloud.state.folder, cloud.fleet.children["cloud"])
    where = next((cloud.state.folder / "cloud/s3").rglob("head.json"))
    time.sleep(0.02)
    where.write_bytes(b"new")
    where.with_name("other.json.tmp").write_bytes(b"ha")
    assert embedded.repair(cloud.state.folder) == 2
    assert embedded.repair(cloud.state.folder) == 0
    cloud.start()
    read = store.get("head.json")
    assert read.data == b"new"
    store.replace("head.json", b"newest", read.etag)
    assert list(store.keys("")) == ["head.json"]


def test_the_cloud_listens_on_loopback_only(cloud: Cloud) -> None:
    """Every socket the emulator listens on is bound to 127.0.0.1."""
    if not sys.platform.startswith("linux"):
        pytest.skip("reads /proc")
    assert cloud.listening() == [f"0100007F:{cloud.port:04X}"]


def _until(done: Any, seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.02)
