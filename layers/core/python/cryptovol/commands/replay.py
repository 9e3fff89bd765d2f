"""`cryptovol replay`: a CryptoCompare-shaped server over a bar file or the simulated market."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from pathlib import Path

from cryptovol import params, settings
from cryptovol.market import PATH
from cryptovol.market.markets import Market, ReplayMarket, SimulatedMarket
from cryptovol.market.server import serve
from cryptovol.wiring import wall_clock

DESCRIPTION = """Serve hourly bars over HTTP in the shape of CryptoCompare's histohour.

Point CRYPTOVOL_CRYPTOCOMPARE_URL at it and everything runs as against the live API. The file needs the columns
time,open,high,low,close,volumefrom,volumeto (time in seconds or milliseconds; .csv or .csv.gz). As in the live API
the newest row of an answer is the hour in progress at toTs, half formed: drop it by its time."""
EPILOG = """examples:
  cryptovol replay --bars btc.csv.gz --port 8800
  cryptovol replay --simulated --port 8800
  curl 'http://127.0.0.1:8800/data/v2/histohour?fsym=BTC&tsym=USD&limit=24'
  CRYPTOVOL_SOURCE=cryptocompare CRYPTOVOL_CRYPTOCOMPARE_URL=http://127.0.0.1:8800 cryptovol sources check"""


def add(parsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the verb."""
    parser = parsers.add_parser(
        "replay", help="serve a bar file or the simulated market over HTTP", description=DESCRIPTION, epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--bars", type=Path, metavar="FILE", help="bar file to replay")
    what.add_argument("--simulated", action="store_true", help="the simulated market of params.yaml, up to this hour")
    parser.add_argument("--port", type=int, default=0, help="port to serve on; 0 takes a free one and prints it")
    parser.add_argument("--host", default="127.0.0.1", help="address to serve on (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print the address as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Serve until Ctrl-C or SIGTERM and return 0."""
    market = ReplayMarket(args.bars) if args.bars is not None else _simulated()
    server = serve(market, host=args.host, port=args.port, clock=wall_clock)
    where = {"url": server.url, "market": market.origin.market, "source": market.origin.source}
    pairs = ", ".join(market.symbols()) or "any symbol"
    print(
        json.dumps(where) if args.json else f"serving {market.origin.source} ({pairs}) on {server.url}{PATH}",
        flush=True,
    )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        return 0
    return 0


def _simulated() -> Market:
    found = params.load(settings.load(os.environ).params_path)
    return SimulatedMarket(found.market, clock=wall_clock)
