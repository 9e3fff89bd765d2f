"""`cryptovol models rollback`: an earlier model serves again, as one more entry of the ledger."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from typing import Any

from cryptovol import champions, ledger, lineage
from cryptovol.commands.models_common import (
    Actions,
    Chosen,
    Place,
    choose,
    console,
    declare,
    figure,
    model_of,
    place,
    table,
)
from cryptovol.errors import KeyNotFoundError, ModelError, ModelNotFoundError, TransientError
from cryptovol.ledger import Entry
from cryptovol.times import format_instant

FORECASTS = ("model", "har", "ewma", "persistence")


def add(actions: Actions[argparse.ArgumentParser]) -> None:
    """Declare the action."""
    parser = declare(actions, "rollback", help="make an earlier model champion again", run=run)
    parser.add_argument(
        "--to",
        type=int,
        metavar="ENTRY",
        help="ledger entry whose model is to serve (default: the champion before this)",
    )
    parser.add_argument("--reason", default="", metavar="TEXT", help="why, for the ledger")


def run(args: argparse.Namespace) -> int:
    """Roll back, say from what to what, and return 0."""
    where = place(args)
    horizon = where.only("rollback")
    before = where.entries(horizon)
    entry = rollback(where, horizon, to=args.to, reason=args.reason)
    moved = _move_aliases(where, horizon, entry)
    if args.json:
        print(json.dumps({**entry.body, "aliases_moved": moved}))
        return 0
    _print(where, horizon, before[-1].body["champion"], entry)
    return 0


def rollback(where: Place, horizon: int, *, to: int | None, reason: str) -> Entry:
    """Make the model of an earlier entry champion again, and return the new entry.

    Raises
    ------
    ModelNotFoundError
        If there is no such entry, no champion before this one, or the model serves already.
    BundleRefusedError
        If its bundle cannot be loaded, or is of another market, pair or horizon; nothing is changed then.
    """
    store, market, pair = where.ports.store, where.market, where.pair
    past = ledger.reconcile(store, market, pair, horizon)
    target = _target(past, f"{market}/{pair} at {horizon} h", to)
    champions.fetch(store, market, pair, horizon, sha256=target.model["bundle_sha256"])
    told = f"rolled back to the model of entry {target.entry.number}"
    serving = past[-1].body["champion"]
    return ledger.append(
        store, market, pair, horizon, decision="rolled_back", outcome="rolled_back", after=len(past),
        champion={name: target.model[name] for name in ("bundle_sha256", "name", "version", "trained_at")},
        reason=f"{told}: {reason}" if reason else told, as_of=past[-1].body.get("as_of", ""),
        rolled_back={"from": dict(serving) if serving else None, "to_entry": target.entry.number},
        lineage=_lineage(past, target), decided_at=format_instant(where.ports.clock()),
    )  # fmt: skip


def _lineage(past: list[Entry], target: Chosen) -> Mapping[str, Any]:
    """Return what the training of the model said it was made from, so that the newest entry tells it, too."""
    try:
        told: Mapping[str, Any] = lineage.trained_by(past, target.model["bundle_sha256"]).body.get("lineage", {})
    except ModelNotFoundError:
        return {}
    return told


def _target(past: list[Entry], where: str, to: int | None) -> Chosen:
    """Return the model to go back to."""
    if to is not None:
        chosen = choose(past, where, entry=to)
        if chosen.serves:
            raise ModelNotFoundError(
                f"the model of entry {to} serves already; `cryptovol models list` shows the others"
            )
        return chosen
    serving = past[-1].body["champion"] if past else None
    for entry in reversed(past):
        model = entry.body["champion"]
        if model and serving and model["bundle_sha256"] != serving["bundle_sha256"]:
            return choose(past, where, entry=model["entry"])
    known = ", ".join(str(entry.number) for entry in past if model_of(entry))
    raise ModelNotFoundError(f"{where} has had no other champion; give --to ENTRY, one of {known or 'none yet'}")


def _move_aliases(where: Place, horizon: int, entry: Entry) -> bool:
    """Move the registry's aliases; where the registry is away the rollback stands, and the next training moves them."""
    try:
        champions.set_aliases(
            where.ports.tracker, where.ports.store, where.market, where.pair, horizon, entry=entry
        )  # fmt: skip
    except (TransientError, KeyNotFoundError) as error:
        print(f"cryptovol models: the model serves, but the registry's aliases did not move: {error}", file=sys.stderr)
        return False
    return True


def _print(where: Place, horizon: int, before: Mapping[str, Any] | None, entry: Entry) -> None:
    shown = table(
        f"{where.market}/{where.pair}, {horizon} h: entry {entry.number} (QLIKE, each on its own scored hours)",
        ("", "version", "trained at (UTC)"),
        FORECASTS,
    )
    for word, model in (("served", before), ("serves", entry.body["champion"])):
        if model is None:
            continue
        losses = _losses(where, horizon, model["bundle_sha256"])
        shown.add_row(
            word, str(model["version"]), model["trained_at"], *(figure(losses.get(name)) for name in FORECASTS)
        )
    out = console()
    out.print(shown)
    out.print(f"  {entry.body['reason']}", markup=False, soft_wrap=True, highlight=False)


def _losses(where: Place, horizon: int, sha256: str) -> dict[str, float]:
    """Return the QLIKE of a model and its baselines; nothing where its bundle is damaged, which may be the reason."""
    try:
        _, scores = champions.describe(where.ports.store, where.market, where.pair, horizon, sha256=sha256)
    except ModelError:
        return {}
    every = {"model": scores.get("model", {}), **scores.get("baselines", {})}
    return {name: errors["qlike"] for name, errors in every.items() if "qlike" in errors}
