"""Functions on LocalStack, run by our executor: what they see, what they answer, how they end."""

from __future__ import annotations

import base64
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from cryptovol.cloud import deploy, environs, localstack, processes, zips

from tests.cloud import BUCKET, Cloud

pytestmark = [
    pytest.mark.stack,
    pytest.mark.skipif(
        not Path(localstack.VENV, ".ready").exists(),
        reason="LocalStack is not installed; `make test-localstack` installs it (about 500 MB) and runs this",
    ),
]
HANDLER = """
import os, sys, time
import cryptovol

def lambda_handler(event, context):
    print("heard " + event["say"], flush=True)
    if event["say"] == "refuse":
        raise ValueError("[gate_refused] 3 rows too many")
    if event["say"] == "die":
        os._exit(7)
    if event["say"] == "sleep":
        time.sleep(60)
    return {"said": event["say"], "mark": cryptovol.MARK, "pid": os.getpid(), "variables": dict(os.environ)}
"""


class LocalStack(Cloud):
    """LocalStack on a free port over one project folder."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.clients: list[Any] = [self.s3, self.functions]

    def start(self) -> processes.Child:
        """Start it with a secret in the caller's environment."""
        environ = {**os.environ, "A_SECRET": "shh"}
        return self.fleet.ensure(localstack.spec(self.root, self.state.folder, self.port, environ))

    def deploy(self, **more: str) -> dict[str, str]:
        """Deploy with the lane's target; `more` goes into the functions' environment."""
        return deploy.deploy(self.root, self.target(**more), s3=self.s3, functions=self.functions)

    def target(self, **more: str) -> deploy.Target:
        """Return what `deploy` aims at."""
        environment = {"A_SETTING": "seen", **more}
        return deploy.Target(runtime=localstack.RUNTIME, bootstrap=None, environment=environment, buckets=(BUCKET,))

    def client(self, service: str) -> Any:
        """Return a client of another service."""
        known = {name.lower(): value for name, value in environs.CREDENTIALS.items()}
        made = boto3.client(service, endpoint_url=self.endpoint, region_name=environs.REGION, **known)
        self.clients.append(made)
        return made

    def close(self) -> None:
        """Close every connection."""
        for client in self.clients:
            client.close()


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """A running LocalStack over a small project: functions that answer, a layer with a mark."""
    root = tmp_path_factory.mktemp("project")
    for stage in zips.STAGES:
        (root / "functions" / stage).mkdir(parents=True)
        (root / "functions" / stage / "handler.py").write_text(HANDLER)
    layer = root / "layers/core/python/cryptovol"
    layer.mkdir(parents=True)
    (layer / "__init__.py").write_text('MARK = "the copy in the layer"\n')
    (root / "params.yaml").write_text("a: 1\n")
    (root / "localstack").symlink_to(Path("localstack").resolve())
    (root / localstack.VENV).symlink_to(Path(localstack.VENV).resolve())
    made = LocalStack(root)
    try:
        made.start()
        made.deploy(LAMBDA_LOG_FOLDER=str(root))
        yield made
    finally:
        made.stop()
        made.close()


def say(cloud: Cloud, word: str, stage: str = "ingest") -> tuple[str | None, Any]:
    """Say a word to a function and return the kind of failure, if any, and its answer."""
    return cloud.invoke(stage, {"say": word})


def test_functions_run_the_layers_code_in_a_clean_environment(cloud: LocalStack) -> None:
    """A function imports the layer's package, not the checkout's; it knows the cloud, and no secret of the caller."""
    failure, answer = say(cloud, "hello")
    assert failure is None and answer["mark"] == "the copy in the layer"
    variables = answer["variables"]
    assert "A_SECRET" not in variables and variables["A_SETTING"] == "seen"
    assert variables["AWS_ENDPOINT_URL"] == cloud.endpoint
    assert variables["AWS_LAMBDA_FUNCTION_NAME"] == "cryptovol-ingest"


def test_deploy_is_idempotent_and_updates_only_what_differs(cloud: LocalStack) -> None:
    """A second deploy changes nothing; a changed handler updates its function alone, and is what answers then."""
    more = {"LAMBDA_LOG_FOLDER": str(cloud.root)}
    assert set(cloud.deploy(**more).values()) == {"unchanged"}
    say(cloud, "hello", "score")
    (cloud.root / "functions/score/handler.py").write_text(HANDLER.replace('"heard "', '"understood "'))
    assert cloud.deploy(**more) == {f"cryptovol-{s}": "updated" if s == "score" else "unchanged" for s in zips.STAGES}
    say(cloud, "hello", "score")
    assert (cloud.root / "cryptovol-score.log").read_text().splitlines() == ["heard hello", "understood hello"]


