"""Several venues as one source: who is asked, who goes on where another stops, and what is said when none serves."""

import pytest

from cryptovol.errors import (
    AccessError,
    BarSchemaError,
    ConfigError,
    OutOfReachError,
    RateLimitedError,
    SourceUnavailableError,
    UnknownSymbolError,
)
from cryptovol.ports import Origin
from cryptovol.testing import START, make_bars
from cryptovol.times import HOUR

from tests import venues
from tests.venues import Venue, failover, in_quote, whose

N = 40
END = START + N * HOUR
BARS = make_bars(N)


def fetched(source, *, start=START, end=END, quote="USD"):
    """Return all bars of the whole history, unless told otherwise."""
    return venues.fetched(source, start=start, end=end, quote=quote)


def complete(found):
    """Return whether every hour of the history is there once, in order."""
    return found.time.tolist() == BARS.time.tolist()


@pytest.mark.parametrize(
    "refuses",
    [
        SourceUnavailableError("503"), RateLimitedError("slow", 5.0), AccessError("451"), UnknownSymbolError("no pair"),
        BarSchemaError("not bars"), ConfigError("404"),
    ],
)  # fmt: skip
def test_the_next_venue_is_asked_whatever_the_first_one_says(refuses):
    """No refusal of one venue keeps the others from being asked."""
    source = failover(Venue(BARS, name="one", refuses=refuses), Venue(BARS, name="two"))
    assert source.origin("BTC", "USD") == Origin("two", "live")
    assert whose(fetched(source)) == [("two", N)]


def test_a_venue_that_serves_keeps_the_others_from_being_asked():
    """In the ordinary case the order costs no request."""
    second = Venue(BARS, name="two")
    source = failover(Venue(BARS, name="one"), second)
    assert source.origin("BTC", "USD").source == "one" and complete(fetched(source))
    assert not second.asked_for and not second.asked


def test_the_order_is_gone_through_anew_at_each_origin():
    """A venue that has recovered is the first choice again."""
    first = Venue(BARS, name="one", refuses=SourceUnavailableError("503"))
    source = failover(first, Venue(BARS, name="two"))
    assert source.origin("BTC", "USD").source == "two"
    first.refuses = None
    assert source.origin("BTC", "USD").source == "one"


def test_a_venue_with_an_open_breaker_is_left_alone_and_then_tried_once():
    """After two failures it is not asked; after its time it is."""
    now = [0]
    first = Venue(BARS, name="one", refuses=SourceUnavailableError("503"))
    source = failover(first, Venue(BARS, name="two"), clock=lambda: now[0])
    for _ in range(5):
        assert source.origin("BTC", "USD").source == "two"
    assert len(first.asked_for) == 2
    first.refuses, now[0] = None, 60
    assert source.origin("BTC", "USD").source == "one" and complete(fetched(source))


@pytest.mark.parametrize("refuses", [UnknownSymbolError("no pair"), OutOfReachError("too old")])
def test_a_pair_that_a_venue_lacks_is_no_failure_of_its_health(refuses):
    """However often it is asked for such a pair, it is asked again for others."""
    first = Venue(BARS, name="one", refuses=refuses)
    source = failover(first, Venue(BARS, name="two"))
    for _ in range(5):
        source.origin("BTC", "USD")
    first.refuses = None
    assert source.origin("BTC", "USD").source == "one"


def test_a_venue_that_bars_us_is_not_asked_again():
    """A wrong key or a barred region stays so for as long as the process lives."""
    first = Venue(BARS, name="one", refuses=AccessError("451"))
    source = failover(first, Venue(BARS, name="two"))
    for symbol in ("BTC", "ETH", "BTC"):
        try:
            source.origin(symbol, "USD")
        except AccessError as error:
            assert symbol == "ETH" and "one: 451" in str(error)
    assert first.asked_for == [("BTC", "USD")]


def test_a_venue_that_breaks_off_again_and_again_is_left_alone():
    """It answers each time, and is skipped all the same once it has failed twice to bring its bars."""
    first = Venue(BARS, name="one", breaks=3)
    source = failover(first, Venue(BARS, name="two"))
    for expected in ("one", "one", "two"):
        assert source.origin("BTC", "USD").source == expected and complete(fetched(source))


