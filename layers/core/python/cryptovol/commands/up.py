"""`cryptovol up`: the local cloud with MLflow, metrics and API, left running in the background."""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

from cryptovol.cloud import embedded, lanes, monitors
from cryptovol.cloud.report import addresses_text, teller

EPILOG = """The market's source is CRYPTOVOL_SOURCE: auto (default), live, a venue's name, simulated or replay:FILE. auto takes
live bars if any venue can be reached now, else simulated ones; `cryptovol sources check` shows which answer.
Running it again starts only what does not run yet. Everything is kept under var/.

  cryptovol up                      then: cryptovol status, cryptovol run --once, cryptovol down
  cryptovol up --airflow            with Airflow's scheduler and UI: retrains every six hours
  cryptovol up --monitoring         with Prometheus and Alertmanager, where they are installed
  cryptovol up --lane localstack    LocalStack's S3, Lambda and API Gateway; `make localstack` installs it first"""


def add(parsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the verb."""
    parser = parsers.add_parser(
        "up", help="start the local cloud in the background", epilog=EPILOG,
        description="Start S3 and Lambda, deploy the functions, start MLflow, the metrics sidecar and the API.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--port", type=int, metavar="N", help="port of the API; without it the one of last time")
    parser.add_argument("--airflow", action="store_true", help="also start Airflow's scheduler and UI")
    parser.add_argument("--monitoring", action="store_true", help="also start Prometheus and Alertmanager")
    parser.add_argument("--webhook", default="", metavar="URL", help="where Alertmanager sends alerts; nowhere without")
    lanes.add_option(parser)
    parser.add_argument("--json", action="store_true", help="print the addresses as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Start what does not run yet and return 0."""
    if args.monitoring:
        monitors.programs(os.environ)  # what is not installed is said before anything is started
    lane = lanes.make(args.lane, Path.cwd(), os.environ, teller(lambda: sys.stderr))
    with embedded.keeping(lane.folder), lane.state.locked():
        try:
            addresses = lane.up(api_port=args.port)
            lane.settle()
            found = asdict(addresses)
            if args.airflow:
                found["airflow_url"] = lane.open_airflow()
            if args.monitoring:
                found |= monitors.start(lane.root, lane.fleet, os.environ, webhook=args.webhook)
            lane.state.write_lane(found)
        except BaseException:
            lane.fleet.stop_started()
            raise
    print(json.dumps(found) if args.json else addresses_text(found))
    return 0
