"""`cryptovol featurize | train`: one stage at a time, on files or on the cloud; and what all stage verbs share."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cryptovol import edge, events
from cryptovol.errors import ConfigError, KeyNotFoundError
from cryptovol.events import Result, StageEvent
from cryptovol.params import Params
from cryptovol.times import HOUR, format_instant
from cryptovol.wiring import Ports, open_ports

Parsers = argparse._SubParsersAction  # argparse has no public name for it
ORDER = ("ingest", "validate", "featurize", "train", "score")
HELP = {
    "ingest": "fetch the bars that are missing",
    "validate": "pass them through the gate",
    "featurize": "compute the 36 features and the targets",
    "train": "train challengers, compare, promote or reject",
    "score": "hold served forecasts against what was realized",
    "tune": "search better parameters for the next trainings",
}
EPILOG = """A stage reads what the stage before returned: from --event FILE, or from the run it belongs to (--run-id).

  cryptovol {verb} --store data --symbol BTC --as-of 2025-05-01T00:00:00Z     on files, no cloud
  cryptovol {verb} --symbol BTC,ETH                                           on the cloud in AWS_ENDPOINT_URL"""


def add(parsers: Parsers[argparse.ArgumentParser]) -> None:
    """Declare the stage verbs that have no options of their own."""
    for verb in ("featurize", "train"):
        declare(parsers, verb)


def declare(
    parsers: Parsers[argparse.ArgumentParser],
    verb: str,
    *,
    epilog: str = EPILOG,
    as_of: Sequence[str] = ("--as-of",),
) -> argparse.ArgumentParser:
    """Declare one stage verb with the options that all have, and return its parser; `as_of` are that option's names."""
    parser = parsers.add_parser(
        verb, help=HELP[verb], description=f"{HELP[verb].capitalize()}.", epilog=epilog.format(verb=verb),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--symbol", help="one or more, separated by commas (default: params.yaml)")
    parser.add_argument("--quote", help="quote currency (default: params.yaml)")
    parser.add_argument(*as_of, dest="as_of", metavar="ISO", help="end of the interval (default: the last full hour)")
    parser.add_argument("--run-id", default="cli", help="name of the run the stages share (default: cli)")
    parser.add_argument("--event", type=Path, metavar="FILE", help="the result of the stage before, as JSON")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write this stage's result there")
    parser.add_argument("--store", type=Path, metavar="DIR", help="keep everything in a folder instead of S3")
    parser.add_argument("--json", action="store_true", help="print results as JSON lines")
    parser.set_defaults(run=run)
    return parser


def run(args: argparse.Namespace) -> int:
    """Run one stage for each symbol; return 0, or raise what the first failing symbol raised after trying all."""
    ports = open_ports(args.store)
    failure: Exception | None = None
    for event in wanted(args, ports):
        try:
            result = edge.perform(args.verb, step(args.verb), event, ports)
        except (ConfigError, KeyNotFoundError):
            raise
        except Exception as error:  # one symbol's failure must not stop the others; it is raised below
            print(f"cryptovol {args.verb}: {event.pair}: {error}", file=sys.stderr)
            failure = failure or error
            continue
        show(args, event, result)
    if failure is not None:
        raise failure
    return 0


def step(verb: str) -> Callable[[StageEvent, Ports, Params], Result]:
    """Return the stage as a function of event, ports and parameters."""
    from cryptovol.stages import featurize, score, train, validate

    steps: dict[str, Callable[[StageEvent, Ports, Params], Result]] = {
        "validate": lambda e, p, q: validate.run(e, store=p.store, params=q),
        "featurize": lambda e, p, q: featurize.run(e, store=p.store, params=q),
        "train": lambda e, p, q: train.run(
            e, store=p.store, tracker=p.tracker, params=q, git_commit=p.settings.git_commit
        ),
        "score": lambda e, p, q: score.run(e, store=p.store, params=q),
    }
    return steps[verb]


def wanted(
    args: argparse.Namespace, ports: Ports, *, before: Callable[[StageEvent, Ports], dict[str, Any]] | None = None
) -> list[StageEvent]:
    """Return one event per symbol, each with what the stage before gave, or with what `before` returns."""
    if args.event is not None:
        return [events.parse(_read_event(args.event))]
    symbols = args.symbol.split(",") if args.symbol else ports.params.symbols
    as_of = args.as_of or format_instant(ports.clock() // HOUR * HOUR)
    quote = args.quote or ports.params.quote
    found = []
    for symbol in symbols:
        own = {"symbol": symbol.strip(), "quote": quote, "as_of": as_of, "run_id": args.run_id}
        event = events.parse(own)
        given = before(event, ports) if before is not None else _before(args.verb, event, ports)
        found.append(events.parse({**given, **own}))
    return found


def _read_event(path: Path) -> dict[str, Any]:
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"--event {path}: {error}") from error
    if not isinstance(body, dict):
        raise ConfigError(f"--event {path} must hold one JSON object, the result of the stage before")
    return body


def _before(verb: str, event: StageEvent, ports: Ports) -> dict[str, Any]:
    """Return the result the stage before left in this run's status object."""
    if verb == ORDER[0]:
        return {}
    before = ORDER[ORDER.index(verb) - 1]
    result = edge.read_result(ports.store, event, before)
    if result is None:
        raise ConfigError(
            f"run {event.run_id!r} has no finished {before} for {event.pair}; run `cryptovol {before}` first"
        )
    return result


def show(args: argparse.Namespace, event: StageEvent, result: Result) -> None:
    """Print a finished stage's result, and write it where `--out` says."""
    if args.out is not None:
        from cryptovol.tables import encode_json

        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_bytes(encode_json(result))
    if args.json:
        print(json.dumps(result))
        return
    numbers = [
        f"{name} {value}" for name, value in result.items() if name.startswith("rows_") and name not in event.given
    ]
    print(f"{args.verb} {event.pair} as of {event.as_of_text}: {', '.join(numbers) or 'done'}")
    if args.verb == "score":
        from cryptovol.commands import boardtable

        print("\n".join(boardtable.lines(result)))
    for horizon, model in result.get("models", {}).items():
        if args.verb == "train":
            print(f"  {horizon} h: {model['decision']}: {model['reason']}")
