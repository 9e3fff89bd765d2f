"""`make bench`: measure the installs, the main job and the numeric cores, and write docs/benchmarks.md.

Times are wall seconds on the machine that ran it; where two ways are compared, they ran in turn and the ratio is what
holds elsewhere. `--only` measures one part, and with `--write` puts its tables in the place of their old ones;
`--only forecast --quick`, and serving or sidecar in its place, try their code on small sizes.
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
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

Row = tuple[str, ...]
RUNS = 7
QUICK = ("forecast", "serving", "sidecar")  # parts that can be tried on small sizes
QUICK_TEXT = ", ".join(QUICK[:-1]) + f" or {QUICK[-1]}"


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

    return _rendered(forecast.sections(forecast.QUICK if quick else forecast.FULL))


def serving_parts(quick: bool) -> list[str]:
    """Return the Markdown of the API's benchmarks."""
    import serving

    return _rendered(serving.sections(serving.QUICK if quick else serving.FULL, _machine()))


def sidecar_parts(quick: bool) -> list[str]:
    """Return the Markdown of the metrics sidecar's benchmarks."""
    import sidecar

    return _rendered(sidecar.sections(sidecar.QUICK if quick else sidecar.FULL, _machine()))


def _rendered(sections: Iterable[Any]) -> list[str]:
    parts = []
    for section in sections:
        parts += [f"## {section.title}", *filter(None, [section.remark]), table(section.head, list(section.rows))]
    return parts


def replaced(page: str, fresh: str) -> str:
    """Return the page with fresh tables in the place of the old ones of their part, or at its end.

    A part is what stands before the colon of a heading: old tables of the same part that are not made any more go.
    """
    head, *old = page.rstrip().split("\n## ")
    new = fresh.strip().removeprefix("## ").split("\n## ")
    parts = {_part(each) for each in new}
    at = next((i for i, each in enumerate(old) if _part(each) in parts), len(old))
    kept = [each.strip() for each in old if _part(each) not in parts]
    return "\n\n## ".join([head.strip(), *kept[:at], *map(str.strip, new), *kept[at:]]) + "\n"


def _part(section: str) -> str:
    return section.split("\n", 1)[0].split(":", 1)[0].strip()


def _machine() -> str:
    return f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"


def table(head: Row, rows: list[Row]) -> str:
    """Return a Markdown table."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _arguments() -> argparse.Namespace:
    """Return `only`, the one part to measure or None for all; `quick`, whether on small sizes; and `write`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--only", choices=("numbers", "market", "forecast", "serving", "sidecar", "job"),
        help="measure one part and print it",
    )  # fmt: skip
    parser.add_argument("--write", action="store_true", help="with --only: put it into docs/benchmarks.md as well")
    parser.add_argument(
        "--quick", action="store_true", help=f"with --only {QUICK_TEXT}: small sizes, a test of the code only"
    )
    args = parser.parse_args()
    if args.quick and (args.only not in QUICK or args.write):
        parser.error(
            f"--quick goes with --only {QUICK_TEXT}, and is never written: small sizes say nothing worth keeping"
        )
    if args.write and args.only is None:
        parser.error("--write goes with --only: everything together is written anyway")
    return args


def measured(only: str | None, quick: bool) -> list[str]:
    """Return the Markdown of one part, or of all."""
    parts: list[str] = []
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
    if only in (None, "serving"):
        parts += serving_parts(quick)
    if only in (None, "sidecar"):
        parts += sidecar_parts(quick)
    return parts


def main() -> int:
    """Measure, print and write."""
    args, page = _arguments(), Path("docs/benchmarks.md")
    head = ["# Benchmarks", f"Written by `make bench`. {_machine()}. Shared and noisy: take the ratios, not the times."]
    text = "\n\n".join(measured(args.only, args.quick)) + "\n"
    print(text)
    if args.only is None:
        page.write_text("\n\n".join([*head, text]), encoding="utf-8")
    elif args.write:
        page.write_text(replaced(page.read_text(encoding="utf-8"), text), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
