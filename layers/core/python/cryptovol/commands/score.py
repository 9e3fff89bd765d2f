"""`cryptovol score`: the return leg as a stage of the pipeline, or any file of forecasts against a file of bars."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from cryptovol import __version__, evaluation, page, params, settings, tables, target
from cryptovol import volatility as vol
from cryptovol.baselines.walk import Progress, walk_forward
from cryptovol.bars import Bars, Floats, Ints
from cryptovol.commands import barfile, forecastfile, stages
from cryptovol.commands.forecastfile import ForecastFile
from cryptovol.errors import ConfigError
from cryptovol.evaluation import Scored
from cryptovol.evaluation.verdict import told
from cryptovol.features import WARMUP
from cryptovol.params import Params
from cryptovol.times import HOUR

EPILOG = """With --predictions any model's forecasts are scored, and nothing is stored. The file is CSV with the columns
time,prediction and, if it has intervals, lower,upper. `time` is the opening of the last closed bar used (unix seconds
or ISO 8601), `prediction` the standard deviation of hourly log returns over the next HORIZON hours, not annualised.
Beside it, on the same rows, stand persistence, EWMA(0.94) and HAR, refitted every week on what was known by then.
Without --predictions this is the last stage: served forecasts against what came.

  cryptovol backtest --bars btc.csv.gz --horizon 24 --start 2024-01-01T00:00:00Z --out predictions.csv
  cryptovol score --predictions predictions.csv --bars btc.csv.gz --horizon 24 --report page.html
  cryptovol score --predictions mine.csv --bars btc.csv.gz --garch --json       # GARCH(1,1) beside it; slow

  cryptovol score --store data --symbol BTC --as-of 2025-05-01T00:00:00Z        # the stage, on files, no cloud"""
OF_THE_STAGE = ("store", "event")
OF_A_FILE = ("bars", "horizon", "report", "level", "garch")
REFIT_HOURS = 168
SUSPECT = 5.0  # a mean forecast so many times what came is in another unit


