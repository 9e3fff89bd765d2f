"""What the actions of `cryptovol models` share: whose models, which of them, and tables for people."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cryptovol import keys, ledger
from cryptovol.errors import ConfigError, ModelNotFoundError
from cryptovol.ledger import Entry
from cryptovol.wiring import Ports, open_ports

Actions = argparse._SubParsersAction  # argparse has no public name for it
WIDTH = 110  # of a table; a file or a pipe has no width of its own


@dataclass(frozen=True)
class Place:
    """Whose models: one market and pair, and the horizons asked for."""

    ports: Ports
    market: str
    pair: str
    horizons: tuple[int, ...]

    def only(self, action: str) -> int:
        """Return the one horizon; raise `ConfigError` where several are meant."""
        if len(self.horizons) > 1:
            known = ", ".join(map(str, self.horizons))
            raise ConfigError(f"models {action} needs --horizon, one of {known}")
        return self.horizons[0]

    def entries(self, horizon: int) -> list[Entry]:
        """Return all decisions about one horizon."""
        return ledger.entries(self.ports.store, self.market, self.pair, horizon)


@dataclass(frozen=True)
class Chosen:
    """A model, the entry it was chosen by, and whether it serves now."""

    model: Mapping[str, Any]
    entry: Entry
    serves: bool


def declare(
    actions: Actions[argparse.ArgumentParser], name: str, *, help: str, run: Callable[[argparse.Namespace], int]
) -> argparse.ArgumentParser:
    """Declare one action with the options that all have, and return its parser."""
    parser = actions.add_parser(name, help=help, description=f"{help[0].upper()}{help[1:]}.")
    parser.add_argument("--symbol", help="default: the first in params.yaml")
    parser.add_argument("--quote", help="default: params.yaml")
    parser.add_argument("--market", help="live, simulated or replay-<file> (default: CRYPTOVOL_MARKET)")
    parser.add_argument("--horizon", type=int, help="hours ahead; list and verify take all when it is left out")
    parser.add_argument("--store", type=Path, metavar="DIR", help="a folder instead of S3")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)
    return parser


def place(args: argparse.Namespace) -> Place:
    """Return whose models the arguments mean."""
    ports = open_ports(args.store)
    pair = keys.series(args.symbol or ports.params.symbols[0], args.quote or ports.params.quote)
    horizons = (args.horizon,) if args.horizon else ports.params.featurize.horizons
    return Place(ports, keys.plain(args.market or ports.settings.market), pair, horizons)


def model_of(entry: Entry) -> Mapping[str, Any] | None:
    """Return the model that an entry decided on: its challenger, or the one it rolled back to."""
    found: Mapping[str, Any] | None = entry.body.get("challenger") or entry.body["champion"]
    return found


def choose(chain: Sequence[Entry], where: str, *, entry: int | None = None, version: str | None = None) -> Chosen:
    """Return the model of an entry or of a version; without either the champion.

    Raises
    ------
    ModelNotFoundError
        If there is none; the message names those there are.
    """
    champion = chain[-1].body["champion"] if chain else None
    serving = champion["bundle_sha256"] if champion else ""
    if entry is None and version is None:
        if champion is None:
            raise ModelNotFoundError(f"{where} has no champion; run `cryptovol run`")
        entry = champion["entry"]
    for each in chain:
        model = model_of(each)
        if model and (each.number == entry or (entry is None and str(model["version"]) == version)):
            return Chosen(model, each, model["bundle_sha256"] == serving)
    asked = f"entry {entry}" if entry is not None else f"version {version!r}"
    known = ", ".join(f"{e.number} (version {m['version']})" for e in chain if (m := model_of(e)))
    raise ModelNotFoundError(f"{where} has no {asked}; its entries: {known or 'none yet'}")


def console() -> Console:
    """Return where tables are printed, wide enough also where there is no terminal."""
    made = Console()
    return made if made.is_terminal else Console(file=made.file, width=max(WIDTH, made.width))


def table(title: str, left: Sequence[str], right: Sequence[str] = ()) -> Table:
    """Return an empty table; numbers stand in the columns `right`, which come last."""
    heading = Text(title, no_wrap=True, overflow="ignore")
    made = Table(title=heading, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in left:
        made.add_column(name, overflow="fold")
    for name in right:
        made.add_column(name, justify="right", no_wrap=True)
    return made


def figure(value: float | None) -> str:
    """Return a loss with four digits, or nothing."""
    return "" if value is None else f"{value:.4f}"