def test_a_stand_in_quote_is_asked_for_where_no_venue_has_the_one_wanted():
    """All venues are tried in the one before any is in the other; rows keep the quote they came in."""
    tether = in_quote(BARS, "USDT")
    source = failover(Venue(tether, name="one"), Venue(BARS, name="two"), stand_ins=("USDT",))
    assert source.origin("BTC", "USD").source == "two"
    source = failover(Venue(BARS, name="one"), Venue(tether, name="two"), stand_ins=("USDC", "USDT"))
    assert source.origin("BTC", "EUR").source == "two"
    found = fetched(source, quote="EUR")
    assert complete(found) and set(found.quote) == {"USDT"}


def test_without_a_stand_in_quote_the_wanted_one_is_unknown():
    """Tether is not the dollar unless the parameters say so."""
    with pytest.raises(UnknownSymbolError, match="no market source serves BTC/USD: one: .*; two: "):
        failover(*(Venue(in_quote(BARS, "USDT"), name=name) for name in ("one", "two"))).origin("BTC", "USD")


def test_a_venue_out_of_order_is_not_asked_again_in_a_stand_in_quote():
    """It has just failed; another currency does not mend it."""
    down = Venue(BARS, name="one", refuses=SourceUnavailableError("503"))
    source = failover(down, Venue(in_quote(BARS, "USDT"), name="two"), stand_ins=("USDT",))
    assert source.origin("BTC", "USD").source == "two" and down.asked_for == [("BTC", "USD")]


UNKNOWN, BARRED, DOWN = UnknownSymbolError("no pair"), AccessError("key. Cure: buy one"), SourceUnavailableError("503")
SLOW, SLOWER = RateLimitedError("wait", 9.0), RateLimitedError("wait", 30.0)


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ((UNKNOWN, UNKNOWN), UnknownSymbolError), ((UNKNOWN, BARRED), AccessError), ((BARRED, DOWN), SourceUnavailableError),
        ((UNKNOWN, BarSchemaError("odd")), BarSchemaError), ((UNKNOWN, ConfigError("404")), ConfigError),
        ((SLOWER, SLOW), RateLimitedError), ((SLOW, DOWN), SourceUnavailableError),
    ],
)  # fmt: skip
def test_when_nobody_serves_the_most_telling_error_lists_what_each_said(said, kind):
    """What may pass comes before what a person must mend; a symbol is unknown only if everyone says so."""
    with pytest.raises(kind) as caught:
        failover(Venue(BARS, name="one", refuses=said[0]), Venue(BARS, name="two", refuses=said[1])).origin(
            "BTC", "USD"
        )
    assert caught.type is kind and "one: " in str(caught.value) and "two: " in str(caught.value)
    assert ("Cure: buy one" in str(caught.value)) == (kind is AccessError)
    assert not isinstance(caught.value, RateLimitedError) or caught.value.retry_after == 9.0


def test_a_single_venue_speaks_for_itself():
    """Its own error is raised, not a list of one."""
    with pytest.raises(AccessError, match="^key. Cure"):
        failover(Venue(BARS, name="one", refuses=BARRED)).origin("BTC", "USD")


def test_no_venue_at_all_is_a_wrong_setting():
    """The cure names the parameter."""
    with pytest.raises(ConfigError, match=r"no market source is set up.*sources\.order"):
        failover().origin("BTC", "USD")


def test_no_further_venue_is_tried_once_the_time_is_used_up():
    """What is left of the budget is nobody's; and a call cut short by it says nothing of the venue's health."""
    left = [0.0]
    first = Venue(BARS, name="one", refuses=SourceUnavailableError("no time"))
    second = Venue(BARS, name="two")
    source = failover(first, second, left=lambda: left[0])
    for _ in range(3):
        with pytest.raises(SourceUnavailableError, match="^no time"):
            source.origin("BTC", "USD")
    assert not second.asked_for
    first.refuses, first.breaks = None, 5
    with pytest.raises(SourceUnavailableError, match="broke off"):
        fetched(source)
    assert not second.asked_for
    left[0], first.breaks = 9.0, None
    assert source.origin("BTC", "USD").source == "one"
