"""`cryptovol backtest`: the pipeline replayed over a bar file."""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from cryptovol import __version__, backtest, codehash, evaluation, page, params, tables
from cryptovol.backtest import Forecasts, Plan
from cryptovol.backtest.parts import Parts, identity
from cryptovol.commands import barfile
from cryptovol.commands.score import lines
from cryptovol.errors import ConfigError
from cryptovol.evaluation import MODEL, Scored
from cryptovol.params import Params
from cryptovol.times import format_instant, parse_instant

Parsers = argparse._SubParsersAction
EPILOG = """The first forecast is the one `cryptovol run --as-of START` would serve: same history, gate, features and fit.

  cryptovol backtest --bars bars.csv.gz --horizon 24 --start 2024-01-01T00:00:00Z --out predictions.csv

writes predictions.csv, and beside it predictions.html, a page to look at, and predictions.json, its numbers. Stopped,
the same command goes on where it was; until it is done its finished refits are kept in predictions.parts/.

predictions.csv has the columns time,prediction,lower,upper. `time` is the opening of the last closed bar used;
`prediction` is the standard deviation of hourly log returns over the next HORIZON hours, not annualised."""


def add(parsers: Parsers[argparse.ArgumentParser]) -> None:
    """Declare the verb."""
    parser = parsers.add_parser(
        "backtest", help="walk-forward forecasts over a bar file, scored", epilog=EPILOG,
        description="Walk forward over a bar file: refit, forecast, score against the baselines.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--bars", type=Path, required=True, metavar="FILE", help="csv or csv.gz")
    parser.add_argument("--horizon", type=int, default=24, help="hours ahead (default: 24)")
    parser.add_argument("--start", required=True, metavar="ISO", help="instant of the first forecast")
    parser.add_argument("--end", metavar="ISO", help="no bar that closes later is used (default: all)")
    parser.add_argument("--refit-hours", type=int, default=168, help="hours between two fits (default: 168, a week)")
    parser.add_argument("--level", type=float, help="of the interval (default: params.yaml predict.level)")
    parser.add_argument("--symbol", default="BTC", help="of the bars (default: BTC)")
    parser.add_argument("--quote", default="USD", help="of the bars (default: USD)")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), metavar="FILE")
    parser.add_argument("--no-garch", action="store_true", help="leave GARCH(1,1) out of the baselines")
    parser.add_argument("--out", type=Path, metavar="FILE.csv", help="write predictions there, page and JSON beside it")
    parser.add_argument("--fresh", action="store_true", help="do not go on from what a stopped run has finished")
    parser.add_argument("--json", action="store_true", help="print the evaluation as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Backtest, write what was asked for, print the scores, and return 0."""
    science = params.load(args.params)
    level = _checked(args, science)
    start = parse_instant(args.start)
    bars = barfile.gated(args.bars, science, symbol=args.symbol, quote=args.quote, end=args.end)
    table = backtest.table_from(bars, args.horizon, science, start=start)
    plan = Plan(start, args.refit_hours, garch=not args.no_garch)
    parts = _parts(args, identity(table, science, plan))
    with _bars() as progress:
        found = backtest.run(table, science, plan, parts=parts, progress=progress)
    if not np.isfinite(found.scored.realized).any():
        body: dict[str, Any] = {"rows": 0, "forecasts": len(found.scored)}
    else:
        body = _body(args, science, found)
    _write(args, found.scored, level, body)
    if parts is not None:
        parts.remove()
    _print(args, body)
    return 0


def _checked(args: argparse.Namespace, science: Params) -> float:
    """Return the interval's level; raise `ConfigError` for what cannot be computed."""
    if args.refit_hours < 1 or args.horizon < 2:
        raise ConfigError("--refit-hours must be at least 1 and --horizon at least 2")
    level = float(science.predict.level if args.level is None else args.level)
    if level not in science.train.levels:
        raise ConfigError(f"--level {level} is not calibrated; use one of {', '.join(map(str, science.train.levels))}")
    if args.out is not None and args.out.suffix in (".html", ".json", ".parts"):
        raise ConfigError(f"--out {args.out} is the CSV; page and JSON are written beside it. Cure: name a .csv file")
    return level


def _parts(args: argparse.Namespace, own: str) -> Parts | None:
    """Return where finished refits are kept: beside the output, or nowhere without one."""
    if args.out is None:
        return None
    try:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        kept = Parts(args.out.with_suffix(".parts"), own)
        if args.fresh:
            kept.remove()
            kept = Parts(args.out.with_suffix(".parts"), own)
    except OSError as error:
        raise ConfigError(f"cannot write beside {args.out}: {error}. Cure: name a file that can be written") from error
    if kept.finished():
        print(f"going on after {kept.finished()} finished pieces of a run that was stopped", file=sys.stderr)
    return kept


@contextmanager
def _bars() -> Iterator[backtest.Progress]:
    """Yield a callback that draws one progress bar per kind of work on stderr."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description:<15}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        tasks: dict[str, TaskID] = {}

        def progress(what: str, done: int, total: int) -> None:
            if what not in tasks:
                for task in tasks.values():
                    shown.update(task, completed=shown.tasks[task].total)
                tasks[what] = shown.add_task(what, total=total)
            shown.update(tasks[what], completed=done, total=total)

        yield progress


def _body(args: argparse.Namespace, science: Params, found: Forecasts) -> dict[str, Any]:
    """Return the evaluation with the facts of the run."""
    with args.bars.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    facts = {
        "pair": f"{args.symbol}/{args.quote}", "bars": args.bars.name, "bars_sha256": digest,
        "start": args.start, "end": args.end or "the file's last bar", "refits": found.refits,
        "refit_hours": args.refit_hours, "calibrate_hours": backtest.CALIBRATE_HOURS, "train": asdict(science.train),
        "code_sha256": codehash.model_code_sha256(),
        "versions": {"cryptovol": __version__, "numpy": np.__version__, "python": platform.python_version()},
    }  # fmt: skip
    evaluated = evaluation.evaluate(found.scored)
    own = {"importance": backtest.shares(found.importance), "learning_curve": found.learning_curve, "run": facts}
    return {**evaluated, "forecasts": len(found.scored), **own}


def _write(args: argparse.Namespace, scored: Scored, level: float, body: dict[str, Any]) -> None:
    if args.out is None:
        return
    write(args.out, scored, level)
    if body["rows"]:
        title = f"{args.symbol}/{args.quote}, {args.horizon} h ahead, from {format_instant(parse_instant(args.start))}"
        args.out.with_suffix(".json").write_bytes(tables.encode_json(body))
        args.out.with_suffix(".html").write_text(page.render(body, title=title), encoding="utf-8")


def write(path: Path, scored: Scored, level: float) -> None:
    """Write the forecasts as CSV, whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("time", "prediction", "lower", "upper"))
        columns = (scored.time, scored.forecasts[MODEL], *scored.bounds[level])
        rows.writerows(zip(*(column.tolist() for column in columns), strict=True))
    partial.replace(path)


def _print(args: argparse.Namespace, body: dict[str, Any]) -> None:
    if args.json:
        print(json.dumps(body, allow_nan=False))
    elif not body["rows"]:
        print(f"{body['forecasts']} forecasts, {args.horizon} h ahead; what they forecast is not known yet")
    else:
        print("\n".join(lines(body, f"{args.symbol}/{args.quote}, {args.horizon} h ahead")))
        if args.out is not None:
            print(
                f"  {args.out}, {args.out.with_suffix('.html').name} to look at, {args.out.with_suffix('.json').name}"
            )
