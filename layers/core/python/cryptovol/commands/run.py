"""`cryptovol run`: local cloud up, the DAG from end to end, the forecast served and printed."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Any, TextIO

from cryptovol import keys
from cryptovol.adapters.s3 import S3Store
from cryptovol.cloud import bill, deploy, embedded, lanes, pipeline, progress, report
from cryptovol.cloud.lane import Addresses, Lane
from cryptovol.cloud.pipeline import Request
from cryptovol.cloud.progress import Status
from cryptovol.errors import ConfigError, ModelNotFoundError, TransientError
from cryptovol.times import floor_hour, format_instant, parse_instant

EPILOG = """The market's source is CRYPTOVOL_SOURCE: auto (default), live, a venue's name, simulated or replay:FILE. auto takes
live bars if any venue can be reached now, else simulated ones; `cryptovol sources check` shows which answer.
A second run fetches only what is new. Ctrl-C stops every process that was started; what was stored stays in var/.

  cryptovol run                                            and keep serving
  cryptovol run --once --symbol BTC,ETH                    two symbols, then exit
  CRYPTOVOL_SOURCE=replay:bars.csv.gz cryptovol run --once --as-of 2025-05-01T00:00:00Z

exit codes: 0 done, 1 a batch was refused, 2 wrong usage, 3 something outside failed"""


def add(parsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the verb."""
    parser = parsers.add_parser(
        "run", help="the whole pipeline on the local cloud, then serve", epilog=EPILOG,
        description="Start the local cloud, run the DAG volatility_pipeline once, serve and print the forecasts.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--once", action="store_true", help="exit after the forecast instead of serving")
    parser.add_argument("--symbol", metavar="BTC[,ETH]", help="symbols; without it those of params.yaml")
    parser.add_argument("--quote", metavar="USD", help="quote currency; without it the one of params.yaml")
    parser.add_argument("--as-of", metavar="ISO", help="end of the interval; without it the last full hour")
    parser.add_argument("--port", type=int, metavar="N", help="port of the API; without it the one of last time")
    lanes.add_option(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end, progress on stderr")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the pipeline once, print and serve; return the exit code."""
    out = sys.stderr if args.json else sys.stdout
    lane = lanes.make(args.lane, Path.cwd(), os.environ, report.teller(lambda: sys.stderr if args.json else sys.stdout))
    request = _request(args, lane)
    with embedded.keeping(lane.folder), lane.state.locked(), _stopping(lane):
        print(f"cryptovol: {', '.join(request.symbols)} as of {format_instant(request.as_of)}", file=out, flush=True)
        addresses = lane.up(api_port=args.port, symbols=request.symbols, quote=request.quote)
        if addresses.market == "simulated":
            print(f"\n*** {report.SIMULATED} ***\n", file=out, flush=True)
        client, _ = deploy.clients(addresses.cloud_url)
        with progress.display(request.symbols, out) as display:
            statuses = pipeline.run(lane, S3Store(addresses.bucket, client), request, display)
        lane.settle()
        failed = [status for status in statuses.values() if status.error]
        for status in failed:
            _explain(status, lane.HOME)
        forecasts, code = _forecasts(addresses, request, lane.params.featurize.horizons, strict=not failed)
        code = max(code, pipeline.exit_code(failed))
        _print(args, lane, request, addresses, statuses, forecasts)
        if forecasts and not args.once:
            _serve(lane, addresses, out)
    return code


def _request(args: argparse.Namespace, lane: Lane) -> Request:
    """Return what to run; raise `ConfigError` for a symbol that is none or an instant still to come."""
    now = int(time.time())
    as_of = floor_hour(parse_instant(args.as_of) if args.as_of else now)
    if as_of > now:
        raise ConfigError(
            f"--as-of {format_instant(as_of)} lies in the future; it is {format_instant(now)}. "
            "Cure: an instant that has passed, or none for the last full hour"
        )
    symbols = tuple(dict.fromkeys(args.symbol.split(","))) if args.symbol else lane.params.symbols
    quote = args.quote or lane.params.quote
    for symbol in symbols:
        keys.series(symbol, quote)
    return Request(symbols, quote, as_of, f"run-{keys.compact(format_instant(as_of))}-{now}")


@contextmanager
def _stopping(lane: Lane) -> Iterator[None]:
    """Stop every process the lane started, however the block ends: done, failed, Ctrl-C or SIGTERM."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        # A second Ctrl-C must not leave half of them behind.
        held = signal.signal(signal.SIGINT, signal.SIG_IGN)
        lane.fleet.stop_started()
        signal.signal(signal.SIGINT, held)
        signal.signal(signal.SIGTERM, before)


def _explain(status: Status, home: str) -> None:
    """Print why a stage refused or failed, reason by reason."""
    error = status.error
    reasons = error.get("reasons", [])
    # The message lists the reasons, too; here each gets a line.
    said = error["message"].partition(": ")[0] if reasons else error["message"]
    print(f"cryptovol run: {status.symbol} {status.stage} {status.state}: {said}", file=sys.stderr)
    for reason in reasons:
        print(f"  - {reason}", file=sys.stderr)
    if error.get("code") == "crash":
        log = f"{home}/logs/functions/cryptovol-{status.stage}.log"
        print(f"  the function raised; its traceback is in {log}. Cure: fix it and run again", file=sys.stderr)


def _forecasts(
    addresses: Addresses, request: Request, horizons: Sequence[int], *, strict: bool
) -> tuple[list[dict[str, Any]], int]:
    """Return the API's forecasts of each symbol and horizon, and 1 if a champion is missing, else 0.

    Any other failure is raised, but after a failed run, which is to be told first.
    """
    found, code = [], 0
    for symbol, horizon in product(request.symbols, horizons):
        body: dict[str, Any] = {"symbol": symbol, "horizon_hours": horizon}
        # After a refused batch the last champion still serves, on the bars it has.
        body |= {"as_of": format_instant(request.as_of), "allow_stale": not strict}
        try:
            found.append(report.ask(addresses.api_url, body))
        except (TransientError, ModelNotFoundError) as error:
            if strict and not isinstance(error, ModelNotFoundError):
                raise
            code = 1
            print(f"cryptovol run: no {horizon} h forecast of {symbol}: {error}", file=sys.stderr)
    return found, code


def _print(
    args: argparse.Namespace,
    lane: Lane,
    request: Request,
    addresses: Addresses,
    statuses: Mapping[tuple[str, str], Status],
    forecasts: Sequence[dict[str, Any]],
) -> None:
    """Print what the run ended with."""
    if args.json:
        stages = [asdict(status) for status in statuses.values()]
        body = {
            "run_id": request.run_id, "as_of": format_instant(request.as_of), "stages": stages,
            "simulated": addresses.market == "simulated", "forecasts": list(forecasts), **asdict(addresses),
            "cost": bill.body(statuses.values(), lane.params.cost),
        }  # fmt: skip
        print(json.dumps(body), flush=True)
        return
    blocks = {
        "forecast of hourly volatility": report.forecasts_text(forecasts),
        "QLIKE on hours no model was fitted on, smaller is better": report.scores_text(statuses),
        "what this run would cost on Lambda": bill.text(statuses, lane.params.cost),
        "where things are": report.places_text(
            statuses, request.as_of, place=lambda key: lane.place(addresses.bucket, key),
            api_url=addresses.api_url if forecasts else "",
        ),  # fmt: skip
    }
    for title, text in blocks.items():
        if text:
            print(f"\n{title}\n{text}")
    if forecasts:
        print(report.addresses_text(asdict(addresses)), flush=True)


def _serve(lane: Lane, addresses: Addresses, out: TextIO) -> None:
    """Keep serving until Ctrl-C; raise `TransientError` if a part dies."""
    print(f"\nserving on {addresses.api_url}; Ctrl-C stops everything this command started", file=out, flush=True)
    try:
        while (dead := lane.fleet.dead()) is None:
            time.sleep(0.5)
    except KeyboardInterrupt:
        print("\nstopping", file=out, flush=True)
        return
    raise TransientError(f"{dead.name} has died; its log: {dead.log}. Cure: run again")
