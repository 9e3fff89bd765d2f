"""Sidecar and Prometheus as real processes over the demo's metric lines, and what Prometheus answers."""

from __future__ import annotations

import json
import shutil
import socket
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from cryptovol.cloud import processes, readiness
from cryptovol.cloud.processes import Spec
from cryptovol.demo import rules
from cryptovol.errors import ConfigError, TransientError

CURE = "Debian and Ubuntu: apt-get install --no-install-recommends prometheus"
Found = TypeVar("Found")


class Prometheus:
    """A running Prometheus' HTTP API."""

    def __init__(self, url: str, clock: Callable[[], float]) -> None:
        self.url = url
        self._clock = clock

    def alerts(self) -> dict[str, dict[str, Any]]:
        """Return the alerts that are pending or firing, by name."""
        return {each["labels"]["alertname"]: each for each in self._asked("alerts")["alerts"]}

    def value(self, query: str) -> float | None:
        """Return the one value an instant query gives, or None if it gives none."""
        found = self._asked("query", query=query)["result"]
        return float(found[0]["value"][1]) if found else None

    def history(self, query: str, *, since: float) -> list[tuple[float, float]]:
        """Return a query's values second by second, as pairs of unix seconds and value."""
        found = self._asked("query_range", query=query, start=f"{since}", end=f"{self._clock()}", step="1")["result"]
        return [(float(at), float(value)) for each in found for at, value in each["values"]]

    def _asked(self, what: str, **words: str) -> Any:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"{self.url}/api/v1/{what}?{urllib.parse.urlencode(words)}", timeout=10) as answer:
            return json.load(answer)["data"]


def until(what: Callable[[], Found | None], why: str, seconds: float = 40.0) -> Found:
    """Return what a question answers once that is true; raise `TransientError` with `why` if it never is."""
    deadline = time.monotonic() + seconds
    while not (found := what()):
        if time.monotonic() > deadline:
            raise TransientError(f"{why} within {seconds:g} s")
        time.sleep(0.1)
    return found


def program() -> str:
    """Return the path of Prometheus; raise `ConfigError` where it is not installed."""
    found = shutil.which("prometheus")
    if found is None:
        raise ConfigError(f"prometheus is not installed, and the demo shows a real one. {CURE}")
    return found


@contextmanager
def watching(
    folder: Path, lines: Path, alerts: Path, *, times: float, environ: Mapping[str, str], clock: Callable[[], float]
) -> Iterator[Prometheus]:
    """Run a sidecar over a file of metric lines and Prometheus over the sidecar, while the block runs.

    Parameters
    ----------
    folder
        For configuration, state and logs.
    alerts
        The project's alert rules; those about the model are taken.
    times
        How many times faster the rules' waits are.
    clock
        Returns wall-clock unix seconds.

    Raises
    ------
    ConfigError
        If Prometheus is not installed.
    TransientError
        If one of them does not start.
    """
    found, target, own = program(), _free_port(), _free_port()
    (folder / "rules.yml").write_text(rules.of_group(alerts, "model", times), encoding="utf-8")
    scrape = {"job_name": "metrics-sidecar", "static_configs": [{"targets": [f"127.0.0.1:{target}"]}]}
    config = {"global": {"scrape_interval": "1s", "evaluation_interval": "1s"}, "scrape_configs": [scrape]}
    (folder / "prometheus.yml").write_text(json.dumps({**config, "rule_files": ["rules.yml"]}), encoding="utf-8")
    sidecar = (sys.executable, "-m", "cryptovol", "sidecar", "--state", str(folder / "metrics.sqlite"))
    more = ("--file", str(lines), "--port", str(target), "--interval", "0.1")
    server = (
        found, f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{own}",
    )  # fmt: skip
    with ExitStack() as running:
        for spec in (
            Spec("sidecar", (*sidecar, *more), environ, target, "/health"),
            Spec("prometheus", server, environ, own, "/-/ready"),
        ):
            running.enter_context(_process(spec, folder))
        yield Prometheus(f"http://127.0.0.1:{own}", clock)


@contextmanager
def _process(spec: Spec, folder: Path) -> Iterator[None]:
    child = processes.start(spec, folder, Path.cwd())
    try:
        readiness.wait_ready(child, spec)
        yield
    finally:
        processes.stop(folder, child)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
