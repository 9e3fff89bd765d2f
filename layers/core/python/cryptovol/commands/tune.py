"""`cryptovol tune`: search better ridge and forest parameters; the next training uses them."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from cryptovol import edge
from cryptovol.commands import stages
from cryptovol.errors import ConfigError
from cryptovol.events import StageEvent
from cryptovol.params import Params
from cryptovol.tuneparams import TuneParams
from cryptovol.wiring import Ports, open_ports

if TYPE_CHECKING:
    from cryptovol.stages.tune import Progress

DESCRIPTION = """Search better ridge and forest parameters for each horizon, on hours before those promotion looks at.

The feature table is that of the run's featurize, or the newest one stored. What is found is used by the next `cryptovol
train`, as long as params.yaml keeps the numbers it was tuned from. A search is kept trial by trial: after Ctrl-C or a crash
the same command goes on where it was, and once its budget is used up it computes nothing."""
EPILOG = """examples:
  cryptovol tune --symbol BTC                       on the cloud in AWS_ENDPOINT_URL, budget of params.yaml
  cryptovol tune --store data --symbol BTC,ETH --trials 100 --seconds 1800
                                                    on files; a larger budget goes on with the same search
  cryptovol tune --store data --market simulated    the newest table of a market, whatever run made it"""


def add(parsers: stages.Parsers[argparse.ArgumentParser]) -> None:
    """Declare the verb."""
    parser = stages.declare(parsers, "tune", epilog=EPILOG)
    parser.description = DESCRIPTION
    parser.add_argument("--trials", type=int, help="of each search, stored ones included (default: tune.trials)")
    parser.add_argument("--seconds", type=float, help="of all searches together (default: tune.seconds)")
    parser.add_argument("--market", help="live, simulated or replay-<file> (default: the run's, or CRYPTOVOL_MARKET)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Tune each symbol; return 0, or raise what the first failing symbol raised after trying all."""
    ports = open_ports(args.store)
    ports.params = dataclasses.replace(ports.params, tune=_budget(args, ports.params.tune))
    failure: Exception | None = None
    for event in stages.wanted(args, ports, before=_featurized):
        try:
            _one(event, args, ports)
        except ConfigError:
            raise
        except Exception as error:  # one symbol's failure must not stop the others; it is raised below
            print(f"cryptovol tune: {event.pair}: {error}", file=sys.stderr)
            failure = failure or error
    if failure is not None:
        raise failure
    return 0


def _budget(args: argparse.Namespace, tune: TuneParams) -> TuneParams:
    """Return the block with the budget that was asked for."""
    asked = {name: value for name in ("trials", "seconds") if (value := getattr(args, name)) is not None}
    for name, value in asked.items():
        if not value > 0:
            raise ConfigError(f"--{name} {value}: a search needs more than none. Cure: leave it out, or 1 and more")
    return dataclasses.replace(tune, **asked)


def _featurized(event: StageEvent, ports: Ports) -> dict[str, Any]:
    """Return what featurize gave in the event's run; nothing without one, for then the newest table is taken."""
    return edge.read_result(ports.store, event, "featurize") or {}


def _one(event: StageEvent, args: argparse.Namespace, ports: Ports) -> None:
    from cryptovol.stages import tune

    with _bar(event.pair, quiet=args.json) as tell:

        def step(event: StageEvent, ports: Ports, params: Params) -> dict[str, Any]:
            market = args.market or ports.settings.market
            return tune.run(
                event, store=ports.store, tracker=ports.tracker, params=params, market=market, progress=tell
            )

        result = edge.perform("tune", step, event, ports)
    stages.show(args, event, result)
    if not args.json:
        print("\n".join(_lines(result["tuning"])))


def _lines(tuning: dict[str, Any]) -> list[str]:
    """Return a line for each horizon: how far the search is and what it gained."""
    lines = []
    for horizon, found in tuning.items():
        before, after = (sum(found["qlike"][which]) / len(found["qlike"][which]) for which in ("in_force", "tuned"))
        numbers = ", ".join(f"{name} {value:.4g}" for name, value in found["params"].items())
        lines.append(
            f"  {horizon} h: QLIKE {before:.4f} before, {after:.4f} tuned, in {found['trials']['all']} trials "
            f"({found['trials']['pruned']} cut short), {found['seconds']:.0f} s\n    {numbers}"
        )
    return lines


@contextmanager
def _bar(pair: str, *, quiet: bool) -> Iterator[Progress | None]:
    """Yield what draws one bar per horizon on stderr, or None if `quiet`."""
    if quiet:
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    # What is printed on standard output is for pipes, and no business of the display's.
    with Bars(*columns, console=Console(stderr=True), redirect_stdout=False) as bars:
        tasks: dict[int, Any] = {}

        def tell(horizon: int, done: int, total: int, best: float) -> None:
            if horizon not in tasks:
                tasks[horizon] = bars.add_task("", total=total)
            text = f"tune {pair} {horizon} h, best QLIKE {best:.4f}"
            bars.update(tasks[horizon], completed=min(done, total), total=total, description=text)

        yield tell
