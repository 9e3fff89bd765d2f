"""The sidecar as a process: scrapes, readiness, faults, and kill -9 at any moment."""

from __future__ import annotations

import io
import random
import re
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from cryptovol.adapters.telemetry import EmfMeter
from cryptovol.cli import main
from cryptovol.errors import ConfigError, SourceUnavailableError
from cryptovol.sidecar.server import Sidecar, Source, serving
from cryptovol.sidecar.state import Portion, State
from cryptovol.sidecar.tail import FileSource


def emf_line() -> bytes:
    """Return one counted request, as the API prints it."""
    stream = io.StringIO()
    meter = EmfMeter(stream)
    meter.add("http_requests_total", 1, {"endpoint": "/predict", "method": "POST", "status": "200"})
    meter.flush()
    return stream.getvalue().encode()


LINE = emf_line()
COUNT = re.compile(rb'^http_requests_total\{[^}]*status="200"\} (\S+)$', re.M)


def scrape(url: str, path: str = "/metrics", accept: str = "") -> tuple[int, bytes, str]:
    """Return status, body and content type of a GET."""
    request = urllib.request.Request(url + path, headers={"Accept": accept})
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, answer.read(), answer.headers["Content-Type"]
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(), error.headers["Content-Type"]


def counted(url: str) -> float | None:
    """Return the requests a scrape shows, or None if the sidecar does not show any yet."""
    status, body, _ = scrape(url)
    found = COUNT.search(body)
    return float(found[1]) if status == 200 and found else None


@contextmanager
def opened(folder: Path, *more: Source) -> Iterator[tuple[Sidecar, State]]:
    """Give a sidecar over the folder's log and further sources, with its state, and close them all."""
    source = FileSource(folder / "api.log")
    with closing(State(folder / "state.sqlite")) as state, closing(source):
        yield Sidecar(folder / "state.sqlite", [source, *more], clock_ms=lambda: 10), state


class Faulty:
    """A source that cannot be read until it is repaired."""

    name = "logs:somewhere"

    def __init__(self) -> None:
        self.broken = True

    def poll(self, position_of: Callable[[str], str | None]) -> Iterator[Portion]:
        """Raise while broken, then yield nothing."""
        if self.broken:
            raise SourceUnavailableError("the log service is away")
        yield from ()

    def close(self) -> None:
        """Do nothing."""


def test_scrape_is_503_until_the_past_is_committed(tmp_path: Path) -> None:
    """Before the first whole pass nothing is shown; after it, everything that was written before the start."""
    (tmp_path / "api.log").write_bytes(LINE * 3)
    with opened(tmp_path) as (sidecar, state), serving(sidecar, "127.0.0.1", 0) as url:
        assert scrape(url)[0] == scrape(url, "/health")[0] == 503
        sidecar.step(state)
        assert counted(url) == 3 and scrape(url, "/health")[0] == 200
        assert scrape(url, "/else")[0] == 404


def test_new_state_is_not_shown_while_a_source_cannot_be_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From nothing, every source's past must be in first; a fault is told once; recovery is by itself."""
    source = Faulty()
    with opened(tmp_path, source) as (sidecar, state):
        sidecar.step(state)
        sidecar.step(state)
        assert not sidecar.ready.is_set() and sidecar.faults == {source.name: "the log service is away"}
        assert capsys.readouterr().err.count("the log service is away") == 1
        source.broken = False
        sidecar.step(state)
        assert sidecar.ready.is_set() and sidecar.faults == {}


def test_resumed_state_is_shown_although_a_source_cannot_be_read(tmp_path: Path) -> None:
    """What was committed before stays true, so the API's metrics do not wait for a log service that is away."""
    (tmp_path / "api.log").write_bytes(LINE)
    more: list[Source] = []
    for _ in range(2):
        with opened(tmp_path, *more) as (sidecar, state):
            sidecar.step(state)
            assert sidecar.ready.is_set()
        more.append(Faulty())


