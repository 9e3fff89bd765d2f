"""What the gate's rules work on and return: a batch on its way through them, and findings."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryptovol.bars import NUMBERS, Bars, Floats, Ints, Mask, Texts
from cryptovol.params import GateParams
from cryptovol.times import format_instant

Places = NDArray[np.intp]
SHOWN = 5  # offenders listed per rule
CALENDAR_END = 2**37  # unix seconds; later than any calendar here can write


@dataclass(frozen=True)
class Finding:
    """What one rule found.

    Parameters
    ----------
    rule
        Its name, for instance ``nulls``.
    unit
        What `limit` and `measured` count: ``share``, ``rows`` or ``hours``.
    limit, measured
        The rule holds while `measured` is at most (for ``nulls``: below) `limit`; None if nothing could be measured.
    found, share
        Offending rows (or missing hours), and over all rows of the batch.
    passed
        The verdict. Where nothing could be measured ``freshness`` fails, and ``disagreement`` passes.
    quarantined
        Whether the offending rows were taken out of the batch, or only counted.
    offenders
        The first few: time of opening (ISO 8601) and what was found there.
    note
        Details in words, or an empty text.
    """

    rule: str
    unit: str
    limit: float
    measured: float | None
    found: int
    share: float
    passed: bool
    quarantined: bool
    offenders: tuple[tuple[str, str], ...]
    note: str

    def reason(self) -> str:
        """Return the finding as one sentence."""
        measured = "nothing to measure" if self.measured is None else f"{shown(self.measured, self.unit)}"
        first = f", first {self.offenders[0][0]}: {self.offenders[0][1]}" if self.offenders else ""
        note = f" ({self.note})" if self.note else ""
        return f"{self.rule}: {measured}, limit {shown(self.limit, self.unit)}{note}{first}"


def shown(value: float, unit: str) -> str:
    """Return a number as people read it: ``0.35 %``, ``12 h``, ``3 rows``, ``1 row``."""
    if unit == "share":
        return f"{100 * value:.4g} %"
    return f"{value:.6g} {'h' if unit == 'hours' else 'row' if value == 1 else unit}"


class Batch:
    """A batch on its way through the rules: the bars, and which rule has taken which row out.

    Parameters
    ----------
    bars, as_of, params, symbol, witness
        See `gate.check`.
    quotes
        The quote currencies that a row may be in.
    """

    def __init__(
        self, bars: Bars, as_of: int, params: GateParams, symbol: str, quotes: tuple[str, ...], witness: Bars | None
    ) -> None:
        self.bars = bars
        self.as_of = as_of
        self.params = params
        self.symbol = symbol
        self.quotes = quotes
        self.witness = witness
        self.rule_of: Texts = np.full(len(bars), "", dtype="<U12")
        self.marks: dict[str, Places] = {}
        self._left: Mask = np.ones(len(bars), dtype=bool)

    def left(self) -> Places:
        """Return the places of the rows that no rule has taken out, in the batch's order."""
        return np.flatnonzero(self._left)

    @cached_property
    def hours(self) -> Ints:
        """The hours of the pair that came with a row, good or bad, sorted: a bad row is not a missing one.

        To be asked for when the rules about single rows have run.
        """
        rule = self.rule_of
        of_pair = (rule != "foreign") & (rule != "schema") & (rule != "future")
        time = self.bars.time if of_pair.all() else self.bars.time[of_pair]
        return time if (np.diff(time) > 0).all() else np.unique(time)

    def take_out(
        self, rule: str, bad: Places, *, limit: float, unit: str, value: Callable[[int], str], **more: Any
    ) -> Finding:
        """Quarantine the rows at places `bad` and return the finding; `value` describes the row at a place."""
        if len(bad):
            self.rule_of[bad] = rule
            self._left[bad] = False
        return self._rows(rule, bad, limit=limit, unit=unit, value=value, quarantined=True, **more)

    def count(
        self, rule: str, rows: Places, *, limit: float, unit: str, value: Callable[[int], str], **more: Any
    ) -> Finding:
        """Mark the rows at places `rows`, leave them in, and return the finding."""
        self.marks[rule] = rows
        return self._rows(rule, rows, limit=limit, unit=unit, value=value, quarantined=False, **more)

    def _rows(self, rule: str, rows: Places, *, unit: str, value: Callable[[int], str], **more: Any) -> Finding:
        if "measured" not in more:
            more["measured"] = self.share(len(rows)) if unit == "share" else float(len(rows))
        return self.finding(rule, len(rows), unit=unit, offenders=self.first(rows, value), **more)

    def finding(
        self, rule: str, found: int, *, limit: float, unit: str, measured: float | None, passed: bool | None = None,
        quarantined: bool = False, offenders: Iterable[tuple[str, str]] = (), note: str = "",
    ) -> Finding:  # fmt: skip
        """Return a finding; it passes if `measured` is at most `limit`, unless `passed` says otherwise."""
        verdict = (measured is not None and measured <= limit) if passed is None else passed
        share = self.share(found)
        return Finding(rule, unit, limit, measured, found, share, verdict, quarantined, tuple(offenders), note)

    def share(self, count: int) -> float:
        """Return a count over the batch's rows; 0 for an empty batch."""
        return count / len(self.bars) if len(self.bars) else 0.0

    def first(self, places: Places, value: Callable[[int], str]) -> list[tuple[str, str]]:
        """Return time and description of the first rows at `places`."""
        return [(instant(self.bars.time[i]), value(int(i))) for i in places[:SHOWN]]


def instant(seconds: Any) -> str:
    """Return an ISO 8601 text, or the bare number where it is out of any calendar."""
    return format_instant(int(seconds)) if 0 <= seconds < CALENDAR_END else str(int(seconds))


def numbers(bars: Bars) -> Floats:
    """Return open, high, low, close, volume_base, volume_quote, shape (6, n)."""
    return np.stack([getattr(bars, name) for name in NUMBERS])


def names_in(texts: Texts) -> list[str]:
    """Return the different texts of a column, sorted; quick where equal ones stand together."""
    heads = texts[np.flatnonzero(np.r_[True, texts[1:] != texts[:-1]])] if len(texts) else texts
    return sorted(set(heads.tolist()))
