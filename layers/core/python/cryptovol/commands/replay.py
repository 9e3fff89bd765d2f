"""`cryptovol replay`: a stand-in for a venue, over a bar file or the simulated market."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from pathlib import Path
from urllib.parse import urlsplit

from cryptovol import params, settings
from cryptovol.market.faults import FAULTS, parsed
from cryptovol.market.markets import Market, ReplayMarket, SimulatedMarket
from cryptovol.market.server import serve
from cryptovol.market.shapes import SHAPES
from cryptovol.settings import url_setting
from cryptovol.wiring import wall_clock

DESCRIPTION = """Serve hourly bars over HTTP in the shape of a venue's API, and if told so with one of its faults.

Point the venue's variable at it and everything runs as against the live API. The file needs the columns
time,open,high,low,close,volumefrom,volumeto (time in seconds or milliseconds; .csv or .csv.gz) and may name its pair
in a column symbol (BTC-USD); one that does not answers for any pair. As in the live APIs the newest row of an answer is
the hour in progress, half formed: drop it by its time."""
EXAMPLES = """examples:
  cryptovol replay --bars btc.csv.gz --port 8800
  cryptovol replay --simulated --shape kraken --port 8801
  cryptovol replay --simulated --shape coinbase --fault storm429:3 --port 8802
  curl 'http://127.0.0.1:8800/data/v2/histohour?fsym=BTC&tsym=USD&limit=24'
  CRYPTOVOL_SOURCE=cryptocompare CRYPTOVOL_CRYPTOCOMPARE_URL=http://127.0.0.1:8800 cryptovol sources check
  CRYPTOVOL_SOURCE=kraken CRYPTOVOL_KRAKEN_URL=http://127.0.0.1:8801 cryptovol sources check"""


def _epilog() -> str:
    shapes = [f"  {shape.name:<15}{shape.about}\n{'':17}{url_setting(shape.name)}" for shape in SHAPES.values()]
    faults = [f"  {fault.name:<15}{fault.about}" for fault in FAULTS.values()]
    return "\n".join(["shapes, each with its variable:", *shapes, "", "faults:", *faults, "", EXAMPLES])


def add(parsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the verb."""
    parser = parsers.add_parser(
        "replay", help="serve a bar file or the simulated market over HTTP", description=DESCRIPTION, epilog=_epilog(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--bars", type=Path, metavar="FILE", help="bar file to replay")
    what.add_argument("--simulated", action="store_true", help="the simulated market of params.yaml, up to this hour")
    shape, fault = "whose API to play (default: %(default)s)", "one of those below; with TIMES only so many requests"
    parser.add_argument("--shape", choices=tuple(SHAPES), default="cryptocompare", help=shape)
    parser.add_argument("--fault", metavar="NAME[:TIMES]", help=f"{fault} for bars, then none")
    parser.add_argument("--key", default="", help="refuse requests without this key (cryptocompare, coindesk)")
    parser.add_argument("--port", type=int, default=0, help="port to serve on; 0 takes a free one and prints it")
    parser.add_argument("--host", default="127.0.0.1", help="address to serve on (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print the address as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Serve until Ctrl-C or SIGTERM and return 0."""
    fault = parsed(args.fault) if args.fault is not None else None
    market = ReplayMarket(args.bars) if args.bars is not None else _simulated()
    server = serve(
        market, shape=args.shape, fault=fault, key=args.key, host=args.host, port=args.port, clock=wall_clock
    )
    where = {"url": server.url, "market": market.origin.market, "source": market.origin.source, "shape": args.shape}
    print(json.dumps(where) if args.json else _told(market, server.url, args), flush=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        return 0
    return 0


def _told(market: Market, url: str, args: argparse.Namespace) -> str:
    pairs = ", ".join(market.symbols()) or "any symbol"
    path = urlsplit(SHAPES[args.shape].example).path
    failing = f", with the fault {args.fault}" if args.fault is not None else ""
    return f"serving {market.origin.source} ({pairs}) on {url}{path}{failing}"


def _simulated() -> Market:
    found = params.load(settings.load(os.environ).params_path)
    return SimulatedMarket(found.market, clock=wall_clock)
