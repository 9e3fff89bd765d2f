"""Servers as real processes, clients on real sockets, and a small app whose answers take as long as a test wants."""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

NOWHERE = {  # an API that can be opened, and whose store does not answer
    "AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1", "CRYPTOVOL_MARKET": "test",
}  # fmt: skip
LOCAL = ("cryptovol.cloud.api", "--port", "0")
SERVE = ("cryptovol", "serve", "--port", "0")
STUB = """
import os, sys, time
from pathlib import Path
from chalice.app import Chalice, Response
app = Chalice(app_name="stub")

@app.route("/pid")
def pid():
    return {"pid": os.getpid()}

@app.route("/health")
def health():
    return {"loaded": sorted(sys.modules)}

@app.route("/slow")
def slow():
    Path("begun").touch()
    time.sleep(float(app.current_request.query_params["seconds"]))
    return {"slept": True}

@app.route("/lines", methods=["POST"])
def lines():
    for i in range(20):
        print(str(os.getpid()) + "|" + "x" * 6000 + "|", flush=True)
    return {}

@app.route("/big")
def big():
    return "x" * 30_000_000

@app.route("/echo", methods=["POST"])
def echo():
    return Response(app.current_request.raw_body.decode("latin-1"), headers={"Content-Type": "text/plain"})
"""
SERVICE = """
import os
from pathlib import Path

def close():
    Path(f"closed-{os.getpid()}").touch()
"""


class Process:
    """A child process that prints its address first; everything it prints goes to `log`."""

    def __init__(self, log: Path, environ: dict[str, str], *command: str, cwd: Path | None = None) -> None:
        self._output = log.open("ab")
        start = log.stat().st_size
        plain = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "CRYPTOVOL_"))}
        self.child = subprocess.Popen(
            [sys.executable, "-m", *command], env={**plain, **environ}, stdout=self._output, stderr=subprocess.STDOUT,
            cwd=cwd,
        )  # fmt: skip
        self.url = self._address(log, start)

    def _address(self, log: Path, start: int) -> str:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self.child.poll() is None:
            found = re.search(rb"on (http://127\.0\.0\.1:\d+)", log.read_bytes()[start:])
            if found:
                return found[1].decode()
            time.sleep(0.02)
        self.kill()
        raise AssertionError(f"no address in {log.read_text()}")

    def kill(self) -> None:
        """End the process as a power cut would."""
        self.child.kill()
        self.child.wait(10)
        self._output.close()

    def terminate(self, seconds: float = 20) -> int:
        """Ask the process to stop and return its exit code."""
        self.child.terminate()
        code = self.child.wait(seconds)
        self._output.close()
        return code


class Http:
    """One kept-open connection, closed at the end of its block."""

    def __init__(self, url: str) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=20)

    def __enter__(self) -> Http:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def __call__(self, method: str, path: str, body: object = None) -> tuple[int, bytes]:
        headers = {"content-type": "application/json"} if body is not None else {}
        raw = json.dumps(body).encode() if body is not None else None
        self._connection.request(method, path, body=raw, headers=headers)
        answer = self._connection.getresponse()
        return answer.status, answer.read()


def connected(url: str, timeout: float = 20) -> socket.socket:
    """Return a plain connection to a server."""
    where = urlsplit(url)
    return socket.create_connection((where.hostname, where.port), timeout=timeout)


def said(client: socket.socket) -> bytes:
    """Return all a server sends until it closes; a reset is an end like another."""
    found = b""
    try:
        while data := client.recv(65_536):
            found += data
    except ConnectionError:
        pass
    return found


def raw(url: str, sent: bytes) -> bytes:
    """Send bytes, and return all that comes back until the server closes."""
    with connected(url) as client:
        client.sendall(sent)
        return said(client)


def status(answer: bytes) -> int:
    """Return the status of an answer's first line."""
    found = re.match(rb"HTTP/1\.[01] (\d{3}) ", answer)
    assert found, f"no status line: {answer[:80]!r}"
    return int(found[1])


def post(path: str, body: bytes, *headers: bytes, length: int | None = None) -> bytes:
    """Return the bytes of a POST that closes after its answer; `length` may lie."""
    lines = [b"POST %s HTTP/1.1" % path.encode(), b"Host: test", b"Connection: close"]
    lines += [b"Content-Length: %d" % (len(body) if length is None else length), *headers]
    if not any(line.lower().startswith(b"content-type") for line in headers):
        lines.append(b"Content-Type: application/json")
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def stub(folder: Path) -> Path:
    """Write the small app into a project folder, and return the folder."""
    project = folder / "functions" / "predict"
    (project / "chalicelib").mkdir(parents=True)
    (project / ".chalice").mkdir()
    (project / ".chalice" / "config.json").write_text('{"version": "2.0", "app_name": "stub"}')
    (project / "app.py").write_text(STUB)
    (project / "chalicelib" / "__init__.py").touch()
    (project / "chalicelib" / "service.py").write_text(SERVICE)
    return folder
