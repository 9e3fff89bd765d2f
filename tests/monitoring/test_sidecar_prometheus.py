"""The sidecar before a real Prometheus: killed again and again under load, it is off by nothing; promtool agrees."""

from __future__ import annotations

import io
import json
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from cryptovol.adapters.telemetry import EmfMeter
from cryptovol.metrics import CONTRACT
from cryptovol.sidecar import exposition
from cryptovol.sidecar.state import Portion, State

CONFIG = """
global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}
scrape_configs: [{{job_name: metrics-sidecar, static_configs: [{{targets: ["127.0.0.1:{port}"]}}]}}]
"""
KILLS = 8
SERIES = 'http_requests_total{status="200"}'


def installed(name: str) -> str:
    """Return a program's path, or skip the test."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed; apt-get install prometheus brings it")
    return path


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def lines(*values: tuple[str, float, dict[str, str]]) -> bytes:
    """Return the EMF lines a meter prints for values."""
    stream = io.StringIO()
    meter = EmfMeter(stream)
    for value in values:
        meter.add(*value)
    meter.flush()
    return stream.getvalue().encode()


LINE = lines(("http_requests_total", 1, {"endpoint": "/predict", "method": "POST", "status": "200"}))


class Prometheus:
    """A Prometheus that scrapes one port five times a second."""

    def __init__(self, folder: Path, target: int) -> None:
        self._url = f"http://127.0.0.1:{(port := free_port())}"
        (folder / "prometheus.yml").write_text(CONFIG.format(port=target))
        command = [installed("prometheus"), f"--config.file={folder}/prometheus.yml"]
        command += [f"--storage.tsdb.path={folder}/tsdb", f"--web.listen-address=127.0.0.1:{port}"]
        self._child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def value(self, query: str) -> float | None:
        """Return the one value of a query, or None if there is none or no answer yet."""
        try:
            with urllib.request.urlopen(
                f"{self._url}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
            ) as answer:
                found = json.load(answer)["data"]["result"]
        except OSError:
            return None
        return float(found[0]["value"][1]) if found else None

    def wait(self, query: str, wanted: float, seconds: float = 30.0) -> float | None:
        """Return a query's value once it is the wanted one, or what it is when the time is up."""
        deadline = time.monotonic() + seconds
        while (found := self.value(query)) != wanted and time.monotonic() < deadline:
            time.sleep(0.1)
        return found

    def close(self) -> None:
        """End it."""
        self._child.send_signal(signal.SIGTERM)
        self._child.wait(20)


class Sidecars:
    """One sidecar after the other on the same log, state and port."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        words = ("--state", f"{folder}/state.sqlite", "--file", f"{folder}/api.log", "--interval", "0.02")
        self._command = [sys.executable, "-m", "cryptovol", "sidecar", *words, "--port", str(self.port)]
        self._child = self._started()

    def _started(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def kill_and_start(self) -> None:
        """End the present one without a word and start the next."""
        self.close()
        self._child = self._started()

    def close(self) -> None:
        """End the present one."""
        self._child.kill()
        self._child.wait()


class Writer(threading.Thread):
    """A program that logs requests, in pieces that end anywhere."""

    def __init__(self, log: Path) -> None:
        super().__init__()
        self.written = 0
        self.done = threading.Event()
        self._log = log

    def run(self) -> None:
        """Write until told to stop."""
        rng = random.Random(5)
        with self._log.open("ab", buffering=0) as file:
            while not self.done.is_set():
                number, cut = rng.randrange(1, 8), rng.randrange(len(LINE))
                file.write((LINE * number)[:cut])
                time.sleep(0.002)
                file.write((LINE * number)[cut:])
                self.written += number
                time.sleep(0.005)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a log of one request."""
    (tmp_path / "api.log").write_bytes(LINE)
    return tmp_path


@pytest.fixture
def sidecars(folder: Path) -> Iterator[Sidecars]:
    """Return a running sidecar."""
    installed("prometheus")
    made = Sidecars(folder)
    yield made
    made.close()


def test_increase_is_exact_across_kills_under_load(folder: Path, sidecars: Sidecars) -> None:
    """Prometheus sees no reset and, between first and last sample, exactly what was written."""
    with closing(Prometheus(folder, sidecars.port)) as prometheus:
        assert prometheus.wait(SERIES, 1) == 1
        writer, rng = Writer(folder / "api.log"), random.Random(3)
        writer.start()
        try:
            for _ in range(KILLS):
                time.sleep(rng.uniform(0.2, 1.5))
                sidecars.kill_and_start()
        finally:
            writer.done.set()
            writer.join()
        assert prometheus.wait(SERIES, 1 + writer.written) == 1 + writer.written
        assert prometheus.value(f"resets({SERIES}[10m])") == 0
        # increase() adds what it supposes at both ends of its window; without that it is last - first + what resets lost.
        assert prometheus.value(f"max_over_time({SERIES}[10m]) - min_over_time({SERIES}[10m])") == writer.written
        assert prometheus.value("changes(up[10m])") != 0, "no kill was seen: the test proves nothing"


def test_promtool_finds_nothing_to_say_about_any_metric(tmp_path: Path) -> None:
    """Names, units and help texts of every metric, ours and the sidecar's own, keep Prometheus' conventions."""
    promtool = installed("promtool")
    path = tmp_path / "state.sqlite"
    values = [(name, 1.0, {label: "x" for label in metric.labels}) for name, metric in CONTRACT.items()]
    many = [("gate_findings_total", 1.0, {"rule": f"r{i}"}) for i in range(300)]
    with closing(State(path)) as state:
        portion = Portion("file:a", None, "1", lines(*values, *many).splitlines(), bytes_read=1)
        state.apply(portion, 1_900_000_000_000)
    text, _ = exposition.render(path, "")
    assert b"emf_series_rejected_total" in text and b"emf_ingest_lag_seconds" in text
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
