"""LocalStack's plug for where functions run: here, as processes of this machine instead of containers.

LocalStack finds the plugin by its entry point and takes it for ``LAMBDA_RUNTIME_EXECUTOR=process``. Of its own environment
a function gets nothing but ``PATH``, ``HOME`` and ``LANG``. Two variables are read:

``CRYPTOVOL_LAMBDA_PYTHON``
    of LocalStack: the interpreter of every function, with ``awslambdaric``; its packages stand in for third-party layers;
``LAMBDA_LOG_FOLDER``
    of a function: a folder that also gets what it prints, as ``<function>.log``.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from cryptovol_executor.process import Process, UnstartedError
from cryptovol_executor.runtime_api import Invocation
from localstack.services.lambda_.invocation.executor_endpoint import StatusErrorException
from localstack.services.lambda_.invocation.lambda_models import InvocationResult
from localstack.services.lambda_.invocation.plugins import RuntimeExecutorPlugin
from localstack.services.lambda_.invocation.runtime_executor import RuntimeExecutor

PYTHON = "CRYPTOVOL_LAMBDA_PYTHON"
LOG_FOLDER = "LAMBDA_LOG_FOLDER"
_INHERITED = ("PATH", "HOME", "LANG")


class ProcessExecutorPlugin(RuntimeExecutorPlugin):  # type: ignore[misc]
    """What the entry point names."""

    name = "process"

    def load(self, *args: Any, **named: Any) -> type[ProcessExecutor]:
        """Return the executor's class."""
        return ProcessExecutor


class ProcessExecutor(RuntimeExecutor):  # type: ignore[misc]
    """One execution environment of one function version."""

    def __init__(self, id: str, function_version: Any) -> None:
        super().__init__(id=id, function_version=function_version)
        self._environ: dict[str, str] = {}
        self._process: Process | None = None
        self._folder = Path(tempfile.mkdtemp(prefix="cryptovol-function-"))

    def start(self, env_vars: dict[str, Any]) -> None:
        """Start the function's process and wait for it; raise `StatusErrorException` with its own error if it fails."""
        code, paths = self._code(), [str(layer / "python") for layer in _layers(self.function_version)]
        given = {name: str(value) for name, value in env_vars.items()}
        path = os.pathsep.join(filter(None, [str(code), *paths, given.get("PYTHONPATH")]))
        inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        self._environ = {**inherited, **given, "LAMBDA_TASK_ROOT": str(code), "PYTHONPATH": path}
        self._spawn()

    def _spawn(self) -> Process:
        command = [os.environ[PYTHON], "-m", "awslambdaric", self.function_version.config.handler]
        self._process = process = Process(command, self._environ, self._code(), self._folder / "output")
        try:
            process.wait_started()
        except UnstartedError as error:
            self._keep(process.printed())
            raise StatusErrorException("the function did not start", payload=error.body) from error
        return process

    def invoke(self, payload: dict[str, str]) -> InvocationResult:
        """Run one invocation; a process that the last one ended is started anew, as on AWS."""
        process = self._process if self._process is not None and self._process.alive else self._spawn()
        seconds, request_id, began = self.function_version.config.timeout, payload["invoke-id"], time.time()
        asked = Invocation(
            request_id, payload["payload"].encode(), payload["invoked-function-arn"], payload["trace-id"],
            int((began + seconds) * 1000),
        )  # fmt: skip
        result = process.invoke(asked, seconds)
        self._keep(result.printed)
        logs = (
            f"START RequestId: {request_id} Version: {self.function_version.id.qualifier}\n{_lines(result.printed)}"
            f"END RequestId: {request_id}\n"
            f"REPORT RequestId: {request_id}\tDuration: {(time.time() - began) * 1e3:.2f} ms\n"
        )
        return InvocationResult(request_id=request_id, payload=result.body, is_error=result.failed, logs=logs)

    def _keep(self, printed: str) -> None:
        """Append to the function's own log, where one is wanted, in one write: other environments write there, too."""
        folder = self._environ.get(LOG_FOLDER)
        if folder and printed:
            path = Path(folder) / f"{self.function_version.id.function_name}.log"
            with open(path, "ab", buffering=0) as file:
                file.write(_lines(printed).encode())

    def stop(self) -> None:
        """End the process and forget its output."""
        if self._process is not None:
            self._process.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _code(self) -> Path:
        return Path(self.function_version.config.code.get_unzipped_code_location())

    def get_logs(self) -> str:
        """Return what the process has printed and no invocation has shown."""
        try:
            return self._process.printed() if self._process is not None else ""
        except OSError:
            return ""

    def get_address(self) -> str:
        """Return where the process runs."""
        return "127.0.0.1"

    def get_endpoint_from_executor(self) -> str:
        """Return where the process finds LocalStack."""
        return "127.0.0.1"

    def get_runtime_endpoint(self) -> str:
        """Return an address only containers need."""
        return "http://127.0.0.1"

    @classmethod
    def prepare_version(cls, function_version: Any) -> None:
        """Unpack the function's code and its layers."""
        function_version.config.code.prepare_for_execution()
        for layer in function_version.config.layers:
            layer.code.prepare_for_execution()

    @classmethod
    def cleanup_version(cls, function_version: Any) -> None:
        """Do nothing: LocalStack removes what it unpacked."""


def _layers(function_version: Any) -> list[Path]:
    """Return the unpacked layers, the last named first: on AWS each is unpacked over those before it."""
    return [Path(layer.code.get_unzipped_code_location()) for layer in reversed(function_version.config.layers)]


def _lines(text: str) -> str:
    return text if not text or text.endswith("\n") else f"{text}\n"
