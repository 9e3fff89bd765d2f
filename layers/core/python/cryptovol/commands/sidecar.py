"""`cryptovol sidecar`: turn the EMF lines of functions and API into Prometheus series."""

from __future__ import annotations

import argparse
import os
import signal
import time
from pathlib import Path

from cryptovol import settings
from cryptovol.errors import ConfigError
from cryptovol.sidecar.server import Sidecar, Source, serving
from cryptovol.sidecar.tail import FileSource

DESCRIPTION = """Read EMF metric lines from log files and CloudWatch log groups and serve them to Prometheus.

Every line is counted exactly once: series and log positions are committed together, so the sidecar may be killed
and started again at any time. Point Prometheus at http://HOST:PORT/metrics and at nothing else."""
EPILOG = "example: cryptovol sidecar --state var/metrics.db --file var/log/api.log --port 9109"


def add(parsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the verb."""
    parser = parsers.add_parser(
        "sidecar", help="serve the metrics of functions and API to Prometheus", description=DESCRIPTION, epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--state", type=Path, required=True, metavar="FILE", help="SQLite file of series and positions")
    parser.add_argument("--file", type=Path, action="append", default=[], metavar="LOG", help="log file to follow")
    parser.add_argument(
        "--log-group", action="append", default=[], metavar="NAME", help="CloudWatch log group to follow"
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to serve on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="port to serve on; 0 takes a free one and prints it")
    parser.add_argument("--interval", type=float, default=0.1, metavar="S", help="seconds between two looks for lines")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Read and serve until a signal to stop."""
    sources = _sources(args)
    args.state.parent.mkdir(parents=True, exist_ok=True)
    sidecar = Sidecar(args.state, sources, clock_ms=clock_ms)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sidecar.stop())
    with serving(sidecar, args.host, args.port) as url:
        print(f"metrics sidecar on {url}/metrics", flush=True)
        sidecar.run(args.interval)
    return 0


def clock_ms() -> int:
    """Return the current unix milliseconds."""
    return time.time_ns() // 1_000_000


def _sources(args: argparse.Namespace) -> list[Source]:
    if not args.file and not args.log_group:
        raise ConfigError("nothing to read; name a log with --file or a log group with --log-group")
    if args.interval <= 0:
        raise ConfigError(f"--interval must be above 0 seconds, not {args.interval}")
    sources: list[Source] = [FileSource(path.resolve()) for path in args.file]
    if args.log_group:
        settings.require_cloud(os.environ)
        from cryptovol.adapters.telemetry import logs_client
        from cryptovol.sidecar.logs import LogsSource

        client = logs_client()
        sources += [LogsSource(client, group, clock_ms=clock_ms) for group in args.log_group]
    return sources
