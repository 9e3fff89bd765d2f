"""`cryptovol models list | show | card`: the decisions, one model's scores, and its card."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from rich.markup import escape

from cryptovol import card, card_text, champions, lineage
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
from cryptovol.errors import ModelNotFoundError
from cryptovol.ledger import Entry

ERRORS = ("qlike", "rmse", "mae", "r2", "r2_log", "bias")


def add(actions: Actions[argparse.ArgumentParser]) -> None:
    """Declare the three actions."""
    declare(actions, "list", help="list every decision, oldest first", run=run_list)
    showing = declare(actions, "show", help="show a model's scores and the decision about it", run=run_show)
    carding = declare(actions, "card", help="print a model's card as Markdown", run=run_card)
    for parser in (showing, carding):
        which = parser.add_mutually_exclusive_group()
        which.add_argument(
            "--entry", type=int, metavar="N", help="the model of this ledger entry (default: the champion)"
        )
        which.add_argument("--version", help="the model of this registered version")
    carding.add_argument("--out", type=Path, metavar="FILE", help="write it there")


def run_list(args: argparse.Namespace) -> int:
    """Print all decisions and return 0."""
    where = place(args)
    found = {horizon: where.entries(horizon) for horizon in where.horizons}
    if args.json:
        print(json.dumps({str(h): [{**e.body, "sha256": e.sha256} for e in chain] for h, chain in found.items()}))
        return 0
    for horizon, chain in found.items():
        _print_list(where, horizon, chain)
    return 0


def _print_list(where: Place, horizon: int, chain: list[Entry]) -> None:
    out = console()
    if not chain:
        out.print(f"{where.market}/{where.pair} {horizon} h: no decisions yet; run `cryptovol run`", markup=False)
        return
    shown = table(
        f"{where.market}/{where.pair}, {horizon} h (QLIKE, lower is better)",
        ("entry", "as of (UTC)", "decision", "outcome", "version", "serves"),
        ("challenger", "HAR", "champion"),
    )
    for entry in chain:
        shown.add_row(*_row(entry))
    out.print(shown)
    for entry in chain:
        out.print(f"  {entry.number}: {escape(str(entry.body.get('reason', '')))}", soft_wrap=True, highlight=False)


def _row(entry: Entry) -> list[str]:
    body, model, champion = entry.body, model_of(entry), entry.body["champion"]
    numbers = body.get("numbers", {})
    losses = {**numbers.get("qlike", {}), "champion": numbers.get("common", {}).get("qlike", {}).get("champion")}
    return [
        str(entry.number),
        str(body.get("as_of", ""))[:16].replace("T", "\u00a0"),
        body["decision"],
        body.get("outcome", ""),
        str(model["version"]) if model else "",
        f"entry {champion['entry']}" if champion else "nothing",
        *(figure(losses.get(name)) for name in ("challenger", "har", "champion")),
    ]


def _chosen(args: argparse.Namespace) -> tuple[Place, int, list[Entry], Chosen]:
    where = place(args)
    horizon = where.only(args.action)
    chain = where.entries(horizon)
    named = f"{where.market}/{where.pair} at {horizon} h"
    return where, horizon, chain, choose(chain, named, entry=args.entry, version=args.version)


def run_show(args: argparse.Namespace) -> int:
    """Print one model's scores and the decision about it, and return 0."""
    where, horizon, _, chosen = _chosen(args)
    sha256 = chosen.model["bundle_sha256"]
    header, scores = champions.describe(where.ports.store, where.market, where.pair, horizon, sha256=sha256)
    if args.json:
        told = {name: chosen.model[name] for name in ("name", "version", "bundle_sha256")}
        more = {"serves": chosen.serves, "header": header, "scores": scores, "promotion": dict(chosen.entry.body)}
        print(json.dumps({**told, **more}))
        return 0
    out = console()
    title = f"{chosen.model['name']} version {chosen.model['version']}{', the champion' if chosen.serves else ''}"
    _print_scores(title, scores)
    data = header.get("data", {})
    body = chosen.entry.body
    lines = [
        f"bundle     {sha256}",
        f"trained    {header['trained_at']} on {data.get('rows', 0):,} hours, {data.get('first')} to {data.get('last')}",
        f"scored on  {scores.get('rows', 0):,} hours, {scores.get('first')} to {scores.get('last')}",
        *(f"inside     {share:.1%} of them in the {float(level):.0%} interval" for level, share in _coverage(scores)),
        f"entry {chosen.entry.number}    {body['decision']}: {body.get('reason', '')}",
    ]
    for line in lines:
        out.print(f"  {escape(line)}", soft_wrap=True, highlight=False)
    return 0


def _coverage(scores: dict[str, Any]) -> list[tuple[str, float]]:
    return sorted(scores.get("coverage", {}).items(), key=lambda item: float(item[0]))


def _print_scores(title: str, scores: dict[str, Any]) -> None:
    every = {"model": scores.get("model", {}), **scores.get("baselines", {})}
    shown = table(title, ("forecast",), ERRORS)
    for name, errors in every.items():
        shown.add_row(name, *(_error(error, errors.get(error)) for error in ERRORS))
    console().print(shown)


def _error(name: str, value: float | None) -> str:
    return f"{value:.4%}" if value is not None and name in ("rmse", "mae") else figure(value)


def run_card(args: argparse.Namespace) -> int:
    """Print or write one model's card, and return 0."""
    where, horizon, chain, chosen = _chosen(args)
    store, sha256 = where.ports.store, chosen.model["bundle_sha256"]
    header, scores = champions.describe(store, where.market, where.pair, horizon, sha256=sha256)
    try:
        told = lineage.trained_by(chain, sha256).body.get("lineage", {})
    except ModelNotFoundError:
        told = {}
    made = card.build(
        header, scores, bundle_sha256=sha256, lineage=told, decision=chosen.entry.body, version=chosen.model["version"]
    )
    text = json.dumps(made) + "\n" if args.json else card_text.markdown(made)
    if args.out is None:
        print(text, end="")
        return 0
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(text, encoding="utf-8")
    print(f"wrote {args.out}")
    return 0
