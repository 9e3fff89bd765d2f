"""`cryptovol status`: which parts of the local cloud run, and where."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from cryptovol.cloud import lanes, processes
from cryptovol.cloud.state import State


def add(parsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the verb."""
    parser = parsers.add_parser(
        "status", help="show what of the local cloud runs",
        description="Show each process of this folder's local cloud: does it run, where does it serve.",
        epilog="exit code 0 if all that was started runs, 3 if a part has died or nothing was started",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    lanes.add_option(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the state of each part and return 0 if all run, else 3."""
    folder = Path.cwd() / lanes.HOMES[args.lane]
    known = [child for name in processes.names(folder) if (child := processes.read(folder, name)) is not None]
    rows = [
        {"name": c.name, "running": c.alive, "pid": c.pid, "url": c.url if c.port else None, "log": c.log}
        for c in known
    ]
    if args.json:
        print(json.dumps({"parts": rows, "lane": State(folder).lane()}))
    elif not rows:
        print("nothing runs here. `cryptovol up` starts the local cloud, `cryptovol run` the whole pipeline")
    for row in rows if not args.json else ():
        state = "running" if row["running"] else "DEAD"
        print(f"{row['name']:<12}{state:<9}pid {row['pid']:<9}{row['url'] or '':<26}{row['log']}")
    return 0 if rows and all(row["running"] for row in rows) else 3
