"""`cryptovol predict`: a forecast on the command line, from the same bars and champion as the API's."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from cryptovol.adapters.telemetry import QuietMeter
from cryptovol.forecasts import Ask, Forecast
from cryptovol.stages.predict import Forecaster
from cryptovol.times import parse_instant
from cryptovol.wiring import open_ports

EPILOG = """examples:
  cryptovol predict --symbol BTC                                        both horizons, from the cloud in AWS_ENDPOINT_URL
  cryptovol predict --symbol BTC --horizon 6 --level 0.5 --store data   one horizon, from a folder
  cryptovol predict --symbol BTC --as-of 2025-05-01T00:00:00Z --json    as it could be known at that instant"""


def add(parsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the verb."""
    parser = parsers.add_parser(
        "predict", help="forecast with the champion, from stored bars",
        description="Forecast how strongly a coin's price will move, with interval and baselines. The forecast is logged.",
        epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--symbol", help="for instance BTC (default: the first of params.yaml)")
    parser.add_argument("--as-of", metavar="ISO", help="look from this instant instead of now")
    parser.add_argument("--horizon", type=int, metavar="HOURS", help="hours ahead (default: every one that is trained)")
    parser.add_argument("--level", type=float, help="interval level (default: params.yaml)")
    parser.add_argument("--allow-stale", action="store_true", help="answer, marked, where age would be refused")
    parser.add_argument("--store", type=Path, metavar="DIR", help="read a folder instead of S3")
    parser.add_argument("--json", action="store_true", help="print one JSON object per forecast")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print one forecast per horizon."""
    ports = open_ports(args.store)
    # The counts of this verb are nobody's metrics, and its output must stay readable.
    forecaster = Forecaster(
        ports.store, market=ports.settings.market, params=ports.params, clock=ports.clock, meter=QuietMeter()
    )
    as_of = parse_instant(args.as_of) if args.as_of else None
    for horizon in forecaster.horizons if args.horizon is None else (args.horizon,):
        ask = Ask(args.symbol or ports.params.symbols[0], horizon, args.level, as_of, args.allow_stale)
        body = forecaster.stored(ask)
        print(json.dumps(body) if args.json else described(body))
    return 0


def described(body: Forecast) -> str:
    """Return a forecast in lines for people, volatilities in percent per hour."""
    interval, model = body["interval"], body["model"]
    baselines = "  ".join(f"{name} {100 * value:.3f}" for name, value in body["baselines"].items())
    lines = [
        f"{body['symbol']}  next {body['horizon_hours']} h from {body['as_of']}  ({body['source']})",
        f"  volatility  {100 * body['volatility']:.3f} % per hour, {100 * body['volatility_annualized']:.1f} % a year",
        f"  interval    {100 * interval['lower']:.3f} to {100 * interval['upper']:.3f} % at {interval['level']:g}",
        f"  baselines   {baselines}",
        f"  model       {model['name']} version {model['version']}, trained {model['trained_at']}",
    ]
    return "\n".join(lines + [f"  warning     {mark}" for mark in body["warnings"]])
