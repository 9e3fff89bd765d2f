"""Where one venue stops another goes on: no hour is lost, none comes twice."""

import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryptovol.errors import OutOfReachError, SourceUnavailableError, UnknownSymbolError
from cryptovol.testing import START, make_bars
from cryptovol.times import HOUR

from tests import venues
from tests.venues import Venue, failover, until, whose

N = 40
END = START + N * HOUR
BARS = make_bars(N)


def fetched(source, *, start=START, end=END, quote="USD"):
    """Return all bars of the whole history, unless told otherwise."""
    return venues.fetched(source, start=start, end=end, quote=quote)


def complete(found):
    """Return whether every hour of the history is there once, in order."""
    return found.time.tolist() == BARS.time.tolist()


def test_what_breaks_off_is_gone_on_with_from_the_hour_after_the_last_bar(caplog):
    """Nothing is lost or doubled at the seam, and it is said who goes on, and from when."""
    caplog.set_level(logging.WARNING)
    second = Venue(BARS, name="two")
    found = fetched(failover(Venue(BARS, name="one", breaks=13), second))
    assert complete(found) and whose(found) == [("one", 13), ("two", N - 13)]
    assert second.asked == [(START + 13 * HOUR, END)] and "two goes on from 2024-01-01T13:00:00Z" in caplog.text


@pytest.mark.parametrize(("hours", "rest"), [(N - 3, 3), (N - 2, 0), (N, 0)])
def test_a_stale_venue_hands_over_for_the_rest(hours, rest):
    """Newer than the freshness limit at the end is fresh enough; older is not."""
    found = fetched(failover(Venue(until(BARS, hours), name="one"), Venue(BARS, name="two")))
    assert whose(found) == ([("one", hours), ("two", rest)] if rest else [("one", hours)])


def test_an_empty_answer_hands_over_even_for_the_newest_hour():
    """A venue without a single bar of the interval has not served it."""
    found = fetched(failover(Venue(until(BARS, 9), name="one"), Venue(BARS, name="two")), start=END - HOUR)
    assert whose(found) == [("two", 1)]


def test_hours_that_a_venue_does_not_keep_come_from_the_next():
    """Being asked for too much does not count against it."""
    first = Venue(BARS, name="one", breaks=0, error=OutOfReachError("keeps 30 days"))
    source = failover(first, Venue(BARS, name="two"))
    for _ in range(4):
        assert source.origin("BTC", "USD").source == "one" and whose(fetched(source)) == [("two", N)]


def test_a_venue_that_was_down_from_the_beginning_is_told_of_too():
    """Hours out of reach of the venue that is left may be had again from the one that is down: a retry helps."""
    down = Venue(BARS, name="one", refuses=SourceUnavailableError("503"))
    short = Venue(BARS, name="two", breaks=0, error=OutOfReachError("keeps 30 days"))
    with pytest.raises(SourceUnavailableError, match="one: 503; two: keeps 30 days"):
        fetched(failover(down, short))


def test_what_came_stands_where_no_later_venue_has_more():
    """All being stale, or the others out of order, is not an error: the reader sees how old the bars are."""
    stale = Venue(until(BARS, 20), name="one")
    others = [Venue(until(BARS, 10), name="two"), Venue(BARS, name="three", refuses=SourceUnavailableError("503"))]
    assert whose(fetched(failover(stale, *others))) == [("one", 20)]


def test_an_outage_that_nobody_can_fill_is_raised_after_what_came():
    """Half a history must not pass for a whole one."""
    pages = failover(Venue(BARS, name="one", breaks=15), Venue(until(BARS, 10), name="two")).pages(
        "BTC", "USD", start=START, end=END
    )
    came = [len(next(pages)) for _ in range(3)]
    with pytest.raises(SourceUnavailableError, match="broke off"):
        next(pages)
    assert sum(came) == 15


def test_venues_of_another_market_do_not_go_on():
    """Live bars and made-up ones never stand in one history."""
    other = Venue(BARS, name="two", market="simulated")
    with pytest.raises(SourceUnavailableError, match="one: the answer broke off; two: .*'simulated', not 'live'"):
        fetched(failover(Venue(BARS, name="one", breaks=5), other))
    assert whose(fetched(failover(Venue(until(BARS, 5), name="one"), other))) == [("one", 5)]


def test_an_interval_without_a_full_hour_asks_nobody_for_pages():
    """There is nothing that could be missing."""
    venues = [Venue(BARS, name="one"), Venue(BARS, name="two")]
    source = failover(*venues)
    source.origin("BTC", "USD")
    assert not len(fetched(source, start=END, end=END)) and not venues[0].asked and not venues[1].asked_for


outages = st.tuples(st.integers(0, N), st.booleans(), st.integers(1, 11), st.booleans())


@settings(max_examples=200, deadline=None)
@given(plan=st.lists(outages, min_size=1, max_size=4), start=st.integers(0, N - 1), beside=st.integers(0, HOUR - 1))
def test_every_hour_that_some_venue_has_comes_exactly_once(plan, start, beside):
    """Whichever venue stops where, breaking off or ending: no hour is lost or doubled, and only a lack is raised."""
    venues = [
        Venue(
            until(BARS, hours) if ends else BARS,
            name=f"v{i}",
            page_bars=page,
            breaks=None if ends else hours,
            early=early,
        )
        for i, (hours, ends, page, early) in enumerate(plan)
    ]
    begun = START + start * HOUR - beside * (start > 0)
    found, raised = [], False
    try:
        for page in failover(*venues, freshness_hours=0).pages("BTC", "USD", start=begun, end=END + beside):
            found += page.time.tolist()
    except (SourceUnavailableError, UnknownSymbolError):
        raised = True
    known = [(hours, ends) for hours, ends, *_ in plan if hours or not ends]
    reached = max([start, *(hours for hours, _ in known)])
    assert found == [START + hour * HOUR for hour in range(start, reached)]
    broke = any(not ends for _, ends in known)
    assert raised == (not known or (reached < N and broke))
