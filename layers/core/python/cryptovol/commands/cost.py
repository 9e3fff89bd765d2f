"""`cryptovol cost`: a month on AWS Lambda, from the durations that this machine's logs tell."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from itertools import chain
from pathlib import Path

from cryptovol import cost, loglines
from cryptovol.cloud import lanes
from cryptovol.cloud.report import table_text
from cryptovol.commands.logs import files
from cryptovol.cost import CostParams, Use
from cryptovol.errors import ConfigError
from cryptovol.wiring import open_ports

ORDER = (
    "ingest",
    "validate",
    "featurize",
    "train",
    "forecast",
    "score",
    "watch",
    "tune",
    cost.API,
)  # a table reads as the pipeline runs
EPILOG = """Seconds are the mean of what the local lane's logs tell of finished stages and answered forecasts, on this machine's
processor, without cold starts; a function of 1 or 2 GB has another. Prices are those of params.yaml, block cost.
Not in it: S3, API Gateway, CloudWatch, data transfer, the machine of Airflow and MLflow. docs/cost.md has more.

  cryptovol cost --symbols 10 --forecasts 1000000
  cryptovol cost --architecture arm64 --json"""


def add(parsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the verb."""
    parser = parsers.add_parser(
        "cost", help="what a month would cost on AWS Lambda", epilog=EPILOG,
        description="Print GB-seconds, requests and USD of a month, per function, from measured durations.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    counts = {
        "--symbols": (1, "symbols"),
        "--runs-per-day": (4, "runs of the pipeline a day"),
        "--scores-per-day": (24, "runs of score_forecasts a day beside those"),
        "--forecasts": (100_000, "requests to the API in the month"),
    }
    for name, (default, what) in counts.items():
        parser.add_argument(name, type=_count, default=default, metavar="N", help=f"{what} (default: {default})")
    parser.add_argument("--architecture", choices=cost.ARCHITECTURES, default="x86_64", help="default: x86_64")
    lanes.add_option(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def _count(text: str) -> int:
    """Return a whole number from 0."""
    value = int(text)
    if value < 0:
        raise ValueError(f"{value} is less than none")
    return value


def run(args: argparse.Namespace) -> int:
    """Print the table."""
    folder, prices = Path.cwd() / lanes.HOMES[args.lane] / "logs", open_ports().params.cost
    measured = loglines.durations(chain.from_iterable(files(folder).values()))
    if not measured:
        raise ConfigError(f"no finished stage is logged in {folder}. Cure: `cryptovol run --once` first")
    places = {stage: place for place, stage in enumerate(ORDER)}
    ordered = dict(sorted(measured.items(), key=lambda item: places.get(item[0], len(places))))
    uses = cost.month(
        ordered, symbols=args.symbols, runs_per_day=args.runs_per_day, scores_per_day=args.scores_per_day,
        forecasts=args.forecasts,
    )  # fmt: skip
    if args.json:
        print(json.dumps(_body(uses, prices, args.architecture)))
        return 0
    print(f"a month of {cost.DAYS} days on {args.architecture}, {args.symbols} symbol(s), free tier ignored")
    print(table_text(_rows(uses, prices, args.architecture)))
    if cost.API not in measured:
        print("no answered forecast is logged: the API is not in it")
    return 0


def _rows(uses: Sequence[Use], prices: CostParams, architecture: str) -> list[list[str]]:
    """Return the table's rows, the last being the sum."""
    rows = [["stage", "memory", "requests", "GB-seconds", "USD"]]
    for each in uses:
        counts = [f"{each.requests:,.0f}", f"{each.gb_seconds:,.1f}", f"{each.usd(prices, architecture):.4f}"]
        rows.append([each.stage, f"{each.memory_mb} MB", *counts])
    gb_seconds, requests, usd = cost.total(uses, prices, architecture)
    return [*rows, ["all", "", f"{requests:,.0f}", f"{gb_seconds:,.1f}", f"{usd:.4f}"]]


def _body(uses: Sequence[Use], prices: CostParams, architecture: str) -> dict[str, object]:
    gb_seconds, requests, usd = cost.total(uses, prices, architecture)
    stages = [{**asdict(each), "usd": each.usd(prices, architecture)} for each in uses]
    return {
        "architecture": architecture, "days": cost.DAYS, "stages": stages,
        "gb_seconds": gb_seconds, "requests": requests, "usd": usd,
    }  # fmt: skip