def test_scrape_speaks_the_format_that_is_asked_for(tmp_path: Path) -> None:
    """Prometheus 2.42's Accept header gets OpenMetrics, a browser gets text."""
    (tmp_path / "api.log").write_bytes(LINE)
    accept = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75"
    with opened(tmp_path) as (sidecar, state), serving(sidecar, "127.0.0.1", 0) as url:
        sidecar.step(state)
        _, body, kind = scrape(url, accept=accept)
        assert kind.startswith("application/openmetrics-text; version=1.0.0") and body.endswith(b"# EOF\n")
        assert scrape(url, accept="text/html")[2].startswith("text/plain; version=0.0.4")


def test_source_named_twice_is_refused(tmp_path: Path) -> None:
    """The same log twice would count every line twice."""
    source = FileSource(tmp_path / "api.log")
    with pytest.raises(ConfigError, match="twice"):
        Sidecar(tmp_path / "s.sqlite", [source, source], clock_ms=lambda: 10)


@pytest.mark.parametrize("words", [[], ["--file", "x.log", "--interval", "0"]])
def test_command_refuses_nothing_to_read_and_no_pause(tmp_path: Path, words: list[str]) -> None:
    """Usage errors exit with 2."""
    assert main(["sidecar", "--state", str(tmp_path / "s.sqlite"), *words]) == 2


class Child:
    """The real command in a process of its own."""

    def __init__(self, folder: Path) -> None:
        words = ("--state", str(folder / "state.sqlite"), "--file", str(folder / "api.log"), "--interval", "0.01")
        command = [sys.executable, "-m", "cryptovol", "sidecar", *words]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert self.process.stdout is not None
        found = re.search(rb"http://\S+:\d+", self.process.stdout.readline())
        assert found is not None
        self.url = found[0].decode()

    def kill(self) -> None:
        """End the process without a word."""
        self.process.kill()
        self.process.communicate()


class Writer(threading.Thread):
    """A program that goes on logging, a few lines or parts of lines at a time."""

    def __init__(self, log: Path) -> None:
        super().__init__()
        self.written = 0
        self.stop = threading.Event()
        self._log = log

    def run(self) -> None:
        """Write until told to stop."""
        rng = random.Random(7)
        with self._log.open("ab", buffering=0) as file:
            while not self.stop.is_set():
                lines = rng.randrange(1, 40)
                data, cut = LINE * lines, rng.randrange(len(LINE))
                file.write(data[:cut])
                file.write(data[cut:])
                self.written += lines
                time.sleep(0.002)


def test_counts_are_exact_after_kills_at_random_moments(tmp_path: Path) -> None:
    """Killed again and again under load, the counter never falls, and in the end equals the lines written."""
    log = tmp_path / "api.log"
    log.touch()
    writer = Writer(log)
    writer.start()
    rng = random.Random(11)
    seen = [0.0]
    child = None
    try:
        for _ in range(5):
            child = Child(tmp_path)
            end = time.monotonic() + rng.uniform(0.05, 0.3)
            while time.monotonic() < end:
                now = counted(child.url)
                seen += [] if now is None else [now]
            child.kill()
        writer.stop.set()
        writer.join()
        child = Child(tmp_path)
        deadline = time.monotonic() + 15
        while seen[-1] < writer.written and time.monotonic() < deadline:
            now = counted(child.url)
            seen += [] if now is None else [now]
        time.sleep(0.1)
        assert counted(child.url) == writer.written
        assert seen == sorted(seen) and len(set(seen)) > 3
    finally:
        writer.stop.set()
        if child is not None:
            child.kill()


def test_second_sidecar_on_the_same_state_gives_up(tmp_path: Path) -> None:
    """Two sidecars cannot both count: whoever finds the position moved stops with a message."""
    log = tmp_path / "api.log"
    log.write_bytes(LINE)
    first, second = Child(tmp_path), Child(tmp_path)
    try:
        deadline = time.monotonic() + 15
        written = 1
        while first.process.poll() is None and second.process.poll() is None and time.monotonic() < deadline:
            with log.open("ab") as file:
                file.write(LINE)
            written += 1
            time.sleep(0.01)
        alive, gone = (first, second) if first.process.poll() is None else (second, first)
        assert gone.process.returncode == 3 and b"another sidecar" in gone.process.communicate()[1]
        while (counted(alive.url) or 0) < written and time.monotonic() < deadline:
            time.sleep(0.02)
        assert counted(alive.url) == written
    finally:
        first.kill()
        second.kill()
