"""`cryptovol backtest`: the pipeline replayed over a bar file."""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from cryptovol import backtest, params
from cryptovol.backtest import Forecasts
from cryptovol.commands import barfile
from cryptovol.errors import ConfigError
from cryptovol.times import parse_instant

Parsers = argparse._SubParsersAction
EPILOG = """The first forecast is the one `cryptovol run --as-of START` would serve: same history, gate, features and fit.

  cryptovol backtest --bars bars.csv.gz --horizon 24 --start 2024-01-01T00:00:00Z --out predictions.csv

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
    parser.add_argument("--out", type=Path, metavar="FILE", help="write predictions.csv there")
    parser.add_argument("--json", action="store_true", help="print the scores as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Backtest, write the forecasts, print the scores, and return 0."""
    science = params.load(args.params)
    if args.refit_hours < 1 or args.horizon < 2:
        raise ConfigError("--refit-hours must be at least 1 and --horizon at least 2")
    level = args.level or science.predict.level
    if level not in science.train.levels:
        raise ConfigError(f"--level {level} is not calibrated; use one of {', '.join(map(str, science.train.levels))}")
    start = parse_instant(args.start)
    bars = barfile.gated(args.bars, science, symbol=args.symbol, quote=args.quote, end=args.end)
    table = backtest.table_from(bars, args.horizon, science, start=start)
    with _bar() as progress:
        found = backtest.run(table, science, start=start, refit_hours=args.refit_hours, level=level, progress=progress)
    if args.out is not None:
        write(args.out, found)
    _print(args, found)
    return 0


@contextmanager
def _bar() -> Iterator[backtest.Progress]:
    """Yield a callback that draws a progress bar on stderr."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("refits"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task("refits")

        def progress(done: int, total: int) -> None:
            shown.update(task, completed=done, total=total)

        yield progress


def write(path: Path, found: Forecasts) -> None:
    """Write the forecasts as CSV, whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("time", "prediction", "lower", "upper"))
        columns = (found.time, found.predicted, found.lower, found.upper)
        rows.writerows(zip(*(column.tolist() for column in columns), strict=True))
    partial.replace(path)


def _print(args: argparse.Namespace, found: Forecasts) -> None:
    if not np.isfinite(found.realized).sum() >= 8:
        summary: dict[str, Any] = {"forecasts": len(found.time), "rows": 0}
    else:
        summary = {"forecasts": len(found.time), **backtest.score(found, args.horizon)}
    if args.json:
        print(json.dumps(summary))
        return
    print(f"{summary['forecasts']} forecasts, {summary['rows']} scored, {args.horizon} h ahead")
    if summary["rows"]:
        for name, errors in [("cryptovol", summary["model"]), *summary["baselines"].items()]:
            print(f"  {name:<12} QLIKE {errors['qlike']:.4f}  RMSE {errors['rmse']:.6f}  R2 {errors['r2']:+.3f}")
        test = summary["dm_har"]
        print(f"  against HAR: DM {test['statistic']:+.2f}, p {test['p']:.3g}; interval held {summary['coverage']:.1%}")
