"""`cryptovol demo drift`: the loop in a minute or two, with a real alert and a page of evidence."""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptovol.demo.story import Event

EPILOG = """A simulated market changes its nature at a planted hour. Every function of the loop runs on a clock that
jumps; a metrics sidecar and a real Prometheus with the project's own alert rule watch. When the alert fires, tuning and
training start, the gate decides, and the evidence is written as one HTML page beside the folder that holds everything.

Prometheus must be on PATH: apt-get install --no-install-recommends prometheus

exit codes: 0 done, 2 Prometheus is not there, 3 the alert did not fire or did not clear"""


def add(parsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the verb."""
    parser = parsers.add_parser("demo", help="show the loop: drift, alert, retraining, gate")
    which = parser.add_subparsers(dest="what", metavar="WHAT", required=True)
    drift = which.add_parser(
        "drift", help="a planted change of the market, and what comes of it", epilog=EPILOG,
        description="Show drift, alert, retraining, gate and the alert's end, in under three minutes.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    drift.add_argument(
        "--folder", type=Path, default=Path("var/demo/drift"), metavar="DIR",
        help="where everything is kept, emptied first; the page is DIR.html (default: %(default)s)",
    )  # fmt: skip
    drift.add_argument("--json", action="store_true", help="print one JSON object at the end")
    drift.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the demo and return 0."""
    from cryptovol import params, settings
    from cryptovol.demo import drift

    own = settings.load(os.environ)
    told = drift.run(
        args.folder, params=params.load(own.params_path), settings=own, environ=dict(os.environ),
        tell=(lambda event: None) if args.json else _tell,
    )  # fmt: skip
    if args.json:
        body = {"page": str(told.page), "seconds": round(told.seconds, 1), "cleared": told.cleared, "entry": told.entry}
        print(json.dumps({**body, "events": [asdict(event) for event in told.events]}))
    else:
        print(f"\n{told.seconds:.0f} seconds. The evidence: {told.page}")
    return 0


def _tell(event: Event) -> None:
    print(f"{event.seconds:6.1f} s  {event.market}  {event.source:<10}  {event.title}", flush=True)
