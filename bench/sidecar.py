"""Benchmarks of the metrics sidecar: lines read and committed, an exposition, from a written line to a scrape.

The sidecar's own code on files on this machine's disk; nothing is left out: reading, parsing, adding up, SQLite. The
goals were set before anything was measured.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptovol.adapters.telemetry import EmfMeter
from cryptovol.sidecar import exposition
from cryptovol.sidecar.state import State
from cryptovol.sidecar.tail import FileSource
from serving.stats import Row, Section, judge, median, ms

GOAL_LINES, GOAL_EXPOSITION, GOAL_FRESH = 100_000, 5e-3, 0.2
SERIES = 300
MODELS = ("cryptovol-btc-usd-h6", "cryptovol-btc-usd-h24", "cryptovol-eth-usd-h6", "cryptovol-eth-usd-h24")
HEAD = ("what", "median", "goal", "")


@dataclass(frozen=True)
class Sizes:
    """Counts: lines of one log and how often it is read, expositions, lines waited for; whether goals are judged."""

    lines: int = 200_000
    rounds: int = 5
    expositions: int = 200
    waits: int = 60
    judged: bool = True


FULL = Sizes()
QUICK = Sizes(lines=3_000, rounds=2, expositions=5, waits=3, judged=False)


def sections(sizes: Sizes, machine: str) -> Iterator[Section]:
    """Yield the table."""
    with tempfile.TemporaryDirectory(prefix="cryptovol-bench-") as name:
        folder = Path(name)
        rows = [*_reading(folder, sizes), *_exposing(folder, sizes), _fresh(folder, sizes)]
    remark = (
        f"{machine}. A line is one answered forecast: {len(blob(0)):,} bytes, three metrics. CPU time is what one core "
        "does, and the goals are held against it; wall time is shared with whatever else runs. The wait ends when a "
        "scrape of the real process, at its own interval, shows the line; scrapes follow each other without a pause."
    )
    yield Section("Metrics sidecar", remark, HEAD, rows)


def blob(number: int) -> bytes:
    """Return the EMF line of one answer, all metrics of a request in one blob, as Powertools would print it."""
    units = {"http_requests_total": "Count", "prediction_latency": "Seconds", "model_predictions": "None"}
    described = ",".join(f'{{"Name":"{name}","Unit":"{unit}"}}' for name, unit in units.items())
    model = MODELS[number % len(MODELS)]
    return (
        f'{{"_aws":{{"Timestamp":{1_795_381_580_000 + number},"CloudWatchMetrics":[{{"Namespace":"Cryptovol","Dimensions":'
        f'[["endpoint","method","model","status"]],"Metrics":[{described}]}}]}},"endpoint":"/predict","method":"POST",'
        f'"status":"200","model":"{model}","service":"predict","request_id":"{number:036d}","http_requests_total":[1.0],'
        f'"prediction_latency":[{0.002 + number % 97 / 1e3}],"model_predictions":[{0.002 + number % 89 / 1e4}]}}\n'
    ).encode()


def _reading(folder: Path, sizes: Sizes) -> list[Row]:
    log = folder / "read.log"
    log.write_bytes(b"".join(map(blob, range(sizes.lines))))
    cpu, wall = [], []
    for turn in range(sizes.rounds):
        started = time.perf_counter(), time.process_time()
        read = _read(folder / f"read-{turn}.sqlite", log)
        cpu.append(read / (time.process_time() - started[1]))
        wall.append(read / (time.perf_counter() - started[0]))
    met = median(cpu) >= GOAL_LINES
    return [
        (
            f"{sizes.lines:,} EMF lines from a file into the state, per second of CPU time", f"{median(cpu):,.0f} lines/s",
            f"at least {GOAL_LINES:,} lines/s", judge(met, judged=sizes.judged),
        ),
        ("the same, per second of wall time", f"{median(wall):,.0f} lines/s", "", ""),
    ]  # fmt: skip


def _read(path: Path, log: Path) -> int:
    """Return how many lines of a log a new state counted."""
    with closing(State(path)) as state, closing(FileSource(log)) as source:
        for portion in source.poll(state.position):
            state.apply(portion, 1_900_000_000_000)
    found = re.search(rb'emf_lines_total\{result="applied"\} (\S+)', exposition.render(path, "")[0])
    return int(float(found[1])) if found else 0


def _exposing(folder: Path, sizes: Sizes) -> list[Row]:
    log, path = folder / "series.log", folder / "series.sqlite"
    with log.open("w", encoding="utf-8") as stream:
        meter = EmfMeter(stream)
        for number in range(SERIES // 2 - 2):
            meter.add("gate_findings_total", 1, {"rule": f"rule-{number}"})
            meter.add("stage_rows", 1, {"stage": "ingest", "series": f"{number}-USD"})
        meter.flush()
    _read(path, log)
    body = exposition.render(path, "")[0]
    shown = sum(not line.startswith(b"#") for line in body.splitlines())
    cpu, wall = _repeated(lambda: exposition.render(path, ""), sizes.expositions)
    met = cpu <= GOAL_EXPOSITION and shown >= SERIES
    goal = f"at most {1e3 * GOAL_EXPOSITION:g} ms"
    return [
        (f"exposition of {shown} series, CPU time", ms(cpu), goal, judge(met, judged=sizes.judged)),
        ("the same, wall time", ms(wall), "", ""),
    ]


def _repeated(work: Callable[[], object], times: int) -> tuple[float, float]:
    """Return the median CPU and wall seconds of some calls."""
    cpu, wall = [], []
    for _ in range(times):
        started = time.perf_counter(), time.process_time()
        work()
        cpu.append(time.process_time() - started[1])
        wall.append(time.perf_counter() - started[0])
    return median(cpu), median(wall)


def _fresh(folder: Path, sizes: Sizes) -> Row:
    log = folder / "fresh.log"
    log.touch()
    taken = []
    with _running(folder / "fresh.sqlite", log) as url, log.open("ab", buffering=0) as file:
        for number in range(1, sizes.waits + 1):
            # Not in step with the sidecar's own looks at the log.
            time.sleep(0.05 + number * 0.0371 % 0.1)
            started = time.perf_counter()
            file.write(blob(0))
            while _shown(url) < number and time.perf_counter() - started < 10:
                pass
            taken.append(time.perf_counter() - started)
    fresh = median(taken)
    goal = f"at most {1e3 * GOAL_FRESH:g} ms"
    return (
        "from a written line to a scrape that shows it",
        ms(fresh),
        goal,
        judge(fresh <= GOAL_FRESH, judged=sizes.judged),
    )


@contextmanager
def _running(path: Path, log: Path) -> Iterator[str]:
    """Run the real command; give its URL."""
    command = [sys.executable, "-m", "cryptovol", "sidecar", "--state", str(path), "--file", str(log)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        try:
            yield re.findall(r"http://\S+", child.stdout.readline().decode())[0]
        finally:
            child.terminate()


def _shown(url: str) -> float:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            found = re.search(rb"^http_requests_total\{.*\} (\S+)", answer.read(), re.M)
    except urllib.error.HTTPError:
        return 0.0
    return float(found[1]) if found else 0.0
