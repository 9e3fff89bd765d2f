"""`cryptovol down`: stop what `up`, or a `run` that was killed, left running."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from cryptovol.cloud import lanes
from cryptovol.cloud.fleet import down
from cryptovol.cloud.state import State


def add(parsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the verb."""
    parser = parsers.add_parser(
        "down", help="stop the local cloud",
        description="Stop every process that a cryptovol command left running in this folder. What was stored is kept.",
        epilog="example: cryptovol down && rm -r var     forgets everything, too",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Stop what runs and return 0, also if nothing did."""
    stopped = []
    for folder in lanes.folders(Path.cwd()):
        with State(folder).locked():
            stopped += down(folder)
    if args.json:
        print(json.dumps({"stopped": stopped}))
    else:
        print(f"stopped {', '.join(stopped)}" if stopped else "nothing was running")
    return 0
