"""The gate: each rule at, below and past its limit, and reports that a person can read safely."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryptovol import bars as bars_module
from cryptovol import gate, gate_report, tables
from cryptovol.bars import NUMBERS, Bars
from cryptovol.gate import Finding, GateReport
from cryptovol.params import Params
from cryptovol.testing import START, make_bars
from cryptovol.times import HOUR

N = 2000
AS_OF = START + N * HOUR
Change = Callable[[Bars], Bars]


@pytest.fixture
def check(params: Params) -> Callable[..., GateReport]:
    """Return the gate over BTC/USD at the end of the made-up bars."""

    def run(bars: Bars, *, as_of: int = AS_OF, **limits: Any) -> GateReport:
        return gate.check(bars, as_of=as_of, params=replace(params.gate, **limits), symbol="BTC", quote="USD")

    return run


def _set(name: str, rows: Any, value: Any) -> Change:
    """Return a change of one column at some rows."""

    def change(bars: Bars) -> Bars:
        column = getattr(bars, name).copy()
        if column.dtype.kind == "U":
            column = column.astype("<U12")
        column[rows] = value
        return replace(bars, **{name: column})

    return change


def _drop(rows: Any) -> Change:
    return lambda bars: bars.take(np.delete(np.arange(len(bars)), rows))


def _repeat(row: int) -> Change:
    return lambda bars: bars.take(np.insert(np.arange(len(bars)), row, row))


def _swap(row: int) -> Change:
    def change(bars: Bars) -> Bars:
        order = np.arange(len(bars))
        order[[row, row + 1]] = order[[row + 1, row]]
        return bars.take(order)

    return change


def _freeze(first: int, hours: int) -> Change:
    def change(bars: Bars) -> Bars:
        level = bars.close[first]
        for name in ("open", "high", "low", "close"):
            bars = _set(name, slice(first, first + hours), level)(bars)
        return bars

    return change


def _finding(report: GateReport, rule: str) -> Finding:
    return next(finding for finding in report.findings if finding.rule == rule)


def test_gate_passes_faultless_bars(check: Callable[..., GateReport]) -> None:
    """Bars without a fault pass with nothing found and nothing quarantined."""
    report = check(make_bars(N))
    assert not report.refused and report.clean.all() and not any(report.counts.values())


# Each fault: the change, the rule that must find it, how many rows it finds, and whether the batch is refused.
FAULTS: dict[str, tuple[Change, str, int, bool]] = {
    "19 nulls of 2000 are under 1 %": (_set("close", slice(50, 69), np.nan), "nulls", 19, False),
    "20 nulls of 2000 are 1 % and too many": (_set("close", slice(50, 70), np.nan), "nulls", 20, True),
    "an infinite price is a null": (_set("high", 50, np.inf), "nulls", 1, False),
    "2 bad ranges of 2000 are at the limit": (_set("high", [50, 60], 1.0), "range", 2, False),
    "3 bad ranges of 2000 are past it": (_set("high", [50, 60, 70], 1.0), "range", 3, True),
    "a price of 0": (_set("low", 50, 0.0), "range", 1, False),
    "a negative volume": (_set("volume_base", 50, -1.0), "range", 1, False),
    "low above the close": (_set("low", 50, 1e6), "range", 1, False),
    "a row of another symbol": (_set("symbol", 50, "ETH"), "foreign", 1, True),
    "a row of another quote": (_set("quote", 50, "EUR"), "foreign", 1, True),
    "a repeated hour": (_repeat(50), "duplicates", 1, True),
    "a newer row before an older one": (_swap(50), "disorder", 1, True),
    "a time off the hour": (_set("time", 50, START + 50 * HOUR + 1), "schema", 1, True),
    "a bar that has not closed": (_set("time", -1, AS_OF), "future", 1, True),
    "12 frozen hours are at the limit": (_freeze(50, 12), "frozen", 0, False),
    "13 frozen hours are past it": (_freeze(50, 13), "frozen", 13, True),
    "40 hours without trade of 2000 are at the limit": (
        _set("volume_base", slice(50, 90), 0.0),
        "zero_volume",
        40,
        False,
    ),
    "41 hours without trade are past it": (_set("volume_base", slice(50, 91), 0.0), "zero_volume", 41, True),
    "40 missing hours of 2000 are at the limit": (_drop(slice(50, 90)), "gaps", 40, False),
    "41 missing hours are past it": (_drop(slice(50, 91)), "gaps", 41, True),
    "48 missing hours in one gap are at the limit": (_drop(slice(50, 98)), "longest_gap", 0, True),
    "49 hours in one gap are past it": (_drop(slice(50, 99)), "longest_gap", 49, True),
    "newest bar closed 2 h ago": (_drop([-1, -2]), "freshness", 0, False),
    "newest bar closed 3 h ago": (_drop([-1, -2, -3]), "freshness", 3, True),
    "newest bars are null, so nothing is fresh": (_set("close", [-1, -2, -3], np.nan), "freshness", 3, True),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_gate_counts_each_fault_under_its_rule(fault: str, check: Callable[..., GateReport]) -> None:
    """Every fault is found by its rule, counted, and refused exactly when past the limit."""
    change, rule, found, refused = FAULTS[fault]
    report = check(change(make_bars(N)))
    finding = _finding(report, rule)
    assert (finding.found, report.refused) == (found, refused)
    assert bool(report.reasons) == refused
    if refused and rule != "longest_gap":
        assert not finding.passed


def test_gate_limit_of_longest_gap_is_inclusive(check: Callable[..., GateReport]) -> None:
    """A gap of just the limit passes the rule; one hour more does not."""
    assert _finding(check(_drop(slice(50, 98))(make_bars(N))), "longest_gap").passed
    assert not _finding(check(_drop(slice(50, 99))(make_bars(N))), "longest_gap").passed


def test_gate_names_first_offenders_with_time_and_value(check: Callable[..., GateReport]) -> None:
    """A finding lists the first five offenders, oldest first, with what was found there."""
    finding = _finding(check(_set("close", slice(50, 59), np.nan)(make_bars(N))), "nulls")
    assert len(finding.offenders) == 5
    assert finding.offenders[0] == ("2024-01-03T02:00:00Z", "no close")
    assert finding.note == "close 9"


def test_gate_quarantines_a_wrong_tick_alone(check: Callable[..., GateReport]) -> None:
    """A tick that is twice the price makes two large returns; only the tick is taken out."""
    bars = make_bars(N)
    for name in ("open", "high", "low", "close"):
        bars = _set(name, 70, 2 * getattr(bars, name)[70])(bars)
    report = check(bars)
    assert np.flatnonzero(~report.clean).tolist() == [70] and report.rule_of[70] == "log_return"


def test_gate_quarantines_one_row_of_a_level_shift(check: Callable[..., GateReport]) -> None:
    """A price that doubles and stays is one large return, not a thousand."""
    bars = make_bars(N)
    for name in ("open", "high", "low", "close"):
        bars = _set(name, slice(1000, None), 2 * getattr(bars, name)[1000:])(bars)
    assert check(bars).counts["log_return"] == 1


def test_gate_finds_a_nonsense_open(check: Callable[..., GateReport]) -> None:
    """A move inside one hour counts like one between hours."""
    bars = make_bars(N)
    bars = _set("high", 0, 4 * bars.close[0])(_set("open", 0, 4 * bars.close[0])(bars))
    assert check(bars).rule_of[0] == "log_return"


def test_gate_lets_a_price_move_further_over_a_gap(check: Callable[..., GateReport]) -> None:
    """Over 25 hours the limit is five times that of one hour."""
    bars = make_bars(N)
    for name in ("open", "high", "low", "close"):
        bars = _set(name, slice(1000, None), 3 * getattr(bars, name)[1000:])(bars)
    assert check(_drop(slice(975, 1000))(bars)).counts["log_return"] == 0
    assert check(bars).counts["log_return"] == 1


def test_gate_counts_a_row_once_under_the_first_rule(check: Callable[..., GateReport]) -> None:
    """A row that breaks three rules is one row of one rule."""
    bars = _set("volume_base", 50, 0.0)(_set("low", 50, -1.0)(_set("close", 50, np.nan)(make_bars(N))))
    report = check(bars)
    assert sum(report.counts.values()) == 1 and report.rule_of[50] == "nulls"


def test_gate_keeps_the_last_of_repeated_hours(check: Callable[..., GateReport]) -> None:
    """Of two rows of one hour the later one counts."""
    report = check(_repeat(50)(make_bars(N)), duplicate_share=0.01)
    assert not report.refused and np.flatnonzero(~report.clean).tolist() == [50]


@pytest.mark.parametrize(("rows", "refused"), [(slice(None), False), (slice(0, 800), False), (slice(0, 100), True)])
def test_gate_allows_quote_volume_to_be_absent_but_not_broken(
    rows: slice, refused: bool, check: Callable[..., GateReport]
) -> None:
    """A source may never give quote volume, or begin late; a hundred hours without it are a fault."""
    report = check(_set("volume_quote", rows, np.nan)(make_bars(N)))
    assert report.refused == refused
    if not refused:
        assert "not given by the source" in _finding(report, "nulls").note and report.clean.all()


def test_gate_judges_absent_quote_volume_by_source(check: Callable[..., GateReport]) -> None:
    """Of two sources in turn one may be without quote volume."""
    bars = _set("volume_quote", slice(1900, None), np.nan)(make_bars(N))
    assert check(bars).refused
    assert not check(_set("source", slice(1900, None), "other")(bars)).refused


@pytest.mark.parametrize("n", [0, 1, 2])
def test_gate_gives_a_verdict_on_tiny_batches(n: int, check: Callable[..., GateReport]) -> None:
    """No bars are refused for want of freshness; one or two pass."""
    report = check(make_bars(n), as_of=START + n * HOUR)
    assert report.refused == (n == 0)
    gate_report.as_html(report, make_bars(n))
    json.loads(tables.encode_json(gate_report.as_json(report)))


numbers = st.one_of(st.floats(allow_nan=True, allow_infinity=True), st.sampled_from([0.0, -1.0, 1e308]))


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(-3, 60), st.sampled_from(NUMBERS), numbers), max_size=20), st.integers(0, 80))
def test_gate_never_lets_an_impossible_bar_through(params: Params, faults: list[Any], as_of_hour: int) -> None:
    """Whatever is broken, the clean rows are sorted, unique, closed, finite and in range, and every report is written."""
    bars = make_bars(40)
    for hour, name, value in faults:
        bars = _set(name, hour % 40, value)(bars)
        bars = _set("time", (hour * 7) % 40, START + hour * HOUR)(bars)
    as_of = START + as_of_hour * HOUR
    report = gate.check(bars, as_of=as_of, params=params.gate, symbol="BTC", quote="USD")
    clean = bars.take(report.clean)
    assert (np.diff(clean.time) > 0).all() and (clean.time + HOUR <= as_of).all() and (clean.time > 0).all()
    assert (clean.low > 0).all() and (clean.high >= np.maximum(clean.open, clean.close)).all()
    assert (clean.low <= np.minimum(clean.open, clean.close)).all() and (clean.volume_base > 0).all()
    json.loads(tables.encode_json(gate_report.as_json(report)))
    assert gate_report.as_html(report, bars) and gate_report.as_csv(report, bars)


def test_report_page_is_self_contained_and_escapes_what_a_market_sent(check: Callable[..., GateReport]) -> None:
    """A symbol that is a script stays text, and the page names no other host."""
    bars = _set("symbol", 50, "<script>")(make_bars(N))
    report = check(bars)
    page = gate_report.as_html(report, bars).decode()
    assert "<script>" not in page and "&lt;script&gt;" in page and "refused" in page
    assert "http" not in page.replace("http-equiv", "") and "<svg" in page


def test_report_csv_has_one_row_per_quarantined_bar(check: Callable[..., GateReport]) -> None:
    """The quarantine names the rule, the hour and the numbers as they came."""
    bars = _set("high", [50, 60], 1.0)(make_bars(N))
    lines = gate_report.as_csv(check(bars), bars).decode().splitlines()
    assert lines[0].startswith("rule,opens,time,open,high") and len(lines) == 3
    assert lines[1].startswith("range,2024-01-03T02:00:00Z,") and ",1.0," in lines[1]


def test_gate_refuses_only_by_its_parameters(check: Callable[..., GateReport]) -> None:
    """A wider limit lets the same batch pass."""
    bars = bars_module.concat([make_bars(N)])
    frozen = _freeze(50, 13)(bars)
    assert check(frozen).refused and not check(frozen, frozen_hours=13).refused
