"""The drift table: false alarms and delays of the detector and of the usual tests, on features of real bars.

    python -m bench.drift --bars FILE --symbol BTC --quote USDT --start 2020-09-01 --end 2023-07-01

Walk-forward: every 30 days the tests are fitted to the rows of the three years before, as a training would, and
look at the 30 days of windows that follow the first whole one. No row a test is judged on was fitted on. Progress
goes to stderr; the tables, as Markdown, to stdout.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from cryptovol import drift, features, params
from cryptovol.bars import Floats, Ints, Mask
from cryptovol.commands import barfile
from cryptovol.features import FEATURE_NAMES
from cryptovol.times import parse_instant

from bench.drifting import faults, methods

ALARM = 0.15  # of the features; above it is an alarm
REFIT = 720  # rows between two references
STEP = 50  # rows between two evaluations
ONSET = drift.WINDOW + 100  # row after the reference at which a fault begins: a window of healthy rows lies before it
NEEDED = max(drift.WINDOW + REFIT, ONSET + drift.WINDOW)  # rows after a reference
OURS = "ours: attributed"

Stretch = tuple[Floats, Floats]  # the training rows, and the rows after them


def rows(path: Path, *, symbol: str, quote: str, coverage: float) -> tuple[Ints, Floats]:
    """Return time and complete feature rows of a bar file as the pipeline would have had them, oldest first."""
    bars = barfile.gated(path, params.load(Path("params.yaml")), symbol=symbol, quote=quote)
    table = features.build(bars, coverage=coverage)
    whole = table.complete()
    return table.time[whole], table.values[whole]


def stretches(time: Ints, values: Floats, *, start: int, end: int, history: int) -> Iterator[Stretch]:
    """Yield the training rows and those after them, of every reference whose rows lie before `end`.

    `start` is the earliest end of a training window; it is moved so that the whole of `history` rows lies before it.
    """
    at = max(int(np.searchsorted(time, start)), history)
    last = int(np.searchsorted(time, end)) - NEEDED
    for cut in range(at, last + 1, REFIT):
        yield values[cut - history : cut], values[cut : cut + NEEDED]


def healthy(test: methods.Test, after: Floats) -> list[Mask]:
    """Return a test's answers to the windows of 30 days, without any fault."""
    return [test(after[end - drift.WINDOW : end]) for end in range(drift.WINDOW, drift.WINDOW + REFIT + 1, STEP)]


def delay(test: methods.Test, after: Floats, *, columns: int = 0) -> tuple[int | None, Mask]:
    """Return the rows from the onset to the first alarm, None if there is none in a window, and the last answer.

    The alarm is a ratio above `ALARM`, or with `columns` at least so many columns.
    """
    least, first, answer = columns or int(ALARM * len(FEATURE_NAMES)) + 1, None, np.zeros(len(FEATURE_NAMES), bool)
    for passed in range(STEP, drift.WINDOW + 1, STEP):
        end = ONSET + passed
        answer = test(after[end - drift.WINDOW : end])
        if first is None and answer.sum() >= least:
            first = passed
    return first, answer


class Tally:
    """What the tests said, over all references."""

    def __init__(self) -> None:
        """Start with nothing counted."""
        self.quiet: dict[str, list[Mask]] = defaultdict(list)
        self.found: dict[tuple[str, str], list[tuple[int | None, Mask, Mask]]] = defaultdict(list)

    def add(self, stretch: Stretch, rng: np.random.Generator, *, trials: int) -> None:
        """Count one reference: every test on healthy rows and on the first fault, ours on all faults."""
        training, after = stretch
        tests, scale = methods.fitted(training), training.std(axis=0)
        for name, test in tests.items():
            self.quiet[name] += healthy(test, after)
        for what, (fault, many, of) in faults.EVERY.items():
            for _ in range(trials):
                columns = rng.choice(of, many, replace=False)
                broken = np.vstack([after[:ONSET], fault(after[ONSET:], scale, columns)])
                hit = np.isin(np.arange(len(FEATURE_NAMES)), columns)
                for name in tests if what == next(iter(faults.EVERY)) else [OURS]:
                    least = 1 if many == 1 else 0
                    self.found[name, what].append((*delay(tests[name], broken, columns=least), hit))

    def tests(self) -> list[str]:
        """Return the table of the tests."""
        first = next(iter(faults.EVERY))
        head = ["test | false alarms | mean ratio, healthy | detected | median delay, rows | named of 7 | named beside",
                "--- | --- | --- | --- | --- | --- | ---"]  # fmt: skip
        return head + [
            f"{name} | {_quiet(said)} | {_found(self.found[name, first])}" for name, said in self.quiet.items()
        ]

    def faults(self) -> list[str]:
        """Return the table of the faults, for our detector."""
        head = [
            "change | detected | median delay, rows | named of the changed | named beside",
            "--- | --- | --- | --- | ---",
        ]
        return head + [f"{what} | {_found(self.found[OURS, what])}" for what in faults.EVERY]


def _quiet(said: Sequence[Mask]) -> str:
    shares = np.mean(said, axis=1)
    return f"{np.mean(shares > ALARM):.3f} of {len(said)} | {shares.mean():.3f}"


def _found(trials: Sequence[tuple[int | None, Mask, Mask]]) -> str:
    delays = [first for first, _, _ in trials if first is not None]
    named = np.mean([(answer & hit).sum() for _, answer, hit in trials])
    beside = np.mean([(answer & ~hit).sum() for _, answer, hit in trials])
    middle = f"{np.median(delays):.0f}" if delays else "–"
    return f"{len(delays) / len(trials):.3f} of {len(trials)} | {middle} | {named:.1f} | {beside:.1f}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure one bar file and print its tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bars", type=Path, required=True)
    parser.add_argument("--symbol", default="BTC")
    parser.add_argument("--quote", default="USD")
    parser.add_argument("--start", required=True, help="earliest end of a training window, ISO 8601")
    parser.add_argument("--end", required=True, help="no row after it is looked at")
    parser.add_argument("--trials", type=int, default=3, help="of each fault per reference")
    asked = parser.parse_args(arguments)
    science = params.load(Path("params.yaml"))
    time, values = rows(asked.bars, symbol=asked.symbol, quote=asked.quote, coverage=science.featurize.window_coverage)
    span = {"start": parse_instant(asked.start), "end": parse_instant(asked.end)}
    every = list(stretches(time, values, history=science.ingest.history_hours, **span))
    tally, rng = Tally(), np.random.default_rng(1)
    for number, stretch in enumerate(every, 1):
        tally.add(stretch, rng, trials=asked.trials)
        print(f"\rreference {number} of {len(every)}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    print("\n".join([*tally.tests(), "", *tally.faults()]))


if __name__ == "__main__":
    main()
