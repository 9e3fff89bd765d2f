"""A real Prometheus over the invented history, and a dashboard's queries as Grafana would send them."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from monitoring.grafana.history import STEP, openmetrics

TOOLS = ("prometheus", "promtool")
RANGE = 3600  # seconds that $__range stands for
# $__rate_interval is four scrape intervals or more; Grafana's own is one step longer.
STANDS_FOR = {"$__rate_interval": "60s", "$__interval": "15s", "$__range": f"{RANGE}s"}
READY_S = 30.0


def absent() -> str:
    """Return why no Prometheus can be started here, or nothing if one can."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    return f"{' and '.join(missing)} not on PATH; Debian and Ubuntu: apt-get install prometheus" if missing else ""


@contextmanager
def prometheus(folder: Path, end: int) -> Iterator[str]:
    """Give the URL of a Prometheus that holds two hours of every metric up to unix second `end`, and stop it after."""
    history, data, config = folder / "history.om", folder / "data", folder / "prometheus.yml"
    history.write_text("\n".join(openmetrics(end)) + "\n", encoding="utf-8")
    config.write_text("global: {scrape_interval: 10s}\n", encoding="utf-8")
    fill = ["promtool", "tsdb", "create-blocks-from", "openmetrics", str(history), str(data), "-q"]
    subprocess.run(fill, check=True, capture_output=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    where = [f"--config.file={config}", f"--storage.tsdb.path={data}", f"--web.listen-address={address}"]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(["prometheus", *where], stdout=log, stderr=log)
    try:
        _await(f"http://{address}/-/ready", process, folder / "prometheus.log")
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait(10)


def _await(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    patience = time.monotonic() + READY_S
    while process.poll() is None and time.monotonic() < patience:
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    raise RuntimeError(f"Prometheus is not ready: {log.read_text(errors='replace')[-800:]}")


def substituted(expr: str, dashboard: dict[str, Any]) -> str:
    """Return an expression with Grafana's variables and the dashboard's selectors filled in."""
    for variable, value in STANDS_FOR.items():
        expr = expr.replace(variable, value)
    for selector in dashboard["templating"]["list"]:
        expr = expr.replace(f"${selector['name']}", selector["allValue"])
    return expr


def answered(url: str, expr: str, *, start: int, end: int, step: int = STEP * 3) -> list[dict[str, Any]]:
    """Return the series of a range query: each with ``metric`` (its labels) and ``values`` (unix second, text)."""
    asked = urllib.parse.urlencode({"query": expr, "start": start, "end": end, "step": step})
    try:
        with urllib.request.urlopen(f"{url}/api/v1/query_range?{asked}", timeout=30) as answer:
            found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
    except urllib.error.HTTPError as error:
        raise ValueError(f"{expr}: {error.read().decode()}") from error
    return found


def named(legend: str, labels: dict[str, str]) -> str:
    """Return a legend with each ``{{label}}`` filled in as Grafana does; an absent label becomes nothing."""
    return re.sub(r"{{\s*(\w+)\s*}}", lambda found: labels.get(found[1], ""), legend)
