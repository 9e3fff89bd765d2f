"""`cryptovol models lineage`: from bars to code, each step with its digest and where to read it."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from rich.markup import escape

from cryptovol import lineage
from cryptovol.commands.models_common import Actions, choose, console, declare, place, table
from cryptovol.lineage import Link


def add(actions: Actions[argparse.ArgumentParser]) -> None:
    """Declare the action."""
    parser = declare(actions, "lineage", help="tell where a model came from, from bars to code", run=run)
    parser.add_argument("--entry", type=int, metavar="N", help="the model of this ledger entry (default: the champion)")
    parser.add_argument("--check", action="store_true", help="compute every digest again; exit 1 if one does not hold")


def run(args: argparse.Namespace) -> int:
    """Print the links; return 1 if one was checked and does not hold, else 0."""
    where = place(args)
    horizon = where.only("lineage")
    chain = where.entries(horizon)
    chosen = choose(chain, f"{where.market}/{where.pair} at {horizon} h", entry=args.entry)
    trained = lineage.trained_by(chain, chosen.model["bundle_sha256"])
    read = lineage.check if args.check else lineage.links
    links = read(where.ports.store, where.market, where.pair, horizon, trained)
    if args.json:
        print(json.dumps([asdict(link) for link in links]))
    else:
        _print(f"{chosen.model['name']} version {chosen.model['version']}", links, checked=args.check)
    return 1 if any(link.holds is False for link in links) else 0


def _print(title: str, links: list[Link], *, checked: bool) -> None:
    shown = table(title, ("step", "value", *(("holds",) if checked else ())))
    marks = {True: "[green]yes[/green]", False: "[red]no[/red]", None: "-"}
    for link in links:
        shown.add_row(link.step, escape(link.value) or "not recorded", *((marks[link.holds],) if checked else ()))
    out = console()
    out.print(shown)
    for link in links:
        told = " ".join(part for part in (link.url or link.key, link.says) if part)
        if told:
            out.print(f"  {link.step}: {escape(told)}", soft_wrap=True, highlight=False)
