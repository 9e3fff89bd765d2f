"""The gate: each rule at, below and past its limit."""

import numpy as np
import pytest

from cryptovol import tables
from cryptovol.gate import report as gate_report
from cryptovol.testing import START, make_bars
from cryptovol.times import HOUR
from tests.bar_faults import Change, assign, both, drop, freeze, repeat, scale, swap
from tests.gates import AS_OF, N, check, finding

RULES = (
    "foreign", "schema", "unfinished", "future", "disorder", "duplicates", "nulls", "range", "log_return",
    "zero_volume", "outlier_return", "outlier_volume", "repaired", "disagreement", "frozen", "gaps", "longest_gap",
    "freshness",
)  # fmt: skip


def test_gate_passes_faultless_bars() -> None:
    """Bars without a fault pass with nothing found and nothing quarantined; the rules run in the agreed order."""
    report = check(make_bars(N))
    assert not report.refused and report.clean.all() and not any(report.counts.values())
    assert tuple(report.counts) == RULES


# Each fault: the change, the rule that must find it, how many rows it finds, and whether the batch is refused.
FAULTS: dict[str, tuple[Change, str, int, bool]] = {
    "19 nulls of 2000 are under 1 %": (assign("close", slice(50, 69), np.nan), "nulls", 19, False),
    "20 nulls of 2000 are 1 % and too many": (assign("close", slice(50, 70), np.nan), "nulls", 20, True),
    "an infinite price is a null": (assign("high", 50, np.inf), "nulls", 1, False),
    "2 bad ranges of 2000 are at the limit": (assign("high", [50, 60], 1.0), "range", 2, False),
    "3 bad ranges of 2000 are past it": (assign("high", [50, 60, 70], 1.0), "range", 3, True),
    "a price of 0": (assign("low", 50, 0.0), "range", 1, False),
    "a negative volume": (assign("volume_base", 50, -1.0), "range", 1, False),
    "low above the close": (assign("low", 50, 1e6), "range", 1, False),
    "a row of another symbol": (assign("symbol", 50, "ETH"), "foreign", 1, True),
    "a row of another quote": (assign("quote", 50, "EUR"), "foreign", 1, True),
    "a repeated hour": (repeat(50), "duplicates", 1, True),
    "a newer row before an older one": (swap(50), "disorder", 1, True),
    "a time off the hour": (assign("time", 50, START + 50 * HOUR + 1), "schema", 1, True),
    "a time out of any calendar": (assign("time", 50, 2**37 // HOUR * HOUR + HOUR), "schema", 1, True),
    "a bar read within its hour": (assign("fetched_at", 50, START + 51 * HOUR - 1), "unfinished", 1, True),
    "a bar read when its hour ended": (assign("fetched_at", 50, START + 51 * HOUR), "unfinished", 0, False),
    "a bar that has not closed": (
        both(assign("time", -1, AS_OF), assign("fetched_at", -1, AS_OF + HOUR)), "future", 1, True,
    ),
    "12 frozen hours are at the limit": (freeze(50, 12), "frozen", 0, False),
    "13 frozen hours are past it": (freeze(50, 13), "frozen", 13, True),
    "40 of 2000 hours without trade are at the limit": (
        assign("volume_base", slice(50, 90), 0.0), "zero_volume", 40, False,
    ),
    "41 hours without trade are past it": (assign("volume_base", slice(50, 91), 0.0), "zero_volume", 41, True),
    "4 of 2000 volumes at a multiple are at the limit": (
        assign("volume_base", slice(500, 504), 1e6), "outlier_volume", 4, False,
    ),
    "5 volumes at a multiple are past it": (assign("volume_base", slice(500, 505), 1e6), "outlier_volume", 5, True),
    "10 of 2000 outlier returns are at the limit": (scale([500, 520, 540, 560, 580], 1.45), "outlier_return", 10, False),
    "12 outlier returns are past it": (scale([500, 520, 540, 560, 580, 600], 1.45), "outlier_return", 12, True),
    "40 of 2000 hours repaired are at the limit": (assign("source", slice(50, 90), "repair:kraken"), "repaired", 40, False),
    "41 hours repaired are past it": (assign("source", slice(50, 91), "repair:kraken"), "repaired", 41, True),
    "40 missing hours of 2000 are at the limit": (drop(slice(50, 90)), "gaps", 40, False),
    "41 missing hours are past it": (drop(slice(50, 91)), "gaps", 41, True),
    "48 missing hours in one gap are at the limit": (drop(slice(50, 98)), "longest_gap", 0, True),
    "49 hours in one gap are past it": (drop(slice(50, 99)), "longest_gap", 49, True),
    "newest bar closed 2 h ago": (drop([-1, -2]), "freshness", 0, False),
    "newest bar closed 3 h ago": (drop([-1, -2, -3]), "freshness", 3, True),
    "newest bars are null, so nothing is fresh": (assign("close", [-1, -2, -3], np.nan), "freshness", 3, True),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_gate_counts_each_fault_under_its_rule(fault: str) -> None:
    """Every fault is found by its rule, counted, and refused exactly when past the limit."""
    change, rule, found, refused = FAULTS[fault]
    report = check(change(make_bars(N)))
    assert (finding(report, rule).found, report.refused) == (found, refused)
    assert bool(report.reasons) == refused
    if refused and rule != "longest_gap":
        assert rule in report.refused_by and not finding(report, rule).passed


def test_gate_limit_of_longest_gap_is_inclusive() -> None:
    """A gap of just the limit passes the rule; one hour more does not."""
    assert finding(check(drop(slice(50, 98))(make_bars(N))), "longest_gap").passed
    assert not finding(check(drop(slice(50, 99))(make_bars(N))), "longest_gap").passed


def test_gate_names_first_offenders_with_time_and_value() -> None:
    """A finding lists the first five offenders, oldest first, with what was found there."""
    found = finding(check(assign("close", slice(50, 59), np.nan)(make_bars(N))), "nulls")
    assert len(found.offenders) == 5
    assert found.offenders[0] == ("2024-01-03T02:00:00Z", "no close")
    assert found.note == "close 9" and found.quarantined


def test_gate_counts_a_row_once_under_the_first_rule() -> None:
    """A row that breaks three rules is one row of one rule."""
    change = both(assign("close", 50, np.nan), assign("low", 50, -1.0), assign("volume_base", 50, 0.0))
    report = check(change(make_bars(N)))
    assert sum(report.counts.values()) == 1 and report.rule_of[50] == "nulls"


def test_gate_keeps_the_last_of_repeated_hours() -> None:
    """Of three rows of one hour the last one counts."""
    report = check(both(repeat(50), repeat(50))(make_bars(N)), duplicate_share=0.01)
    assert not report.refused and np.flatnonzero(~report.clean).tolist() == [50, 51]


@pytest.mark.parametrize(("rows", "refused"), [(slice(None), False), (slice(0, 800), False), (slice(0, 100), True)])
def test_gate_allows_quote_volume_to_be_absent_but_not_broken(rows: slice, refused: bool) -> None:
    """A source may never give quote volume, or begin late; a hundred hours without it are a fault."""
    report = check(assign("volume_quote", rows, np.nan)(make_bars(N)))
    assert report.refused == refused
    if not refused:
        assert "not given by the source" in finding(report, "nulls").note and report.clean.all()


def test_gate_judges_absent_quote_volume_by_source() -> None:
    """Of two sources in turn one may be without quote volume."""
    bars = assign("volume_quote", slice(1900, None), np.nan)(make_bars(N))
    assert check(bars).refused
    assert not check(assign("source", slice(1900, None), "other")(bars)).refused


@pytest.mark.parametrize("n", [0, 1, 2])
def test_gate_gives_a_verdict_on_tiny_batches(n: int) -> None:
    """No bars are refused for want of freshness; one or two pass."""
    report = check(make_bars(n), as_of=START + n * HOUR)
    assert report.refused == (n == 0)
    assert gate_report.as_html(report, make_bars(n)) and tables.encode_json(gate_report.as_json(report))


def test_gate_tells_what_it_cannot_measure_apart() -> None:
    """Without a bar freshness fails, without a second source disagreement passes; neither is a number."""
    report = check(make_bars(0))
    for rule, passed in (("freshness", False), ("disagreement", True)):
        assert (finding(report, rule).measured, finding(report, rule).passed) == (None, passed)
    assert report.refused_by == ("freshness",) and report.reasons == (
        "freshness: nothing to measure, limit 2 h (no bar is left)",
    )


def test_gate_refuses_only_by_its_parameters() -> None:
    """A wider limit lets the same batch pass."""
    frozen = freeze(50, 13)(make_bars(N))
    assert check(frozen).refused and not check(frozen, frozen_hours=13).refused
