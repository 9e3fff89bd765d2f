"""`cryptovol sources check`: which market sources answer, and how fresh they are."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
from typing import Any

from cryptovol import params, settings
from cryptovol.adapters.sources import VENUES, open_source
from cryptovol.errors import CryptovolError
from cryptovol.params import Params
from cryptovol.ports import Clock
from cryptovol.settings import Settings
from cryptovol.times import HOUR, floor_hour, format_instant
from cryptovol.wiring import wall_clock

LOOK_BACK = 48 * HOUR

DESCRIPTION = """Ask every market source for its newest closed bar of one symbol.

The row marked with * is the source that CRYPTOVOL_SOURCE names; the exit code is 0 if it answers with a bar, 3 if
it does not. `auto` is what the pipeline would use now."""
EPILOG = """examples:
  cryptovol sources check
  cryptovol sources check --symbol ETH --json
  CRYPTOVOL_SOURCE=replay:btc.csv.gz cryptovol sources check"""


def add(parsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the verb."""
    parser = parsers.add_parser(
        "sources", help="see which market sources answer", description=DESCRIPTION, epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("action", choices=("check",), help="ask them all")
    parser.add_argument("--symbol", help="default: the first in params.yaml")
    parser.add_argument("--quote", help="default: the one in params.yaml")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Ask, print, and return 0 if the configured source answers, else 3."""
    where = settings.load(os.environ)
    science = params.load(where.params_path)
    symbol, quote = args.symbol or science.symbols[0], args.quote or science.quote
    names = list(dict.fromkeys(("auto", *VENUES, "simulated", where.source)))
    found = [check(name, where, science, symbol=symbol, quote=quote, clock=wall_clock) for name in names]
    if args.json:
        print(json.dumps({"symbol": symbol, "quote": quote, "configured": where.source, "sources": found}))
    else:
        _print_table(found, f"{symbol}/{quote}", where.source)
    return next(0 if row["newest"] else 3 for row in found if row["name"] == where.source)


def check(name: str, where: Settings, science: Params, *, symbol: str, quote: str, clock: Clock) -> dict[str, Any]:
    """Return what one source says: name, market, newest closed bar (ISO 8601 of its opening), age_hours, error."""
    row: dict[str, Any] = {"name": name, "market": None, "newest": None, "age_hours": None, "error": None}
    # The made-up markets are asked in their own right, not at an address set for CryptoCompare.
    own = dataclasses.replace(
        where, source=name, cryptocompare_url=where.cryptocompare_url if name != "simulated" else None
    )
    now = clock()
    try:
        source = open_source(own, science, clock=clock)
        row["market"] = source.origin(symbol, quote).market
        end = floor_hour(now)
        times = [int(page.time[-1]) for page in source.pages(symbol, quote, start=end - LOOK_BACK, end=end)]
    except CryptovolError as error:
        row["error"] = str(error)
        return row
    if not times:
        row["error"] = f"it has no bar in the last {LOOK_BACK // HOUR} hours"
        return row
    row["newest"] = format_instant(times[-1])
    row["age_hours"] = round((now - times[-1] - HOUR) / HOUR, 2)
    return row


def _print_table(found: list[dict[str, Any]], pair: str, configured: str) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=f"market sources, {pair}", title_justify="left")
    for heading in ("", "source", "market", "newest closed bar", "age", "says"):
        table.add_column(heading, overflow="fold")
    for row in found:
        age = "" if row["age_hours"] is None else f"{row['age_hours']:.1f} h"
        says = "[red]" + escape(row["error"]) + "[/red]" if row["error"] else "[green]answers[/green]"
        mark = "*" if row["name"] == configured else ""
        table.add_row(mark, escape(row["name"]), row["market"] or "", row["newest"] or "", age, says)
    Console().print(table)
