"""Lambda's Runtime API on a loopback port, for the one process of one execution environment.

The process asks for its next invocation and waits; it posts what came of it, or that it could not start. What it does
becomes an event here, and so does its end. Source: AWS Lambda Developer Guide, "Using the Lambda runtime API".
"""

from __future__ import annotations

import json
import queue
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PREFIX = "/2018-06-01/runtime/"
# Lambda's limit on an answer: 6 MB and a little for its envelope.
ANSWER_BYTES = 6_291_556


@dataclass(frozen=True)
class Invocation:
    """One call of the function; `deadline` is in unix milliseconds."""

    request_id: str
    payload: bytes
    arn: str
    trace: str
    deadline: int


@dataclass(frozen=True)
class Waiting:
    """The process asks for an invocation: it has started, or is done with the last one."""


@dataclass(frozen=True)
class Answered:
    """The function returned, or raised."""

    request_id: str
    body: bytes
    raised: bool


@dataclass(frozen=True)
class Unstarted:
    """The process could not import the function's module, or find the handler in it."""

    body: bytes


@dataclass(frozen=True)
class Ended:
    """The process is gone; `code` is as `subprocess` counts, negative for a signal."""

    code: int


Event = Waiting | Answered | Unstarted | Ended


def failure(kind: str, message: str) -> bytes:
    """Return an error as Lambda tells its caller."""
    return json.dumps({"errorType": kind, "errorMessage": message}).encode()


class RuntimeApi:
    """Serves one process until `close`.

    `events` has what it does, in order. A process that was killed may have left a request behind that waits for an
    invocation, so a new process gets a new API.
    """

    def __init__(self) -> None:
        self.events: queue.Queue[Event] = queue.Queue()
        self._asked: queue.Queue[Invocation | None] = queue.Queue()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.api = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        """Host and port, as ``AWS_LAMBDA_RUNTIME_API`` names them."""
        return f"127.0.0.1:{self._server.server_address[1]}"

    def ask(self, invocation: Invocation) -> None:
        """Hand the process its next invocation."""
        self._asked.put(invocation)

    def take(self) -> Invocation | None:
        """Return the next invocation once there is one, or None when the API closes."""
        self.events.put(Waiting())
        return self._asked.get()

    def answer(self, request_id: str, body: bytes, *, raised: bool) -> None:
        """Take what came of an invocation; one too long to be passed on is an error instead."""
        if len(body) > ANSWER_BYTES:
            why = f"Response payload size exceeded maximum allowed payload size ({ANSWER_BYTES} bytes)."
            body, raised = failure("Function.ResponseSizeTooLarge", why), True
        self.events.put(Answered(request_id, body, raised))

    def close(self) -> None:
        """Stop serving; whoever waits is sent away."""
        self._asked.put(None)
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    api: RuntimeApi

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a process that was killed before its answer: its end is an event."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body leave in one write: apart, the second waits 40 ms for the first to be acknowledged.
    wbufsize = 65_536
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        if self.path != f"{PREFIX}invocation/next":
            self._send(404, b"{}")
            return
        invocation = self.server.api.take()
        if invocation is None:
            self.close_connection = True
            return
        headers = {
            "Lambda-Runtime-Aws-Request-Id": invocation.request_id,
            "Lambda-Runtime-Deadline-Ms": str(invocation.deadline),
            "Lambda-Runtime-Invoked-Function-Arn": invocation.arn,
            "Lambda-Runtime-Trace-Id": invocation.trace,
        }
        self._send(200, invocation.payload, headers)

    def do_POST(self) -> None:
        body = self._body()
        words = self.path.removeprefix(PREFIX).split("/")
        if words == ["init", "error"]:
            self.server.api.events.put(Unstarted(body))
        elif len(words) == 3 and words[0] == "invocation" and words[2] in ("response", "error"):
            self.server.api.answer(words[1], body, raised=words[2] == "error")
        else:
            self._send(404, b"{}")
            return
        self._send(202, b'{"status": "OK"}')

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass  # trailers
        return b"".join(parts)

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, *args: Any) -> None:
        """Say nothing: LocalStack logs the invocation itself."""
