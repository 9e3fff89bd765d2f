"""Least privilege in use: every function runs end to end within its own policy."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import app as predict_app
import boto3
import pytest
from chalice.test import Client
from chalicelib import service
from moto import mock_aws
from moto.iam.access_control import IAMPolicy, PermissionResult

from cryptovol import edge, settings
from cryptovol.adapters.s3 import S3Store
from cryptovol.adapters.telemetry import MemoryMeter
from cryptovol.adapters.tracking import StoreTracker
from cryptovol.cloud import iam
from cryptovol.params import Params
from cryptovol.testing import FixedSource, make_bars
from cryptovol.times import HOUR, format_instant
from cryptovol.wiring import Ports
from tests.rights import RecordingStore, allows, denied

BUCKET = "some-bucket"
STAGES = ("ingest", "validate", "featurize", "tune", "train", "forecast", "score", "watch")
BARS = make_bars(2300, seed=3)
END = int(BARS.time[-1]) + HOUR
JSON = {"content-type": "application/json"}
PAGES = ("/forecast/BTC", "/forecast/BTC?horizon_hours=6", "/model", "/health", "/scoreboard/BTC", "/history/BTC")


def handler(stage: str) -> Any:
    """Return the Lambda handler of a stage, from its own file."""
    found = importlib.util.spec_from_file_location(f"handler_{stage}", f"functions/{stage}/handler.py")
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module.lambda_handler


def run_pipeline(store: RecordingStore, params: Params) -> None:
    """Run every stage's function twice over a store, two days apart, as the pipeline's events lead them."""
    now = END
    ports = Ports(settings.load({}), params, clock=lambda: now)
    ports.store, ports.tracker, ports.meter = store, StoreTracker(store), MemoryMeter()
    ports.source = FixedSource(BARS)
    ports.second = lambda venue: FixedSource(BARS, source="other")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(edge, "open_ports", lambda **_: ports)
        edge._ports.cache_clear()
        for now in (END - 48 * HOUR, END):
            event: dict[str, Any] = {"symbol": "BTC", "quote": "USD", "as_of": format_instant(now), "run_id": f"r{now}"}
            for stage in STAGES:
                store.stage = stage
                event |= handler(stage)(event, None)
    edge._ports.cache_clear()


def serve(store: RecordingStore, params: Params, spool: Path) -> None:
    """Ask the API for all that it answers, over the store the pipeline left, and have its records shipped."""
    store.stage = "predict"
    ports = Ports(replace(settings.load({}), market="test", spool=spool), params, clock=lambda: END)
    ports.store, ports.meter = store, MemoryMeter()
    service.install(service.open_service(ports))
    client = Client(predict_app.app).http
    assert [client.get(path).status_code for path in PAGES] == [200] * len(PAGES)
    asks = ({"symbol": "BTC", "as_of": format_instant(END - 24 * HOUR), "allow_stale": True}, {"symbol": "BTC"})
    answers = [client.post("/predict", headers=JSON, body=json.dumps(ask).encode()) for ask in asks]
    assert [answer.status_code for answer in answers] == [200, 200], answers[0].body
    service.install(None)
    ports.journal.close()
    assert any(key.startswith("served/") for key in store.objects)


@pytest.fixture(scope="module")
def store(quick: Params, tmp_path_factory: pytest.TempPathFactory) -> RecordingStore:
    """Return a store that every function has worked on."""
    made = RecordingStore()
    run_pipeline(made, quick)
    serve(made, quick, tmp_path_factory.mktemp("spool"))
    return made


@pytest.mark.parametrize("stage", (*STAGES, "predict"))
@pytest.mark.parametrize("market", ["*", "test"])
def test_every_call_of_a_stage_is_allowed_by_its_policy(store: RecordingStore, stage: str, market: str) -> None:
    """A whole run, twice, asks S3 for nothing that the function's policy does not allow."""
    calls = store.calls[stage]
    assert {action for action, _ in calls} >= {iam.READ, iam.WRITE}
    assert denied(iam.policy(stage, BUCKET, market=market), BUCKET, calls) == []


@pytest.mark.parametrize("stage", iam.RIGHTS)
def test_calls_of_other_stages_are_denied_but_for_what_is_shared(store: RecordingStore, stage: str) -> None:
    """Who has another function's role writes only where both stages write, and that is the runs' status objects."""
    own = iam.policy(stage, BUCKET)
    for other, calls in store.calls.items():
        foreign = [call for call in calls if call[0] == iam.WRITE and other != stage]
        let = {key for action, key in foreign if allows(own, BUCKET, action, key)}
        shared = {"train": ("tracking/",), "predict": ("predictions/",), "forecast": ("predictions/",)}.get(stage, ())
        assert not [key for key in let if not key.startswith(("runs/", *shared))], other


@pytest.mark.parametrize("stage", (*STAGES, "predict"))
def test_motos_own_evaluator_agrees_on_every_read_and_write(store: RecordingStore, stage: str) -> None:
    """A second evaluator, not ours, lets through and denies the same calls of all stages."""
    body = iam.policy(stage, BUCKET)
    theirs = IAMPolicy(json.dumps(body))
    for action, key in {call for calls in store.calls.values() for call in calls if call[0] != iam.LIST}:
        permitted = theirs.is_action_permitted(action, f"arn:aws:s3:::{BUCKET}/{key}") is PermissionResult.PERMITTED
        assert permitted is allows(body, BUCKET, action, key), (action, key)


ACTIONS = {"GetObject": iam.READ, "HeadObject": iam.READ, "PutObject": iam.WRITE, "ListObjectsV2": iam.LIST}


@mock_aws
def test_recorded_actions_are_those_the_s3_store_takes() -> None:
    """What the recording store notes for each call covers what the real store asks of S3 for it."""
    client = boto3.client("s3", "us-east-1", aws_access_key_id="test", aws_secret_access_key="test")
    client.create_bucket(Bucket=BUCKET)
    real, noted, seen = S3Store(BUCKET, client), RecordingStore(), list[str]()
    client.meta.events.register("before-call.s3", lambda model, **_: seen.append(ACTIONS[model.name]))
    for act in (
        lambda store: store.exists("a"), lambda store: store.put("a", b"1"), lambda store: store.put_new("a", b"2"),
        lambda store: store.put_new("b", b"2"), lambda store: store.replace("a", b"3", store.get("a").etag),
        lambda store: store.exists("a"), lambda store: list(store.keys("a")),
    ):  # fmt: skip
        seen.clear()
        noted.calls.clear()
        act(real)
        act(noted)
        assert seen and set(seen) <= {action for action, _ in noted.calls[""]}
