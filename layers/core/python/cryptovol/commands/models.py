"""`cryptovol models …`: what serves, since when and why, how good it is, where it came from, and the way back."""

from __future__ import annotations

import argparse

from cryptovol.commands import models_lineage, models_rollback, models_show, models_verify

Parsers = argparse._SubParsersAction
EPILOG = """  cryptovol models list                             every decision, oldest first
  cryptovol models show --horizon 24                the champion; --entry N or --version V for any other model
  cryptovol models card --horizon 24 --out card.md  its model card
  cryptovol models lineage --horizon 24 --check     from bars to code, each digest computed again
  cryptovol models rollback --horizon 24            make the champion before this one serve again
  cryptovol models verify                           walk ledger, pointers and bundles; exit 1 if anything is wrong

--symbol, --quote, --market and --store choose whose models; --json prints JSON."""


def add(parsers: Parsers[argparse.ArgumentParser]) -> None:
    """Declare the verb and its actions."""
    parser = parsers.add_parser(
        "models", help="list, show, verify and roll back models", description="Models and their ledger.", epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for module in (models_show, models_lineage, models_rollback, models_verify):
        module.add(actions)
