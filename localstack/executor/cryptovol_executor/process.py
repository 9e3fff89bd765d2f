"""One execution environment: a process of AWS's Python runtime client, started, asked, timed and ended."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cryptovol_executor.runtime_api import Answered, Ended, Event, Invocation, RuntimeApi, Unstarted, Waiting, failure


class UnstartedError(Exception):
    """The function did not start; `body` is the error as Lambda tells its caller."""

    def __init__(self, body: bytes) -> None:
        super().__init__(body.decode("utf-8", "replace"))
        self.body = body


@dataclass(frozen=True)
class Result:
    """What came of an invocation: the body for the caller, whether it failed, and what the function printed."""

    body: bytes
    failed: bool
    printed: str


class Process:
    """A function's process.

    Parameters
    ----------
    command
        What speaks the Runtime API.
    environ
        Its whole environment, but for the API's address.
    folder
        The function's code, and its working folder.
    log
        The file that receives what it prints; emptied here.
    """

    def __init__(self, command: Sequence[str], environ: Mapping[str, str], folder: Path, log: Path) -> None:
        self._api = RuntimeApi()
        self._log = log
        self._seen = 0
        with open(log, "wb") as out:
            self._process = subprocess.Popen(
                command, env={**environ, "AWS_LAMBDA_RUNTIME_API": self._api.address}, cwd=folder,
                stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        self._api.events.put(Ended(self._process.wait()))

    @property
    def alive(self) -> bool:
        """Whether it can be asked."""
        return self._process.poll() is None

    def wait_started(self) -> None:
        """Return once it waits for its first invocation; raise `UnstartedError` if it never will."""
        event = self._api.events.get()
        if isinstance(event, Waiting):
            return
        self.stop()
        if isinstance(event, Unstarted):
            raise UnstartedError(event.body)
        code = event.code if isinstance(event, Ended) else 0
        raise UnstartedError(failure("Runtime.ExitError", f"Error: Runtime exited with error: {_ending(code)}"))

    def invoke(self, invocation: Invocation, seconds: float) -> Result:
        """Return what comes of one invocation; a process that takes longer than its seconds is ended.

        Events of an earlier invocation are passed over.
        """
        self._api.ask(invocation)
        deadline = time.monotonic() + seconds
        while True:
            try:
                event: Event = self._api.events.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                self.stop()
                return self._failed("Sandbox.Timedout", invocation, f"Task timed out after {seconds:.2f} seconds")
            if isinstance(event, Answered) and event.request_id == invocation.request_id:
                return Result(event.body, event.raised, self.printed())
            if isinstance(event, Ended):
                self.stop()
                return self._failed(
                    "Runtime.ExitError", invocation, f"Runtime exited with error: {_ending(event.code)}"
                )

    def _failed(self, kind: str, invocation: Invocation, message: str) -> Result:
        body = failure(kind, f"RequestId: {invocation.request_id} Error: {message}")
        return Result(body, True, self.printed())

    def printed(self) -> str:
        """Return what it printed since the last call."""
        with open(self._log, "rb") as file:
            file.seek(self._seen)
            data = file.read()
        self._seen += len(data)
        return data.decode("utf-8", "replace")

    def stop(self) -> None:
        """End it with all it has started. May be called again, and from another thread."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._api.close()


def _ending(code: int) -> str:
    return f"signal: {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
