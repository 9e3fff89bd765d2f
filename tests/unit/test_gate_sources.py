"""Whose bars they are: stand-in quotes, bars read too early, repaired hours, and a second source that differs."""

from dataclasses import replace

import numpy as np
import pytest

from cryptovol.bars import Bars
from cryptovol.testing import START, make_bars
from cryptovol.times import HOUR
from tests.bar_faults import assign, both, drop
from tests.gates import AS_OF, N, check, finding


def second(bars: Bars, *, hours: int = 48) -> Bars:
    """Return the newest bars as another venue would have them: half a per mille off."""
    newest = bars.take(slice(len(bars) - hours, None)).stamped(source="kraken", fetched_at=AS_OF)
    return replace(newest, close=newest.close * 1.0005)


def test_a_venue_is_not_held_against_itself() -> None:
    """Hours that both took from one venue, lent ones among them, prove nothing and are not compared."""
    bars = make_bars(N)
    mixed = assign("source", slice(N - 20, N - 10), "repair:kraken")(assign("source", slice(N - 10, N), "kraken")(bars))
    assert finding(check(mixed, witness=second(bars)), "disagreement").note == "28 hours compared"


def test_a_stand_in_quote_is_not_foreign() -> None:
    """Rows in a currency that stands in pass; in any other they do not."""
    bars = assign("quote", slice(0, 500), "USDT")(make_bars(N))
    assert check(bars, stand_in_quotes=("USDT", "USDC")).clean.all()
    report = check(bars, stand_in_quotes=("USDC",))
    assert report.refused_by == ("foreign",)
    assert report.counts["foreign"] == 500 and finding(report, "foreign").offenders[0][1] == "BTC/USDT"


def test_a_forming_bar_is_quarantined_and_told_with_its_reading_time() -> None:
    """A row read five minutes after its hour began is not that hour's bar."""
    report = check(assign("fetched_at", [50, 74], START + 50 * HOUR + 300)(make_bars(N)))
    assert np.flatnonzero(report.rule_of == "unfinished").tolist() == [50, 74]
    assert finding(report, "unfinished").offenders[0] == ("2024-01-03T02:00:00Z", "read at 2024-01-03T02:05:00Z")
    assert report.refused_by == ("unfinished",) and "unfinished: 2 rows, limit 0 rows" in report.reasons[0]
    assert not check(assign("fetched_at", 50, 0)(make_bars(N)), unfinished_rows=1).refused


def test_repaired_hours_are_counted_and_stay_in() -> None:
    """An hour from a second source is told with its name."""
    report = check(assign("source", [50, 60], "repair:kraken")(make_bars(N)))
    found = finding(report, "repaired")
    assert report.clean.all() and (found.found, found.measured) == (2, 2 / N)
    assert found.offenders[0] == ("2024-01-03T02:00:00Z", "from repair:kraken")


def test_sources_that_agree_pass_and_are_counted() -> None:
    """A second source half a per mille off agrees; the note says how many hours were compared."""
    bars = make_bars(N)
    found = finding(check(bars, witness=second(bars)), "disagreement")
    assert (found.passed, found.measured, found.found, found.note) == (True, 0.0, 0, "48 hours compared")


@pytest.mark.parametrize(("apart", "passed"), [(4, True), (5, False)])
def test_sources_that_differ_are_refused_past_the_share(apart: int, passed: bool) -> None:
    """Of 48 hours 4 may differ, not 5; no row is taken out, for one cannot tell who is right."""
    bars = make_bars(N)
    witness = second(bars)
    report = check(bars, witness=replace(witness, close=witness.close * np.where(np.arange(48) < apart, 1.02, 1.0)))
    found = finding(report, "disagreement")
    assert (found.found, found.measured, found.passed) == (apart, apart / 48, passed)
    assert report.clean.all() and report.refused != passed
    assert report.marks["disagreement"].tolist() == list(range(N - 48, N - 48 + apart))
    own, other = (f"{side.close[-48]:.10g}" for side in (bars, replace(witness, close=witness.close * 1.02)))
    assert found.offenders[0][1] == f"close {own}, kraken says {other}"


def test_only_hours_of_the_same_quote_are_compared() -> None:
    """A dollar is not a tether: its closes are not held against each other."""
    bars = make_bars(N)
    witness = second(bars)
    witness = replace(witness, close=witness.close * 2, quote=np.full(len(witness), "USDT"))
    found = finding(check(bars, stand_in_quotes=("USDT",), witness=witness), "disagreement")
    assert (found.passed, found.measured, found.note) == (True, None, "the second source has none of these hours")


def test_without_a_second_source_the_rule_passes_and_says_so() -> None:
    """None at all is told apart from one without the hours in question."""
    bars = make_bars(N)
    assert finding(check(bars), "disagreement").note == "no second source"
    old = replace(second(bars), time=second(bars).time - N * HOUR)
    for witness in (old, second(bars).take(slice(0, 0)), replace(second(bars), symbol=np.full(48, "ETH"))):
        found = finding(check(bars, witness=witness), "disagreement")
        assert (found.passed, found.measured) == (True, None) and "none of these hours" in found.note


def test_a_faulty_second_source_is_compared_where_it_is_sound() -> None:
    """Empty, negative and forming bars of a second source are left aside; of repeated ones the last counts."""
    bars = make_bars(N)
    change = both(
        assign("close", [0, 1], np.nan), assign("close", 2, -1.0), assign("close", 3, np.inf), assign("fetched_at", 4, 0),
    )  # fmt: skip
    witness = change(second(bars))
    assert finding(check(bars, witness=witness), "disagreement").note == "43 hours compared"
    twice = witness.take(np.r_[10, np.arange(48)])
    twice = replace(twice, close=np.r_[1.0, twice.close[1:]])
    assert finding(check(bars, witness=twice), "disagreement").found == 0


def test_quarantined_rows_are_not_compared() -> None:
    """A row that another rule took out does not count as a disagreement as well."""
    bars = make_bars(N)
    broken = both(assign("high", N - 1, 1.0), drop(N - 2))(bars)
    assert finding(check(broken, witness=second(bars)), "disagreement").note == "46 hours compared"
