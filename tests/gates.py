"""What the tests of the gate share: made-up BTC/USD bars up to one instant, checked at it with the shipped limits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from cryptovol import gate, params
from cryptovol.bars import Bars
from cryptovol.gate import Finding, GateReport
from cryptovol.testing import START
from cryptovol.times import HOUR

N = 2000
AS_OF = START + N * HOUR
LIMITS = params.load(Path("params.yaml")).gate


def check(
    bars: Bars, *, as_of: int = AS_OF, stand_in_quotes: tuple[str, ...] = (), witness: Bars | None = None, **limits: Any
) -> GateReport:
    """Return the gate's report over BTC/USD; some limits may be others than the shipped ones."""
    own = replace(LIMITS, **limits)
    return gate.check(
        bars, as_of=as_of, params=own, symbol="BTC", quote="USD", stand_in_quotes=stand_in_quotes, witness=witness
    )


def finding(report: GateReport, rule: str) -> Finding:
    """Return what one rule found."""
    return next(each for each in report.findings if each.rule == rule)