def add(parsers: stages.Parsers[argparse.ArgumentParser]) -> None:
    """Declare the verb."""
    parser = stages.declare(parsers, "score", epilog=EPILOG)
    parser.description = "Hold forecasts against what was realized: those that were served, or those of any file."
    own = parser.add_argument_group("a file of forecasts instead of the store")
    own.add_argument("--predictions", type=Path, metavar="FILE", help="csv: time,prediction[,lower,upper]")
    own.add_argument(
        "--bars", type=Path, metavar="FILE",
        help="hourly bars they were made from, csv or csv.gz; with --as-of only those closed by then",
    )  # fmt: skip
    own.add_argument("--horizon", type=int, help="hours ahead (default: 24)")
    own.add_argument("--level", type=float, help="of the interval in the file (default: 0.9)")
    own.add_argument("--garch", action="store_const", const=True, help="GARCH(1,1) among the baselines; slow")
    own.add_argument("--report", type=Path, metavar="FILE.html", help="write a page with charts there")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Score the file and return 0; without one run the stage."""
    of_others = OF_A_FILE if args.predictions is None else OF_THE_STAGE
    stray = [f"--{name}" for name in of_others if getattr(args, name) is not None]
    if stray:
        given = "without" if args.predictions is None else "with"
        raise ConfigError(f"{', '.join(stray)} does not go {given} --predictions FILE")
    if args.predictions is None:
        return stages.run(args)
    if args.bars is None:
        raise ConfigError("--predictions needs --bars FILE: the bars the forecasts were made from")
    with progress_on(sys.stderr, quiet=args.json) as progress:
        body = score(args, params.load(settings.load(os.environ).params_path), progress=progress)
    title = f"{args.predictions.name}: {body['run']['pair']}, {body['horizon_hours']} h ahead"
    if args.report is not None:
        _write(args.report, page.render(body, title=title).encode("utf-8", "xmlcharrefreplace"))
    if args.out is not None:
        _write(args.out, tables.encode_json(body))
    print(json.dumps(body, allow_nan=False) if args.json else "\n".join(lines(body, title)))
    return 0


@contextmanager
def progress_on(out: TextIO, *, quiet: bool = False) -> Iterator[Progress | None]:
    """Yield a callback that draws a bar for the baselines' refits on a terminal; None elsewhere, or if `quiet`."""
    if quiet or not out.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Shown

    columns = (TextColumn("baselines"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Shown(*columns, console=Console(file=out), transient=True, redirect_stdout=False) as shown:
        task = shown.add_task("baselines", total=None)
        yield lambda done, total: shown.update(task, completed=done, total=total)


def score(args: argparse.Namespace, science: Params, *, progress: Progress | None = None) -> dict[str, Any]:
    """Return the evaluation of the file of forecasts, with the facts of the run.

    Raises
    ------
    ConfigError
        If an argument is wrong.
    ForecastFileError
        If the file does not hold forecasts of these bars.
    GateRefusedError
        If the gate refuses the bars.
    NotEnoughBarsError
        If nothing can be scored.
    """
    horizon, symbol = args.horizon or 24, args.symbol or science.symbols[0]
    quote = args.quote or science.quote
    if args.horizon is not None and args.horizon < 2:
        raise ConfigError(f"--horizon {args.horizon}: one return has no standard deviation. Cure: 2 or more")
    if "," in symbol:
        raise ConfigError(f"--symbol {symbol}: a file is scored for one pair. Cure: name one symbol")
    given = forecastfile.read(args.predictions)
    level = _level(args, given)
    bars = barfile.gated(args.bars, science, symbol=symbol, quote=quote, end=args.as_of)
    scored = beside_baselines(
        given, bars, science, horizon=horizon, level=level, garch=bool(args.garch), progress=progress
    )
    run = {
        "pair": f"{symbol}/{quote}", "predictions": args.predictions.name, "predictions_sha256": _sha256(args.predictions),
        "bars": args.bars.name, "bars_sha256": _sha256(args.bars), "baselines_refit_hours": REFIT_HOURS,
        "versions": {"cryptovol": __version__, "numpy": np.__version__, "python": platform.python_version()},
    }  # fmt: skip
    return {**evaluation.evaluate(scored), "run": run}


def _level(args: argparse.Namespace, given: ForecastFile) -> float:
    if args.level is not None and given.bounds is None:
        raise ConfigError(f"--level {args.level}: {args.predictions} has no columns lower,upper. Cure: leave it out")
    level = float(evaluation.LEVEL if args.level is None else args.level)
    if not 0 < level < 1:
        raise ConfigError(f"--level {args.level} is no share. Cure: a number between 0 and 1, for instance 0.9")
    return level


def beside_baselines(
    given: ForecastFile, bars: Bars, science: Params, *, horizon: int, level: float, garch: bool = False,
    progress: Progress | None = None,
) -> Scored:  # fmt: skip
    """Return the forecasts beside what came and beside the baselines' forecasts of the same hours.

    HAR needs `train.least_rows` known targets before it is called a baseline: held against one fitted on a handful of
    hours, any forecast would shine. Earlier forecasts have none beside them, and are not scored.
    """
    given.must_stand_on(bars.time)
    coverage = science.featurize.window_coverage
    start, log_return = _grid(bars)
    rows = (given.time - start) // HOUR
    ahead = target.forward(log_return, horizon, coverage=science.featurize.target_coverage)
    first = max(int(rows[0]), WARMUP + horizon + science.train.least_rows)
    stop = int(rows[-1]) + 1
    walked: dict[str, Floats] = {}
    if first < stop:
        walked = walk_forward(
            log_return, ahead, horizon=horizon, first=first, stop=stop, refit_hours=REFIT_HOURS, coverage=coverage,
            garch=garch, progress=progress,
        )  # fmt: skip
    names = ("har", *(["garch"] if garch else []), "ewma", "persistence")
    beside = {name: _placed(walked.get(name), rows - first) for name in (*names, "past_mean")}
    past_mean = beside.pop("past_mean")
    bounds = {} if given.bounds is None else {level: given.bounds}
    return Scored(given.time, ahead[rows], past_mean, {evaluation.MODEL: given.predicted, **beside}, bounds, horizon)


def _grid(bars: Bars) -> tuple[int, Floats]:
    """Return the first opening and the hourly log returns from there on, NaN where a bar is missing."""
    start = int(bars.time[0])
    close = np.full(int(bars.time[-1] - start) // HOUR + 1, np.nan)
    close[(bars.time - start) // HOUR] = bars.close
    return start, vol.log_returns(close)


def _placed(column: Floats | None, at: Ints) -> Floats:
    """Return the values at these places, NaN before the first."""
    if column is None:
        return np.full(len(at), np.nan)
    return np.where(at >= 0, column[np.maximum(at, 0)], np.nan)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error}. Cure: name a file that can be written") from error


def lines(body: dict[str, Any], title: str) -> list[str]:
    """Return what a person at a terminal wants to know."""
    lines = [title, body["verdict"]["sentence"], ""]
    lines.append(f"  {'':<12}{'QLIKE':>8}{'RMSE':>11}{'MAE':>11}{'R2':>8}{'bias':>7}   the model against it, QLIKE")
    for name, errors in body["scores"].items():
        test = told(body["dm"][name]["qlike"]) if name in body["dm"] else ""
        lines.append(
            f"  {name:<12}{errors['qlike']:>8.4f}{errors['rmse']:>11.6f}{errors['mae']:>11.6f}{errors['r2']:>+8.3f}"
            f"{errors['bias']:>7.2f}   {test}".rstrip()
        )
    for name, share in body["coverage"].items():
        worst = body["worst_30d"][name]
        least = f", {worst['coverage']:.1%} in its worst 30 days (from {worst['first']})" if worst else ""
        lines.append(f"  the {float(name):.0%} interval held {share:.1%}{least}")
    left_out = ", ".join(f"{reason.replace('_', ' ')} {count:,}" for reason, count in body["left_out"].items())
    lines.append(f"  {body['rows']:,} hours scored, {body['first']} to {body['last']}; left out: {left_out or 'none'}")
    bias = body["scores"][evaluation.MODEL]["bias"]
    if not 1 / SUSPECT < bias < SUSPECT:
        lines.append(
            f"  forecasts are on average {bias:.3g} times what came: are they per hour, neither annualised "
            f"(√8760 is 93.6) nor in percent (100)?"
        )
    return lines
