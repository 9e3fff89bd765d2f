"""`cryptovol validate`: the gate as a stage of the pipeline, or on any bar file."""

from __future__ import annotations

import argparse
import json
import os
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from cryptovol import gate, params, settings
from cryptovol.bars import Bars
from cryptovol.commands import stages
from cryptovol.errors import BarSchemaError, ConfigError
from cryptovol.gate import report as gate_report
from cryptovol.gate import Finding, GateReport
from cryptovol.gate.batch import shown
from cryptovol.market import files
from cryptovol.params import Params
from cryptovol.times import HOUR, format_instant, parse_instant

EPILOG = """With --bars the gate judges a file and nothing is stored: exit code 0 if it passes, 1 if it is refused or
holds no bars, 2 if it cannot be read. Without --bars this is the stage between ingest and featurize.

A file is CSV, plain or gzipped, as vendors give it: time (or unix, ts, open_time, ...; seconds, milliseconds or ISO
8601, in UTC unless it carries an offset), open, high, low, close, volume, and, if it likes, quote volume and symbol.
What was skipped, turned round or is not given is told under the table.

  cryptovol validate --bars btc.csv.gz                             table, verdict, reasons
  cryptovol validate --bars btc.csv --as-of 2025-05-13T10:30:00Z   the file was made then: later bars are unfinished
  cryptovol validate --bars btc.csv --quote USDT --json            a file that does not name its pair; for machines
  cryptovol validate --bars a.csv --against b.csv                  two records of one pair: where do they disagree?
  cryptovol validate --bars btc.csv --report gate.html --quarantine bad.csv

  cryptovol validate --store data --symbol BTC --as-of 2025-05-01T00:00:00Z     the stage, on files, no cloud
  cryptovol validate --symbol BTC,ETH                                           the stage, on AWS_ENDPOINT_URL"""
OF_THE_STAGE = ("store", "event", "out")
RIGHT = ("found", "measured", "limit")  # aligned columns of the table
OF_A_FILE = ("against", "report", "quarantine")


@dataclass(frozen=True, eq=False)
class Checked:
    """A file's bars, the gate's report on them, and what else there is to say."""

    bars: Bars
    report: GateReport
    notes: tuple[str, ...]


