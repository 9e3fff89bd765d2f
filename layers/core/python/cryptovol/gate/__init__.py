"""The gate: what must hold of a batch of bars before anything is learned from it.

Rules run in a fixed order, and each looks only at the rows that those before it left over, so a bad row is counted
once, under the first rule that it breaks. Isolated bad rows are quarantined; past a rule's limit the batch is refused.
Rules whose offenders may be real (outliers, repaired hours, two sources that differ) or that are about the batch as a
whole (gaps, frozen prices, freshness) only count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cryptovol.bars import Bars, Mask, Texts
from cryptovol.gate.batch import Batch, Finding, Places
from cryptovol.gate.rules import RULES
from cryptovol.params import GateParams

__all__ = ["Finding", "GateReport", "check"]


@dataclass(frozen=True, eq=False)
class GateReport:
    """The gate's verdict on one batch.

    Parameters
    ----------
    symbol, quote, as_of, rows
        What was checked.
    findings
        One per rule, in the rules' order.
    rule_of
        Shape (rows,): the rule that quarantined a row, or an empty text.
    marks
        By rule, the places of the rows that it counted and left in.
    """

    symbol: str
    quote: str
    as_of: int
    rows: int
    findings: tuple[Finding, ...]
    rule_of: Texts
    marks: Mapping[str, Places]

    @property
    def clean(self) -> Mask:
        """The rows that pass, shape (rows,)."""
        return np.asarray(self.rule_of == "", dtype=bool)

    @property
    def refused(self) -> bool:
        """Whether any rule is past its limit."""
        return bool(self.refused_by)

    @property
    def refused_by(self) -> tuple[str, ...]:
        """The names of the rules past their limits."""
        return tuple(finding.rule for finding in self.findings if not finding.passed)

    @property
    def reasons(self) -> tuple[str, ...]:
        """One sentence per failed rule."""
        return tuple(finding.reason() for finding in self.findings if not finding.passed)

    @property
    def counts(self) -> dict[str, int]:
        """Offenders found by each rule."""
        return {finding.rule: finding.found for finding in self.findings}


def check(
    bars: Bars, *, as_of: int, params: GateParams, symbol: str, quote: str, stand_in_quotes: Sequence[str] = (),
    witness: Bars | None = None,
) -> GateReport:  # fmt: skip
    """Return the gate's report on a batch. No bars of any kind make it raise.

    Parameters
    ----------
    bars
        As they came, in any order, of any symbol.
    as_of
        Unix seconds; nothing that closes later may be in the batch.
    params
        The limits.
    symbol, quote
        The pair that every row must be of.
    stand_in_quotes
        Other quote currencies that a row may be in.
    witness
        Bars of the same hours from a second source, or None if there is none; in any order, faults included.
    """
    batch = Batch(bars, as_of, params, symbol, (quote, *stand_in_quotes), witness)
    findings = [rule(batch) for rule in RULES]
    return GateReport(symbol, quote, as_of, len(bars), tuple(findings), batch.rule_of, batch.marks)
