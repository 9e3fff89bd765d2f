"""Prometheus and Alertmanager as real processes over the project's own files, with time compressed sixtyfold."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from cryptovol.demo.rules import compress

HOME = Path("monitoring").resolve()
RULES = HOME / "prometheus" / "rules"


def tool(name: str) -> str:
    """Return the path of a program of Debian's packages, or skip the test with the reason."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(
            f"{name} is not installed: apt-get install --no-install-recommends prometheus prometheus-alertmanager"
        )
    return found


def promtool(*words: str, cwd: Path = HOME / "prometheus") -> subprocess.CompletedProcess[str]:
    """Run promtool and return what it said."""
    return subprocess.run([tool("promtool"), *words], cwd=cwd, capture_output=True, text=True, timeout=120, check=False)


def free_port() -> int:
    """Return a loopback port that nothing has."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(what: Callable[[], Any], why: str, seconds: float = 40) -> Any:
    """Return what a question answers once the answer is true; fail with `why` if it never is."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = what()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(why)


def _ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


class Prometheus:
    """A running Prometheus."""

    def __init__(self, url: str) -> None:
        self.url = url

    def query(self, text: str) -> list[dict[str, Any]]:
        """Return the series an instant query gives."""
        asked = urllib.parse.urlencode({"query": text})
        with urllib.request.urlopen(f"{self.url}/api/v1/query?{asked}", timeout=5) as answer:
            found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        return found


@contextmanager
def _process(log: Path, ready: str, *command: str) -> Iterator[None]:
    with log.open("wb") as output:
        child = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        try:
            until(lambda: child.poll() is not None or _ready(ready), f"{command[0]} is not ready")
            assert child.poll() is None, log.read_text()
            yield
        finally:
            child.terminate()
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait(10)


@contextmanager
def webhook() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Give the address of a receiver and the alerts it has been sent."""
    alerts: list[dict[str, Any]] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            alerts.extend(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["alerts"])
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/alerts", alerts
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def stack(folder: Path, target: str, receiver: str) -> Iterator[Prometheus]:
    """Start Prometheus over one target and Alertmanager over one receiver, from copies of the project's files."""
    programs = tool("prometheus"), tool("prometheus-alertmanager")
    ports = free_port(), free_port()
    _write(folder, target, receiver, ports[1])
    with ExitStack() as running:
        running.enter_context(
            _process(
                folder / "alertmanager.log", f"http://127.0.0.1:{ports[1]}/-/ready", programs[1],
                f"--config.file={folder / 'alertmanager.yml'}", f"--storage.path={folder / 'am'}",
                f"--web.listen-address=127.0.0.1:{ports[1]}", "--cluster.listen-address=",
            )
        )  # fmt: skip
        running.enter_context(
            _process(
                folder / "prometheus.log", f"http://127.0.0.1:{ports[0]}/-/ready", programs[0],
                f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'tsdb'}",
                f"--web.listen-address=127.0.0.1:{ports[0]}",
            )
        )  # fmt: skip
        yield Prometheus(f"http://127.0.0.1:{ports[0]}")


def _write(folder: Path, target: str, receiver: str, alertmanager: int) -> None:
    (folder / "rules").mkdir()
    for path in RULES.glob("*.yml"):
        (folder / "rules" / path.name).write_text(compress(path.read_text(encoding="utf-8")), encoding="utf-8")
    own = (HOME / "prometheus" / "prometheus.yml").read_text(encoding="utf-8")
    for old, new in (("127.0.0.1:9109", target), ("127.0.0.1:9093", f"127.0.0.1:{alertmanager}"), (": 10s", ": 1s")):
        assert old in own
        own = own.replace(old, new)
    (folder / "prometheus.yml").write_text(own, encoding="utf-8")
    routes = compress((HOME / "alertmanager" / "alertmanager.yml").read_text(encoding="utf-8"))
    for old, new in (("http://127.0.0.1:9095/alerts", receiver), ("group_wait: 10s", "group_wait: 1s")):
        assert old in routes
        routes = routes.replace(old, new)
    (folder / "alertmanager.yml").write_text(routes, encoding="utf-8")