def add(parsers: stages.Parsers[argparse.ArgumentParser]) -> None:
    """Declare the verb."""
    parser = stages.declare(parsers, "validate", epilog=EPILOG)
    parser.description = "Pass bars through the gate: those that ingest stored, or those of any file."
    own = parser.add_argument_group("a file instead of the store")
    own.add_argument(
        "--bars", type=Path, metavar="FILE",
        help="check this file; --as-of is then when it was made (default: when its newest hour had ended), --symbol "
        "and --quote its pair (default: what it names, else params.yaml)",
    )  # fmt: skip
    own.add_argument("--against", type=Path, metavar="FILE", help="a second record of the same pair, to compare closes")
    own.add_argument("--report", type=Path, metavar="FILE.html", help="write the report there as a page")
    own.add_argument("--quarantine", type=Path, metavar="FILE.csv", help="write the rows taken out, each with its rule")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Check the file and return 0 if it passes, else 1; without a file run the stage."""
    of_others = OF_A_FILE if args.bars is None else OF_THE_STAGE
    stray = [f"--{name}" for name in of_others if getattr(args, name) is not None]
    if stray:
        cure = "give --bars FILE" if args.bars is None else "leave it out"
        raise ConfigError(f"{', '.join(stray)} does not go {'without' if args.bars is None else 'with'} --bars: {cure}")
    if args.bars is None:
        return stages.run(args)
    found = check(args, params.load(settings.load(os.environ).params_path))
    if args.report is not None:
        _write(args.report, gate_report.as_html(found.report, found.bars))
    if args.quarantine is not None:
        _write(args.quarantine, gate_report.as_csv(found.report, found.bars))
    if args.json:
        print(json.dumps({**gate_report.as_json(found.report), "file": str(args.bars), "notes": list(found.notes)}))
    else:
        _print(args, found)
    return 1 if found.report.refused else 0


def _second(path: Path, symbol: str, quote: str) -> Bars:
    """Return the second record, under a source of its own: two files may have one name, or one venue, and differ."""
    found = files.load(path, symbol=symbol, quote=quote).bars
    return replace(found, source=np.full(len(found), f"against:{files.stem(path)}"))


def check(args: argparse.Namespace, science: Params) -> Checked:
    """Return what the gate says of the file; see `files.load` for the errors of one that cannot be read."""
    if args.symbol and "," in args.symbol:
        raise ConfigError(f"--symbol {args.symbol}: a file is checked for one pair. Cure: name one symbol")
    symbol, quote = args.symbol or science.symbols[0], args.quote or science.quote
    found = files.load(args.bars, symbol=symbol, quote=quote)
    if not len(found.bars):
        raise BarSchemaError(f"{args.bars} has a header but no bars. Cure: give a file with at least one row")
    symbol, quote, told = _pair(found.bars, args)
    as_of = parse_instant(args.as_of) if args.as_of else max(0, int(found.bars.time.max()) + HOUR)
    witness = _second(args.against, symbol, quote) if args.against is not None else None
    report = gate.check(
        found.bars, as_of=as_of, params=science.gate, symbol=symbol, quote=quote,
        stand_in_quotes=science.sources.stand_in_quotes, witness=witness,
    )  # fmt: skip
    if not args.as_of:
        told.append(
            "judged as of the end of its newest hour: --as-of with the moment it was made shows hours cut short"
        )
    if witness is not None:
        told += _compared(found.bars, witness, args.against)
    return Checked(found.bars, report, (*found.notes, *told))


def _pair(bars: Bars, args: argparse.Namespace) -> tuple[str, str, list[str]]:
    """Return the pair to check: the asked one, or the one of most rows; and a note if the file has several."""
    pairs = Counter(zip(bars.symbol.tolist(), bars.quote.tolist(), strict=True)).most_common()
    asked = [
        pair for pair, _ in pairs
        if args.symbol in (None, pair[0]) and args.quote in (None, pair[1])
    ]  # fmt: skip
    symbol, quote = asked[0] if asked else (args.symbol or pairs[0][0][0], args.quote or pairs[0][0][1])
    if len(pairs) == 1:
        return symbol, quote, []
    counts = ", ".join("/".join(pair) + f" {count:,}" for pair, count in pairs[:5])
    return symbol, quote, [f"several pairs in one file ({counts} rows): it is checked as {symbol}/{quote}"]


def _compared(bars: Bars, witness: Bars, path: Path) -> list[str]:
    """Return how much of the file the second record covers."""
    missing = np.unique(bars.time[~np.isin(bars.time, witness.time)])
    pairs = sorted({"/".join(pair) for pair in zip(witness.symbol.tolist(), witness.quote.tolist(), strict=True)})
    notes = [f"{path} is of {', '.join(pairs) or 'nothing'}; only rows of the same pair are compared"]
    if len(missing):
        first, last = (format_instant(int(at)) for at in (missing[0], missing[-1]))
        notes.append(f"{path} lacks {len(missing):,} of the file's hours, {first} to {last}: nothing is said of those")
    return notes


def _write(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error}. Cure: name a file that can be written") from error


def _print(args: argparse.Namespace, found: Checked) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    report, console = found.report, Console(highlight=False)
    pair, as_of, clean = f"{report.symbol}/{report.quote}", format_instant(report.as_of), int(report.clean.sum())
    console.print(f"{args.bars}: {pair}, {report.rows:,} rows, as of {as_of}", markup=False, soft_wrap=True)
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in ("rule", "verdict", "found", "measured", "limit", "first offender"):
        table.add_column(heading, overflow="fold", justify="right" if heading in RIGHT else "left")
    for finding in report.findings:
        table.add_row(*(escape(text) for text in _cells(finding)), style="" if finding.passed else "bold red")
    console.print(table)
    verdict = "[bold red]refused[/]" if report.refused else "[bold green]passed[/]"
    console.print(f"{verdict}: {clean:,} rows clean, {report.rows - clean:,} quarantined")
    for heading, lines in (("reasons", report.reasons), ("notes", found.notes)):
        text = "".join(f"\n  - {line}" for line in lines)
        console.print(f"{heading}:{text or ' none'}", markup=False, soft_wrap=True)


def _cells(finding: Finding) -> tuple[str, ...]:
    measured = "" if finding.measured is None else shown(finding.measured, finding.unit)
    first = " ".join(finding.offenders[0]) if finding.offenders else finding.note
    verdict = "passed" if finding.passed else "refused"
    return finding.rule, verdict, f"{finding.found:,}", measured, shown(finding.limit, finding.unit), first
