"""`cryptovol sources check`: which market sources answer, how fresh they are, and whether they agree."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from cryptovol import bars as bars_module
from cryptovol import params, settings
from cryptovol.adapters.sources import missing, open_source
from cryptovol.adapters.sources.patience import Patience
from cryptovol.bars import Bars
from cryptovol.errors import CryptovolError, UnknownSymbolError
from cryptovol.params import GateParams, Params
from cryptovol.ports import Clock
from cryptovol.settings import VENUES, Settings
from cryptovol.times import HOUR, floor_hour, format_instant
from cryptovol.wiring import wall_clock

HOURS = 48
BUDGET_SECONDS = 30
STAND_INS = {"USD": ("USDT",)}  # asked for where a venue does not trade the quote, to show them; never judged

DESCRIPTION = """Ask every market source for the last 48 hours of one symbol, all at the same time and once each.

The row marked with * is the source that CRYPTOVOL_SOURCE names; `auto` is what the pipeline would use now. Closes are
held against those of the first venue that answers: median and largest difference, and in how many common hours it is
above gate.disagreement of params.yaml. Two venues disagree if that share is above gate.disagreement_share. A venue that
trades only another dollar (Binance has USDT, not USD) is shown in that and not judged."""
EPILOG = """examples:
  cryptovol sources check
  cryptovol sources check --symbol ETH --json
  CRYPTOVOL_SOURCE=replay:btc.csv.gz cryptovol sources check

