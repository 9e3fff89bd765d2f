"""The gate's rules, in the order in which they run. Each takes a batch, may quarantine rows, and returns a finding."""

from __future__ import annotations

from collections.abc import Callable

from cryptovol.gate.batch import Batch, Finding
from cryptovol.gate.batch_rules import disagreement, freshness, frozen, gaps, longest_gap, repaired
from cryptovol.gate.row_rules import (
    disorder, duplicates, foreign, future, nulls, ranges, schema, unfinished, zero_volume,
)  # fmt: skip
from cryptovol.gate.series_rules import log_returns, outlier_returns, outlier_volumes

RULES: tuple[Callable[[Batch], Finding], ...] = (
    foreign, schema, unfinished, future, disorder, duplicates, nulls, ranges, log_returns, zero_volume,
    outlier_returns, outlier_volumes, repaired, disagreement, frozen, gaps, longest_gap, freshness,
)  # fmt: skip
