"""Faults planted into faultless bars, each with the note of which rule of the gate must find it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from cryptovol import bars as bars_module
from cryptovol.bars import NUMBERS, Bars
from cryptovol.testing import make_bars
from cryptovol.times import HOUR
from tests.bar_faults import assign, freeze, scale
from tests.gates import AS_OF, LIMITS, N

SLOT = 80  # rows that one fault has to itself, so that no two meet
FIRST = 3  # slots before it have too few hours before them for an outlier


class Planter:
    """Bars into which faults are put; `rule_of` says of each row which rule must take it out, or is empty.

    Faults are planted from the last slot to the first, so that rows put in or left out do not move the places of
    those still to come.
    """

    def __init__(self, seed: int) -> None:
        self.bars = make_bars(N, seed=seed)
        self.rule_of = np.full(N, "", dtype="<U12")
        self.expected: Counter[str] = Counter()
        self.witness = self.bars.take(slice(0, 0))

    def spoil(self, rule: str, rows: Any, bars: Bars) -> None:
        """Take changed bars over; the rule must take out some of their rows."""
        self.bars = bars
        self.rule_of[rows] = rule
        self.expected[rule] += len(self.rule_of[rows])

    def put(self, rule: str, at: int, row: Bars) -> None:
        """Put one row in, which the rule must take out."""
        rest = [self.bars.take(slice(0, at)), row, self.bars.take(slice(at, None))]
        self.bars = bars_module.concat(rest)
        self.rule_of = np.insert(self.rule_of, at, rule)
        self.expected[rule] += 1

    def leave_out(self, rows: slice) -> None:
        """Take rows away; the hours are missing then."""
        keep = np.delete(np.arange(len(self.bars)), rows)
        self.bars, self.rule_of = self.bars.take(keep), self.rule_of[keep]

    def row(self, at: int) -> Bars:
        """Return one row as bars."""
        return self.bars.take(slice(at, at + 1))

    def largest_calm_move(self, at: int) -> float:
        """Return a log return that is surely an outlier at a row."""
        returns = np.abs(np.diff(np.log(self.bars.close[max(0, at - LIMITS.outlier_hours - 1) : at])))
        return float(1.4 * LIMITS.outlier_scales * 1.4826 * np.median(returns[np.isfinite(returns)]))


Plant = Callable[[Planter, int, int], None]


def foreign(field: int, at: int, planter: Planter) -> None:
    """Put in a row of another pair."""
    row = planter.row(at)
    other = {"symbol": np.array(["ETH"])} if field % 2 else {"quote": np.array(["EUR"])}
    planter.put("foreign", at, replace(row, **other))


def schema(field: int, at: int, planter: Planter) -> None:
    """Put in a row at no hour."""
    time = (int(planter.bars.time[at]) + 1 + field, -HOUR, 2**62, 2**37 // HOUR * HOUR + HOUR)[field % 4]
    planter.put("schema", at, replace(planter.row(at), time=np.array([time])))


def unfinished(field: int, at: int, planter: Planter) -> None:
    """Let rows have been read within their hour."""
    rows = slice(at, at + 1 + field % 3)
    planter.spoil("unfinished", rows, assign("fetched_at", rows, planter.bars.time[rows] + 60 * field)(planter.bars))


def future(field: int, at: int, planter: Planter) -> None:
    """Put in a row from after the instant."""
    time = np.array([AS_OF + field * HOUR])
    planter.put("future", at, replace(planter.row(at), time=time, fetched_at=time + HOUR))


def disorder(field: int, at: int, planter: Planter) -> None:
    """Put a row in again, after newer ones."""
    planter.put("disorder", at + 2 + field % 5, planter.row(at))


def duplicates(field: int, at: int, planter: Planter) -> None:
    """Put earlier versions of a row in before it."""
    for _ in range(1 + field % 3):
        planter.put("duplicates", at, replace(planter.row(at), close=planter.row(at).close * 1.001))


def nulls(field: int, at: int, planter: Planter) -> None:
    """Take one number away."""
    value = (np.nan, np.inf, -np.inf)[field % 3]
    planter.spoil("nulls", [at], assign(NUMBERS[field % 6], at, value)(planter.bars))


def ranges(field: int, at: int, planter: Planter) -> None:
    """Let one number be impossible."""
    bars = planter.bars
    faults = [
        ("high", bars.low[at] * 0.9),
        ("low", bars.high[at] * 1.1),
        ("low", 0.0),
        ("volume_base", -1.0),
        ("open", -3.0),
    ]
    planter.spoil("range", [at], assign(faults[field % 5][0], at, faults[field % 5][1])(bars))


def log_return(field: int, at: int, planter: Planter) -> None:
    """Bring some hours to a price that the market did not have."""
    rows = slice(at, at + 1 + 7 * (field % 8))
    planter.spoil("log_return", rows, scale(rows, (0.05, 3.0, 40.0)[field % 3])(planter.bars))


def zero_volume(field: int, at: int, planter: Planter) -> None:
    """Let some hours be without a trade."""
    rows = slice(at, at + 1 + field % 10)
    planter.spoil("zero_volume", rows, assign("volume_base", rows, 0.0)(planter.bars))


def outlier_return(field: int, at: int, planter: Planter) -> None:
    """Move the price, for good, by far more than is usual in an hour."""
    size = planter.largest_calm_move(at)
    if size < LIMITS.log_return_limit:
        times = float(np.exp(size if field % 2 else -size))
        planter.bars = scale(slice(at, None), times)(planter.bars)
        planter.witness = scale(slice(None), times)(planter.witness)
        planter.expected["outlier_return"] += 1


def outlier_volume(field: int, at: int, planter: Planter) -> None:
    """Let two volumes be far too large."""
    planter.bars = assign("volume_base", [at, at + 2], 1e6 * (1 + field))(planter.bars)
    planter.expected["outlier_volume"] += 2


def repaired(field: int, at: int, planter: Planter) -> None:
    """Let some hours come from a second source."""
    rows = slice(at, at + 1 + field)
    planter.bars = assign("source", rows, "repair:kraken")(planter.bars)
    planter.expected["repaired"] += 1 + field


def frozen(field: int, at: int, planter: Planter) -> None:
    """Let the price stand still for too long, and go on from there without catching up."""
    hours = LIMITS.frozen_hours + 1 + field
    times = float(planter.bars.close[at] / planter.bars.close[at + hours - 1])
    planter.bars = scale(slice(at + hours, None), times)(freeze(at, hours)(planter.bars))
    planter.witness = scale(slice(None), times)(planter.witness)
    planter.expected["frozen"] += hours


def gaps(field: int, at: int, planter: Planter) -> None:
    """Leave hours out."""
    hours = 1 + 7 * field
    planter.leave_out(slice(at, at + hours))
    planter.expected["gaps"] += hours
    planter.expected["longest_gap"] += hours if hours > LIMITS.longest_gap_hours else 0


PLANTS = (
    foreign, schema, unfinished, future, disorder, duplicates, nulls, ranges, log_return, zero_volume, outlier_return,
    outlier_volume, repaired, frozen, gaps,
)  # fmt: skip


def plant_ends(planter: Planter, late: int, apart: int) -> None:
    """Leave the newest hours out, and put a second source beside that differs in some of its hours."""
    if late:
        planter.leave_out(slice(len(planter.bars) - late, None))
        planter.expected["freshness"] += late if late > LIMITS.freshness_hours else 0
    newest = planter.bars.take(planter.bars.time >= AS_OF - (late + 40) * HOUR).stamped(source="x", fetched_at=AS_OF)
    planter.witness = replace(newest, close=newest.close * np.where(np.arange(len(newest)) < apart, 1.03, 1.0))
    planter.expected["disagreement"] += apart