exit codes: 0 the configured source answers, 1 it does but two sources disagree, 2 wrong usage, 3 it does not answer"""


@dataclass(frozen=True, eq=False)
class Answer:
    """What one source says; `says` is its error, what has to be set up, or the verdict on its closes.

    `newest` is the opening time of its newest closed bar, ISO 8601. `median_percent` and `largest_percent` are of the
    differences of its closes to the reference's in `common_hours`, of which `hours_over` are above the gate's limit.
    """

    name: str
    set_up: bool = True
    source: str | None = None
    market: str | None = None
    quote: str | None = None
    newest: str | None = None
    age_hours: float | None = None
    latency_ms: float | None = None
    common_hours: int = 0
    median_percent: float | None = None
    largest_percent: float | None = None
    hours_over: int = 0
    disagrees: bool = False
    says: str = ""
    bars: Bars = field(default_factory=bars_module.empty, repr=False)


Ask = Callable[[str], Answer]


def add(parsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the verb."""
    parser = parsers.add_parser(
        "sources", help="see which market sources answer and agree", description=DESCRIPTION, epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("action", choices=("check",), help="ask them all")
    parser.add_argument("--symbol", help="default: the first in params.yaml")
    parser.add_argument("--quote", help="default: the one in params.yaml")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Ask, print, and return the exit code."""
    where = settings.load(os.environ)
    science = params.load(where.params_path)
    symbol, quote = args.symbol or science.symbols[0], args.quote or science.quote
    names = list(dict.fromkeys(("auto", where.source, *science.sources.order, *VENUES, "simulated")))
    found = survey(
        names, lambda name: ask(name, where, science, symbol=symbol, quote=quote, clock=wall_clock), quote, science.gate
    )
    if args.json:
        rows = [{k: v for k, v in vars(answer).items() if k != "bars"} for answer in found]
        print(json.dumps({"symbol": symbol, "quote": quote, "configured": where.source, "sources": rows}))
    else:
        from cryptovol.commands.sources_table import print_table

        print_table(found, f"{symbol}/{quote}", where.source, science.gate.freshness_hours)
    return exit_code(found, where.source)


def survey(names: Sequence[str], ask: Ask, quote: str, gate: GateParams) -> list[Answer]:
    """Return what each source says, those that answer compared with the first venue that has the quote asked for."""
    with ThreadPoolExecutor(len(names)) as pool:
        found = list(pool.map(ask, names))
    served = [answer for answer in found if answer.name in VENUES and len(answer.bars)]
    first = next((answer for answer in served if answer.quote == quote), None)
    return [compared(answer, first, gate) if first and answer in served else answer for answer in found]


def exit_code(found: Sequence[Answer], configured: str) -> int:
    """Return 3 if the configured source has no bar, 1 if any two sources disagree, else 0."""
    if not any(answer.newest for answer in found if answer.name == configured):
        return 3
    return 1 if any(answer.disagrees for answer in found) else 0


def ask(name: str, where: Settings, science: Params, *, symbol: str, quote: str, clock: Clock) -> Answer:
    """Return what one source says, not yet compared with another's."""
    lacking = missing(name, where)
    if lacking and name != where.source:
        return Answer(name, set_up=False, says=lacking)
    blank = Answer(name, set_up=not lacking)
    try:
        return _heard(blank, where, science, symbol=symbol, quote=quote, clock=clock)
    except CryptovolError as error:
        return dataclasses.replace(blank, says=str(error))


def _heard(blank: Answer, where: Settings, science: Params, *, symbol: str, quote: str, clock: Clock) -> Answer:
    # The made-up market is asked in its own right, not at an address set for CryptoCompare.
    own = dataclasses.replace(where, source=blank.name, urls={} if blank.name == "simulated" else where.urls)
    source = open_source(own, science, clock=clock, patience=Patience(tries=1, budget=BUDGET_SECONDS))
    for asked in _quotes(blank.name, quote, science):
        began = time.perf_counter()
        try:
            origin = source.origin(symbol, asked)
        except UnknownSymbolError as error:
            blank = dataclasses.replace(blank, says=blank.says or str(error))
            continue
        waited = round(1000 * (time.perf_counter() - began), 1)
        now = clock()
        end = floor_hour(now)
        bars = bars_module.concat(source.pages(symbol, asked, start=end - HOURS * HOUR, end=end))
        known = dataclasses.replace(blank, source=origin.source, market=origin.market, latency_ms=waited, quote=asked)
        return _dated(known, bars, now)
    return blank


def _quotes(name: str, quote: str, science: Params) -> Iterator[str]:
    """Yield the quotes a source is asked for, one after the other until it has one."""
    more = (*science.sources.stand_in_quotes, *STAND_INS.get(quote, ())) if name in VENUES else ()
    yield from dict.fromkeys((quote, *more))


def _dated(answer: Answer, bars: Bars, now: int) -> Answer:
    """Return the answer with its bars, their quote and the age of the newest one."""
    if not len(bars):
        return dataclasses.replace(answer, says=f"it has no bar in the last {HOURS} hours")
    newest = int(bars.time[-1])
    says = f"answers with {bars.source[-1]}" if answer.name in ("auto", "live") else "answers"
    return dataclasses.replace(
        answer, bars=bars, source=str(bars.source[-1]), quote=str(bars.quote[-1]), newest=format_instant(newest),
        age_hours=round((now - newest - HOUR) / HOUR, 2), says=says,
    )  # fmt: skip


def compared(answer: Answer, first: Answer, gate: GateParams) -> Answer:
    """Return an answer with the differences of its closes to the first venue's, and the verdict."""
    if answer is first:
        return dataclasses.replace(answer, says="answers; the others are held against it")
    if answer.market != first.market:
        return dataclasses.replace(answer, says=f"answers; another market than {first.name}")
    _, mine, theirs = np.intersect1d(answer.bars.time, first.bars.time, return_indices=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        moved = np.abs(np.log(answer.bars.close[mine] / first.bars.close[theirs]))
    moved = moved[np.isfinite(moved)]
    if not len(moved):
        return dataclasses.replace(answer, says=f"answers; no hour in common with {first.name}")
    over, judged = int((moved > gate.disagreement).sum()), answer.quote == first.quote
    disagrees = judged and over > gate.disagreement_share * len(moved)
    verdict = f"{'disagrees' if disagrees else 'agrees'} with {first.name}"
    return dataclasses.replace(
        answer,
        common_hours=len(moved),
        median_percent=round(100 * float(np.expm1(np.median(moved))), 4),
        largest_percent=round(100 * float(np.expm1(moved.max())), 4),
        hours_over=over,
        disagrees=disagrees,
        says=verdict if judged else f"answers; {answer.quote} is not judged against {first.quote}",
    )
