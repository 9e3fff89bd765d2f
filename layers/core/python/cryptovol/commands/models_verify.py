"""`cryptovol models verify`: is the ledger what was written, and are its champions whole?"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from rich.markup import escape

from cryptovol import audit
from cryptovol.audit import Audit
from cryptovol.commands.models_common import Actions, Place, console, declare, place, table


def add(actions: Actions[argparse.ArgumentParser]) -> None:
    """Declare the action."""
    parser = declare(
        actions, "verify", help="walk ledger, pointers and champions' bundles; exit 1 if any is wrong", run=run
    )
    parser.add_argument(
        "--anchor", default="", metavar="SHA256", help="an entry's digest as you once saw it; it must still be there"
    )


def run(args: argparse.Namespace) -> int:
    """Verify each horizon; return 0 if everything holds, else 1."""
    where = place(args)
    if args.anchor:
        where.only("verify --anchor")
    store = where.ports.store
    found = {h: audit.verify(store, where.market, where.pair, h, anchor=args.anchor) for h in where.horizons}
    if args.json:
        print(json.dumps({str(horizon): asdict(each) for horizon, each in found.items()}))
    else:
        _print(where, found)
    return 1 if any(each.faults for each in found.values()) else 0


def _print(where: Place, found: dict[int, Audit]) -> None:
    out = console()
    shown = table(
        f"{where.market}/{where.pair}", ("horizon", "newest entry's sha256"), ("entries", "bundles", "faults")
    )
    for horizon, each in found.items():
        counts = (len(each.faults) and f"[red]{len(each.faults)}[/red]") or "0"
        shown.add_row(f"{horizon} h", each.head_sha256 or "no entries", str(each.entries), str(each.bundles), counts)
    out.print(shown)
    for each in found.values():
        for fault in each.faults:
            out.print(f"  [red]{escape(fault.where)}[/red] {escape(fault.what)}", soft_wrap=True, highlight=False)
