"""`cryptovol ingest`: fetch the bars that are missing, six hours or nine years of them."""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from cryptovol import edge
from cryptovol.commands import stages
from cryptovol.errors import CryptovolError
from cryptovol.events import StageEvent
from cryptovol.ingestion.tally import Progress
from cryptovol.wiring import Ports, open_ports

DESCRIPTION = """Fetch the hourly bars that are missing, and the newest stored ones again, for sources revise them.

Without --from that is everything since the newest stored bar, or ingest.history_hours of params.yaml for a symbol
never seen before. With --from, everything from there on: the part before the oldest stored bar comes backwards, portion
by portion. Each portion is stored when it has come: after Ctrl-C, a crash or a power cut the same command goes on where
it was, and loses or doubles nothing. One symbol's failure does not stop the others."""
EPILOG = """examples:
  cryptovol ingest                                            what is missing, of the symbols in params.yaml, on the cloud
  cryptovol ingest --store data --symbol BTC,ETH              the same on files, no cloud
  cryptovol ingest --store data --symbol BTC --from 2017-01-01T00:00:00Z
                                                              nine years; stopped by Ctrl-C, give it again and it goes on
  cryptovol ingest --store data --from 2020-01-01T00:00:00Z --to 2021-01-01T00:00:00Z
                                                              as of the end of 2020, for a backtest
  CRYPTOVOL_SOURCE=coinbase cryptovol ingest --store data     one venue; `cryptovol sources check` tells who answers

exit codes: 0 done, 1 a source contradicts what is stored, 2 a symbol, setting or key is wrong, 3 a source or the
storage failed, 130 stopped by Ctrl-C; with several symbols the one of the first that failed"""
LINE_SECONDS = 10.0  # between two lines where there is no terminal

Clock = Callable[[], float]


def add(parsers: stages.Parsers[argparse.ArgumentParser]) -> None:
    """Declare the verb."""
    parser = stages.declare(parsers, "ingest", epilog=EPILOG, as_of=("--to", "--as-of"))
    parser.description = DESCRIPTION
    parser.add_argument(
        "--from", dest="start", metavar="ISO", help="opening of the oldest bar wanted (default: what is stored)"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Ingest each symbol; return 0, or raise what the first failing symbol raised after trying all."""
    ports = open_ports(args.store)
    wanted = [_with_start(event, args.start) for event in stages.wanted(args, ports)]
    failures: dict[str, Exception] = {}
    try:
        for event in wanted:
            try:
                _one(event, args, ports)
            except Exception as error:  # one symbol's failure must not stop the others; it is raised below
                if len(wanted) > 1:
                    print(f"cryptovol ingest: {event.pair}: {error}", file=sys.stderr)
                failures[event.pair] = error
    except KeyboardInterrupt:
        print(
            "cryptovol ingest: stopped; what has come is stored, and the same command goes on from there",
            file=sys.stderr,
        )
        return 130
    if not failures:
        return 0
    if len(wanted) > 1:
        which = ", ".join(f"{pair} ({_kind(error)})" for pair, error in failures.items())
        print(f"cryptovol ingest: {len(failures)} of {len(wanted)} failed: {which}", file=sys.stderr)
    raise next(iter(failures.values()))


def _with_start(event: StageEvent, start: str | None) -> StageEvent:
    return event if start is None else dataclasses.replace(event, given={**event.given, "start": start})


def _one(event: StageEvent, args: argparse.Namespace, ports: Ports) -> None:
    from cryptovol.stages import ingest

    with progress(event.pair, sys.stderr, quiet=args.json) as tell:
        result = edge.perform(
            "ingest",
            lambda e, p, q: ingest.run(
                e, store=p.store, source=p.source, second=p.second, clock=p.clock, params=q, progress=tell
            ),
            event,
            ports,
        )
    stages.show(args, event, result)


def _kind(error: Exception) -> str:
    return error.code if isinstance(error, CryptovolError) else type(error).__name__


class Pace:
    """How fast bars come, since it was made."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began = clock()

    def text(self, done: int, total: int) -> str:
        """Return how far it is, how fast, and how long it will take yet."""
        seconds = self._clock() - self._began
        text = f"{done:,} of {total:,} bars"
        if done <= 0 or seconds <= 0:
            return text
        return f"{text}, {done / seconds:,.0f} bars/s, {(total - done) * seconds / done / 60:.1f} min left"


class Lines:
    """Now and then a plain line, for logs and pipes; what is done in a moment prints none."""

    def __init__(self, pair: str, out: TextIO, clock: Clock) -> None:
        self._pair = pair
        self._out = out
        self._clock = clock
        self._pace = Pace(clock)
        self._next = clock() + LINE_SECONDS

    def __call__(self, done: int, total: int) -> None:
        """Take in how far it is."""
        if self._clock() >= self._next:
            self._next = self._clock() + LINE_SECONDS
            print(f"ingest {self._pair}: {self._pace.text(done, total)}", file=self._out, flush=True)


@contextmanager
def progress(pair: str, out: TextIO, *, quiet: bool = False, clock: Clock = time.monotonic) -> Iterator[Progress]:
    """Yield what shows one pair's progress: a bar on a terminal, lines elsewhere, nothing with `quiet`."""
    if quiet:
        yield lambda done, total: None
    elif not out.isatty():
        yield Lines(pair, out, clock)
    else:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as Bars

        columns = (TextColumn("ingest {task.description}"), BarColumn(), TextColumn("{task.fields[pace]}"))
        # What is printed on standard output is for pipes, and no business of the display's.
        with Bars(*columns, console=Console(file=out), redirect_stdout=False) as bars:
            task = bars.add_task(pair, total=None, visible=False, pace="")
            pace = Pace(clock)
            yield lambda done, total: bars.update(
                task, completed=done, total=total, visible=True, pace=pace.text(done, total)
            )
