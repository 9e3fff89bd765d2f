"""The process behind a LocalStack function: AWS's own runtime client, asked over our Runtime API."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptovol_executor.process import Process, Result, UnstartedError
from cryptovol_executor.runtime_api import ANSWER_BYTES, Invocation

HANDLER = """
import json, os, subprocess, sys, time

def lambda_handler(event, context):
    print("heard", event["say"], flush=True)
    if event["say"] == "refuse":
        raise ValueError("[gate_refused] 3 rows too many")
    if event["say"] == "die":
        os._exit(7)
    if event["say"] == "sleep":
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", event["mark"]])
        time.sleep(60)
    if event["say"] == "long":
        return "x" * event["size"]
    left = context.get_remaining_time_in_millis()
    return {"said": event["say"], "left": left, "id": context.aws_request_id, "pid": os.getpid()}
"""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Return what starts the handler, or another one; every process ends with the test."""
    made: list[Process] = []

    def started(body: str = HANDLER, name: str = "handler.lambda_handler") -> Process:
        (tmp_path / "handler.py").write_text(body)
        command = [sys.executable, "-m", "awslambdaric", name]
        environ = {"PATH": os.environ["PATH"], "AWS_LAMBDA_FUNCTION_NAME": "cryptovol-test"}
        made.append(Process(command, environ, tmp_path, tmp_path / "output"))
        made[-1].wait_started()
        return made[-1]

    yield started
    for process in made:
        process.stop()


def ask(process: Process, say: str, *, seconds: float = 20.0, **more: object) -> Result:
    """Invoke the process once."""
    deadline = int((time.time() + seconds) * 1000)
    payload = json.dumps({"say": say, **more}).encode()
    return process.invoke(Invocation("the-id", payload, "arn:aws:lambda:x", "Root=1", deadline), seconds)


def error(result: Result) -> dict[str, str]:
    """Return the error a failed invocation ended with."""
    assert result.failed
    body: dict[str, str] = json.loads(result.body)
    return body


def test_one_process_answers_one_invocation_after_another(start: Callable[..., Process]) -> None:
    """The context has the id and the time left, text of any language survives, and each sees its own output only."""
    process = start()
    first, second = ask(process, "Grüße, мир"), ask(process, "again")
    found, again = json.loads(first.body), json.loads(second.body)
    assert found["said"] == "Grüße, мир" and found["id"] == "the-id" and 0 < found["left"] <= 20_000
    assert found["pid"] == again["pid"]
    assert (first.failed, first.printed, second.printed) == (False, "heard Grüße, мир\n", "heard again\n")


def test_what_a_function_raises_has_its_own_type_and_the_process_stays(start: Callable[..., Process]) -> None:
    """The error is told as on AWS, with its trace, and the next invocation is answered by the same process."""
    process = start()
    raised = error(ask(process, "refuse"))
    assert (raised["errorType"], raised["errorMessage"]) == ("ValueError", "[gate_refused] 3 rows too many")
    assert "handler.py" in "".join(raised["stackTrace"])
    assert not ask(process, "hello").failed


def test_a_function_that_takes_too_long_is_ended_with_all_it_started(
    start: Callable[..., Process], tmp_path: Path
) -> None:
    """The caller is told how long it was given; neither the process nor its child is left."""
    process = start()
    raised = error(ask(process, "sleep", seconds=0.5, mark=str(tmp_path)))
    assert raised["errorType"] == "Sandbox.Timedout"
    assert raised["errorMessage"] == "RequestId: the-id Error: Task timed out after 0.50 seconds"
    assert not process.alive
    until(lambda: not running(str(tmp_path)))


def test_a_function_that_exits_is_told_by_its_code(start: Callable[..., Process]) -> None:
    """The caller is told the exit code, and what was printed before is kept."""
    process = start()
    result = ask(process, "die")
    assert error(result)["errorMessage"] == "RequestId: the-id Error: Runtime exited with error: exit status 7"
    assert result.printed == "heard die\n" and not process.alive


@pytest.mark.parametrize(
    ("body", "name", "kind"),
    [
        ("import no_such_module", "handler.lambda_handler", "Runtime.ImportModuleError"),
        ("def lambda_handler(:", "handler.lambda_handler", "Runtime.UserCodeSyntaxError"),
        ("x = 1", "handler.lambda_handler", "Runtime.HandlerNotFound"),
        ("raise SystemExit(3)", "handler.lambda_handler", "Runtime.ExitError"),
        ("import os; os._exit(3)", "handler.lambda_handler", "Runtime.ExitError"),
    ],
)
def test_a_function_that_cannot_start_says_why(start: Callable[..., Process], body: str, name: str, kind: str) -> None:
    """A missing module, a syntax error, a missing handler and an end while importing are told apart."""
    with pytest.raises(UnstartedError) as raised:
        start(body, name)
    assert json.loads(raised.value.body)["errorType"] == kind


@pytest.mark.parametrize(("size", "failed"), [(ANSWER_BYTES - 2, False), (ANSWER_BYTES - 1, True)])
def test_an_answer_over_lambdas_limit_is_an_error(start: Callable[..., Process], size: int, failed: bool) -> None:
    """Exactly at the limit an answer passes; a byte more is told as on AWS, and the process goes on."""
    process = start()
    result = ask(process, "long", size=size)
    assert result.failed == failed
    if failed:
        assert error(result)["errorType"] == "Function.ResponseSizeTooLarge"
    assert not ask(process, "hello").failed


def test_stopping_from_outside_ends_an_invocation_under_way(start: Callable[..., Process], tmp_path: Path) -> None:
    """Whoever waits for the answer is told that the process was killed."""
    process = start()
    timer = threading.Timer(0.3, process.stop)
    timer.start()
    raised = error(ask(process, "sleep", mark=str(tmp_path)))
    timer.join()
    assert raised["errorMessage"].endswith("Runtime exited with error: signal: SIGKILL")


def running(mark: str) -> bool:
    """Return whether a process with these words in its command line is there."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(mark.encode() in path.read_bytes())
        except OSError:
            continue
    return any(found)


def until(done: Callable[[], bool], seconds: float = 5.0) -> None:
    """Return once something is so."""
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.02)
