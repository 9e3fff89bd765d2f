"""`cryptovol logs`: every line of one run or one request, gathered over the local lane's log files in time order."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from cryptovol import loglines
from cryptovol.cloud import lanes
from cryptovol.errors import ConfigError

EPILOG = """Runs are named in `cryptovol run --json` and under runs/ in the store; a request by the header X-Request-Id and by
request_id in every answer and problem document. On AWS the same lines are in CloudWatch Logs.

  cryptovol logs --run run-20261126T060000Z-1795672800
  cryptovol logs --request 1f0c… --json

exit codes: 0 found, 2 no such line or no logs"""


def add(parsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the verb."""
    parser = parsers.add_parser(
        "logs", help="the log lines of one run or request", epilog=EPILOG,
        description="Gather the log lines of one run or one request over all processes, oldest first.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--run", dest="run_id", metavar="RUN_ID", help="lines of the stages of one run")
    which.add_argument("--request", dest="request_id", metavar="ID", help="lines of one request, or one invocation")
    lanes.add_option(parser)
    parser.add_argument("--json", action="store_true", help="print the lines as JSON, one each")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the lines found."""
    name = "request_id" if args.run_id is None else "run_id"
    wanted, folder = getattr(args, name), Path.cwd() / lanes.HOMES[args.lane] / "logs"
    found = loglines.about(files(folder), name, wanted) if wanted else []
    if not found:
        raise ConfigError(f"no line with {name} {wanted!r} in {folder}. Cure: see the id, and --lane")
    for line in found:
        print(json.dumps(line) if args.json else loglines.text(line))
    sys.stdout.flush()
    return 0


def files(folder: Path) -> Mapping[str, Iterator[bytes]]:
    """Return each log file's lines, read as they are asked for, by the file's name under the folder."""
    found = sorted(path for path in folder.rglob("*.log*") if path.is_file())
    return {str(path.relative_to(folder)): _lines(path) for path in found}


def _lines(path: Path) -> Iterator[bytes]:
    with open(path, "rb") as file:
        yield from file
