"""`make bench`: measure the installs, the main job and the numeric cores, and write docs/benchmarks.md.

Times are wall seconds on the machine that ran it; where two ways are compared, they ran in turn in the same process
and the ratio is what holds elsewhere. `--only` measures one part; `--only forecast --quick` tries its code in seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Row = tuple[str, ...]
RUNS = 7


def timed(work: Callable[[], object], runs: int = RUNS) -> float:
    """Return the median seconds of some runs after one warm-up."""
    work()
    taken = []
    for _ in range(runs):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def market_data() -> list[Row]:
    """Return what reading, judging and fetching bars takes."""
    import market

    judged, fetched = market.parse_and_gate(), market.backfill()
    return [
        ("answers parsed and gated, one core", f"{1e3 * judged:.0f} ms", f"{market.N / judged:,.0f} bars/s"),
        (
            f"{market.N:,} bars from the stand-in server into S3", f"{fetched:.1f} s",
            f"{market.N / fetched:,.0f} bars/s; once, client and emulator on the same cores",
        ),
    ]  # fmt: skip


def numbers() -> list[Row]:
    """Return the medians of the numeric cores that have no part of their own."""
    from cryptovol import gate, params
    from cryptovol.testing import make_bars

    limits, bars = params.load(Path("params.yaml")).gate, make_bars(80_000)
    as_of = int(bars.time[-1]) + 3600
    taken = timed(lambda: gate.check(bars, as_of=as_of, params=limits, symbol="BTC", quote="USD"))
    return [("gate on 80,000 bars", f"{1e3 * taken:.0f} ms", f"{len(bars) / taken:,.0f} bars/s")]


def job() -> tuple[list[Row], list[Row]]:
    """Return the installs and the main job, measured in fresh clones of the committed state."""
    with tempfile.TemporaryDirectory(prefix="cryptovol-bench-") as folder:
        cache = {**_clean_environ(), "UV_CACHE_DIR": f"{folder}/cache"}
        installs, clone = [], Path(folder)
        for label in ("empty", "warm"):
            clone = Path(folder, label)
            subprocess.run(["git", "clone", "--quiet", ".", str(clone)], check=True)
            installs.append((f"make setup, {label} package cache", _seconds(["make", "setup"], clone, cache), ""))
        installs.append(("make setup, nothing to do", _seconds(["make", "setup"], clone, cache), ""))
        runs = []
        for label in ("first", "second, nothing new"):
            started = time.monotonic()
            report = _run_once(clone, cache)
            runs.append((f"make run ARGS=--once, {label}", f"{time.monotonic() - started:.1f} s", _stages(report)))
        return installs, runs


def _clean_environ() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if not k.startswith(("CRYPTOVOL_", "AWS_", "MLFLOW_", "VIRTUAL_ENV"))}


def _seconds(command: list[str], folder: Path, environ: dict[str, str]) -> str:
    started = time.monotonic()
    subprocess.run(command, cwd=folder, env=environ, check=True, stdout=subprocess.DEVNULL)
    return f"{time.monotonic() - started:.1f} s"


def _run_once(clone: Path, environ: dict[str, str]) -> dict[str, Any]:
    simulated = {**environ, "CRYPTOVOL_SOURCE": "simulated"}
    done = subprocess.run(
        ["make", "--silent", "run", "ARGS=--once --json"], cwd=clone, env=simulated, check=True, stdout=subprocess.PIPE
    )
    report: dict[str, Any] = json.loads(done.stdout.decode().splitlines()[-1])
    return report


def _stages(report: dict[str, Any]) -> str:
    return ", ".join(f"{stage['stage']} {stage['seconds']:.1f} s" for stage in report["stages"])


def forecast_parts(quick: bool) -> list[str]:
    """Return the Markdown of the forecast's benchmarks."""
    import forecast

    parts = []
    for section in forecast.sections(forecast.QUICK if quick else forecast.FULL):
        parts += [f"## {section.title}", *filter(None, [section.remark]), table(section.head, list(section.rows))]
    return parts


def table(head: Row, rows: list[Row]) -> str:
    """Return a Markdown table."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _arguments() -> tuple[str | None, bool]:
    """Return the one part to measure, or None for all, and whether on small sizes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--only",
        choices=("numbers", "market", "forecast", "job"),
        help="measure one part and print it, writing nothing",
    )
    parser.add_argument(
        "--quick", action="store_true", help="with --only forecast: small sizes, a test of the code only"
    )
    args = parser.parse_args()
    if args.quick and args.only != "forecast":
        parser.error("--quick goes with --only forecast: small sizes say nothing worth keeping")
    return args.only, args.quick


def main() -> int:
    """Measure, print and write."""
    only, quick = _arguments()
    machine = f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"
    parts = ["# Benchmarks", f"Written by `make bench`. {machine}. Shared and noisy: take the ratios, not the times."]
    if only in (None, "job"):
        installs, runs = job()
        parts += ["## Install", table(("step", "wall", ""), installs)]
        parts += ["## The main job", table(("step", "wall", "seconds inside each stage"), runs)]
    if only in (None, "market"):
        parts += ["## Market data", table(("what", "time", ""), market_data())]
    if only in (None, "numbers"):
        parts += ["## Numeric cores (medians)", table(("what", "time", ""), numbers())]
    if only in (None, "forecast"):
        parts += forecast_parts(quick)
    text = "\n\n".join(parts) + "\n"
    print(text)
    if only is None:
        Path("docs/benchmarks.md").write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
