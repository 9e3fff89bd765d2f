"""The gate: what must hold of a batch of bars before anything is learned from it.

Rules run in a fixed order, and each looks only at the rows that those before it left over, so a bad row is counted
once, under the first rule that it breaks. Isolated bad rows are quarantined; past a rule's limit the batch is refused.
Rules about the batch as a whole (gaps, frozen prices, freshness) quarantine nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cryptovol.bars import Bars, Mask, Texts
from cryptovol.gate_batch import Batch, Finding
from cryptovol.gate_rules import RULES
from cryptovol.params import GateParams

__all__ = ["Finding", "GateReport", "check"]


@dataclass(frozen=True, eq=False)
class GateReport:
    """The gate's verdict on one batch; `rule_of`, shape (rows,), names the rule that quarantined a row, or is empty."""

    symbol: str
    quote: str
    as_of: int
    rows: int
    findings: tuple[Finding, ...]
    rule_of: Texts

    @property
    def clean(self) -> Mask:
        """The rows that pass, shape (rows,)."""
        return np.asarray(self.rule_of == "", dtype=bool)

    @property
    def refused(self) -> bool:
        """Whether any rule is past its limit."""
        return not all(finding.passed for finding in self.findings)

    @property
    def reasons(self) -> tuple[str, ...]:
        """One sentence per failed rule."""
        return tuple(finding.reason() for finding in self.findings if not finding.passed)

    @property
    def counts(self) -> dict[str, int]:
        """Offenders found by each rule."""
        return {finding.rule: finding.found for finding in self.findings}


def check(bars: Bars, *, as_of: int, params: GateParams, symbol: str, quote: str) -> GateReport:
    """Return the gate's report on a batch.

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
    """
    batch = Batch(bars, as_of, params, symbol, quote)
    findings = [rule(batch) for rule in RULES]
    return GateReport(symbol, quote, as_of, len(bars), tuple(findings), batch.rule_of)