def test_a_refusal_keeps_its_type_and_the_process(cloud: LocalStack) -> None:
    """The caller sees the error's own type and message, and the next call is answered by the same process."""
    _, before = say(cloud, "hello", "validate")
    failure, answer = say(cloud, "refuse", "validate")
    assert failure == "Unhandled" and (answer["errorType"], answer["errorMessage"]) == (
        "ValueError", "[gate_refused] 3 rows too many",
    )  # fmt: skip
    assert say(cloud, "hello", "validate")[1]["pid"] == before["pid"]


def test_after_an_exit_the_next_call_is_answered(cloud: LocalStack) -> None:
    """The call that killed its process is told how it ended; the one after it is answered by a new process."""
    failure, answer = say(cloud, "die", "featurize")
    assert failure == "Unhandled" and answer["errorType"] == "Runtime.ExitError"
    assert "exit status 7" in answer["errorMessage"]
    assert say(cloud, "hello", "featurize")[0] is None


def test_after_a_timeout_the_next_call_is_answered(cloud: LocalStack) -> None:
    """A call that takes longer than the function's timeout ends then, and does not cost the next one."""
    cloud.functions.update_function_configuration(FunctionName="cryptovol-tune", Timeout=1)
    deploy.wait_active(cloud.functions, "cryptovol-tune")
    failure, answer = say(cloud, "sleep", "tune")
    assert failure == "Unhandled" and answer["errorType"] == "Sandbox.Timedout"
    assert say(cloud, "hello", "tune")[0] is None


def test_what_a_function_prints_is_in_its_tail_and_its_log_group(cloud: LocalStack) -> None:
    """The caller who asks for the tail gets it, and CloudWatch Logs has the same lines."""
    answer = cloud.functions.invoke(
        FunctionName="cryptovol-train", LogType="Tail", Payload=b'{"say": "Gr\xc3\xbc\xc3\x9fe"}'
    )
    tail = base64.b64decode(answer["LogResult"]).decode()
    assert [line.split()[0] for line in tail.splitlines()] == ["START", "heard", "END", "REPORT"] and "Grüße" in tail

    def logged() -> bool:
        found = cloud.client("logs").filter_log_events(logGroupName="/aws/lambda/cryptovol-train")["events"]
        return "heard Grüße" in [event["message"].strip() for event in found]

    until(logged)


def test_an_asynchronous_failure_reaches_its_dead_letter_queue(cloud: LocalStack) -> None:
    """The event of a call that nobody waits for is kept when the function fails at it."""
    sqs = cloud.client("sqs")
    queue = sqs.create_queue(QueueName="failed")["QueueUrl"]
    arn = f"arn:aws:sqs:{environs.REGION}:000000000000:failed"
    # A function of its own: LocalStack loses an event that comes within two seconds after an update of its function.
    wanted = {**deploy.configuration(cloud.target(), "ingest", ()), "DeadLetterConfig": {"TargetArn": arn}}
    deploy.ensure_function(cloud.functions, "lonely", zips.function_zip(cloud.root, "ingest"), wanted)
    cloud.functions.put_function_event_invoke_config(FunctionName="lonely", MaximumRetryAttempts=0)
    event = json.dumps({"say": "refuse"}).encode()
    assert cloud.functions.invoke(FunctionName="lonely", InvocationType="Event", Payload=event)["StatusCode"] == 202
    found = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=20).get("Messages", [])
    assert [json.loads(message["Body"]) for message in found] == [{"say": "refuse"}]


def test_localstack_listens_on_loopback_only(cloud: LocalStack) -> None:
    """Its gateway, its own services and the functions' Runtime APIs are all bound to 127.0.0.1."""
    if not sys.platform.startswith("linux"):
        pytest.skip("reads /proc")
    say(cloud, "hello")
    found = cloud.listening()
    assert f"0100007F:{cloud.port:04X}" in found
    assert {where.partition(":")[0] for where in found} == {"0100007F"}


def test_a_kill_of_localstack_leaves_no_function_behind(cloud: LocalStack) -> None:
    """After a kill -9 the functions' processes end by themselves, and a new start deploys all of them again."""
    say(cloud, "hello")
    assert cloud.processes("ingest")
    os.killpg(cloud.fleet.children["cloud"].pid, signal.SIGKILL)
    until(lambda: not any(cloud.processes(stage) for stage in zips.STAGES))
    cloud.start()
    assert set(cloud.deploy().values()) == {"created"}
    assert say(cloud, "hello")[0] is None
    cloud.stop()
    assert not any(cloud.processes(stage) for stage in zips.STAGES)


def until(done: Callable[[], Any], seconds: float = 20.0) -> None:
    """Return once something is so."""
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.1)
