"""`cryptovol models list | show | rollback`: what serves, since when and why."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from cryptovol import bundle, keys, ledger
from cryptovol.errors import ConfigError, ModelNotFoundError
from cryptovol.ledger import Entry
from cryptovol.wiring import Ports, open_ports

Parsers = argparse._SubParsersAction
EPILOG = """  cryptovol models list                             every decision, newest last
  cryptovol models show --horizon 24                the champion's scores, interval factors and lineage
  cryptovol models rollback --horizon 24 --to 3     make the model of ledger entry 3 champion again"""


def add(parsers: Parsers[argparse.ArgumentParser]) -> None:
    """Declare the verb."""
    parser = parsers.add_parser(
        "models", help="list, show and roll back models", description="The ledger of promotions.", epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("action", choices=("list", "show", "rollback"))
    parser.add_argument("--symbol", help="default: the first in params.yaml")
    parser.add_argument("--quote", help="default: params.yaml")
    parser.add_argument("--market", help="live, simulated or replay-<file> (default: CRYPTOVOL_MARKET)")
    parser.add_argument("--horizon", type=int, help="hours; list shows all when it is left out")
    parser.add_argument("--to", type=int, metavar="ENTRY", help="ledger entry to go back to (rollback)")
    parser.add_argument("--store", type=Path, metavar="DIR", help="a folder instead of S3")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Do one action and return 0."""
    ports = open_ports(args.store)
    market = args.market or ports.settings.market
    pair = keys.series(args.symbol or ports.params.symbols[0], args.quote or ports.params.quote)
    horizons = (args.horizon,) if args.horizon else ports.params.featurize.horizons
    if args.action == "list":
        rows = {str(h): [dict(e.body) for e in ledger.entries(ports.store, market, pair, h)] for h in horizons}
        print(json.dumps(rows) if args.json else "\n".join(_line(h, b) for h, found in rows.items() for b in found))
        return 0
    if len(horizons) > 1:
        raise ConfigError(f"models {args.action} needs --horizon, one of {', '.join(map(str, horizons))}")
    if args.action == "show":
        print(json.dumps(_card(ports, market, pair, horizons[0]), indent=None if args.json else 2))
        return 0
    entry = rollback(ports, market, pair, horizons[0], to=args.to)
    print(json.dumps(dict(entry.body)) if args.json else _line(str(horizons[0]), dict(entry.body)))
    return 0


def _line(horizon: str, body: dict[str, Any]) -> str:
    champion = body["champion"]
    serving = f"{champion['name']} {champion['version']} ({champion['bundle_sha256'][:12]})" if champion else "nothing"
    return f"{body['entry']:>4}  {horizon:>3} h  {body['as_of']}  {body['decision']:<11}  serves {serving}  {body['reason']}"


def _card(ports: Ports, market: str, pair: str, horizon: int) -> dict[str, Any]:
    champion = ledger.champion(ports.store, market, pair, horizon)
    if champion is None:
        raise ModelNotFoundError(f"{market}/{pair} has no champion at {horizon} h; run `cryptovol run`")
    where = keys.bundle(market, pair, horizon, sha256=champion.bundle_sha256)
    found = bundle.fetch(ports.store, where, champion.bundle_sha256)
    entry = next(e for e in ledger.entries(ports.store, market, pair, horizon) if e.number == champion.entry)
    return {
        "name": champion.name, "version": champion.version, "bundle_sha256": champion.bundle_sha256,
        "header": dict(found.header), "scores": dict(found.scores), "promotion": dict(entry.body),
    }  # fmt: skip


def rollback(ports: Ports, market: str, pair: str, horizon: int, *, to: int | None) -> Entry:
    """Make the challenger of an earlier entry champion again, as one more entry.

    Raises
    ------
    ModelNotFoundError
        If the entry does not exist.
    BundleRefusedError
        If its bundle can no longer be loaded: a rollback never leaves an unloadable champion.
    """
    past = ledger.reconcile(ports.store, market, pair, horizon)
    numbers = [entry.number for entry in past if entry.body.get("challenger")]
    if to not in numbers:
        raise ModelNotFoundError(f"rollback needs --to ENTRY, one of {', '.join(map(str, numbers)) or 'none yet'}")
    target = past[to - 1].body["challenger"]
    where = keys.bundle(market, pair, horizon, sha256=target["bundle_sha256"])
    bundle.fetch(ports.store, where, target["bundle_sha256"])
    entry = ledger.append(
        ports.store, market, pair, horizon, decision="rolled_back", champion=target,
        reason=f"rolled back to the model of entry {to}", as_of=past[-1].body["as_of"],
    )  # fmt: skip
    ports.tracker.alias(target["name"], version=target["version"], alias="champion")
    return entry
