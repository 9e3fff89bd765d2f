"""What the gate's rules work on and return: a batch on its way through them, and findings."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryptovol.bars import NUMBERS, Bars, Floats, Mask, Texts
from cryptovol.params import GateParams
from cryptovol.times import format_instant

Places = NDArray[np.intp]
SHOWN = 5  # offenders listed per rule


@dataclass(frozen=True)
class Finding:
    """What one rule found.

    Parameters
    ----------
    rule
        Its name, for instance ``nulls``.
    unit
        What `limit` and `measured` count: ``share`` of the batch, ``rows`` or ``hours``.
    limit, measured
        The rule holds while `measured` is at most (for ``nulls``: below) `limit`; None if nothing could be measured.
    found, share
        Offending rows (or missing hours), and over all rows of the batch.
    passed
        The verdict.
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
    offenders: tuple[tuple[str, str], ...]
    note: str

    def reason(self) -> str:
        """Return the finding as one sentence."""
        measured = "nothing to measure" if self.measured is None else f"{shown(self.measured, self.unit)}"
        first = f", first {self.offenders[0][0]}: {self.offenders[0][1]}" if self.offenders else ""
        note = f" ({self.note})" if self.note else ""
        return f"{self.rule}: {measured}, limit {shown(self.limit, self.unit)}{note}{first}"


def shown(value: float, unit: str) -> str:
    """Return a number as people read it: ``0.35 %``, ``12 h``, ``3 rows``."""
    if unit == "share":
        return f"{100 * value:.4g} %"
    return f"{value:.6g} {'h' if unit == 'hours' else unit}"


class Batch:
    """A batch on its way through the rules: the bars, and which rule has taken which row out."""

    def __init__(self, bars: Bars, as_of: int, params: GateParams, symbol: str, quote: str) -> None:
        self.bars = bars
        self.as_of = as_of
        self.params = params
        self.symbol = symbol
        self.quote = quote
        self.rule_of: Texts = np.full(len(bars), "", dtype="<U12")
        self._left: Mask = np.ones(len(bars), dtype=bool)

    def left(self) -> Places:
        """Return the places of the rows that no rule has taken out, in the batch's order."""
        return np.flatnonzero(self._left)

    def take_out(
        self, rule: str, bad: Places, *, limit: float, unit: str, value: Callable[[int], str], **more: Any
    ) -> Finding:
        """Quarantine the rows at places `bad` and return the finding; `value` describes the row at a place."""
        self.rule_of[bad] = rule
        self._left[bad] = False
        measured = more.pop("measured", None)
        if measured is None:
            measured = self.share(len(bad)) if unit == "share" else float(len(bad))
        return self.finding(
            rule, len(bad), limit=limit, unit=unit, measured=measured, offenders=self.first(bad, value), **more
        )

    def finding(
        self, rule: str, found: int, *, limit: float, unit: str, measured: float | None, passed: bool | None = None,
        offenders: Iterable[tuple[str, str]] = (), note: str = "",
    ) -> Finding:  # fmt: skip
        """Return a finding; it passes if `measured` is at most `limit`, unless `passed` says otherwise."""
        verdict = (measured is not None and measured <= limit) if passed is None else passed
        return Finding(rule, unit, limit, measured, found, self.share(found), verdict, tuple(offenders), note)

    def share(self, count: int) -> float:
        """Return a count over the batch's rows; 0 for an empty batch."""
        return count / len(self.bars) if len(self.bars) else 0.0

    def first(self, places: Places, value: Callable[[int], str]) -> list[tuple[str, str]]:
        """Return time and description of the first rows at `places`."""
        return [(instant(self.bars.time[i]), value(int(i))) for i in places[:SHOWN]]


def instant(seconds: Any) -> str:
    """Return an ISO 8601 text, or the bare number where it is out of any calendar."""
    return format_instant(int(seconds)) if 0 <= seconds < 2**37 else str(int(seconds))


def numbers(bars: Bars) -> Floats:
    """Return open, high, low, close, volume_base, volume_quote, shape (n, 6)."""
    return np.stack([getattr(bars, name) for name in NUMBERS], axis=1) if len(bars) else np.empty((0, 6))
