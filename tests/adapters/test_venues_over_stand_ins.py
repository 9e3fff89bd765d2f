"""The real clients against the stand-in servers: in every venue's shape, the bars that go in come out."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from cryptovol import bars as bars_module
from cryptovol.adapters.sources.venue import VenueSource
from cryptovol.bars import NUMBERS, Bars
from cryptovol.errors import AccessError, OutOfReachError, UnknownSymbolError
from cryptovol.market import simulated
from cryptovol.market.markets import SimulatedMarket
from cryptovol.market.server import serve
from cryptovol.params import Params
from cryptovol.ports import Origin
from cryptovol.settings import VENUES
from cryptovol.testing import make_bars
from cryptovol.times import HOUR
from tests.adapters.scripted import HOUR_NOW, KEY, NOW, QUOTES, client

N = 700  # hours; Kraken keeps 720
START = HOUR_NOW - N * HOUR
Serve = Callable[..., str]


def market_bars() -> Bars:
    """Return hours with a few of them missing, the last one still in progress."""
    whole = make_bars(N + 1, start=START)
    return whole.take(~np.isin(np.arange(N + 1), [3, 77, 78, 79, 300, N - 1]))


@pytest.mark.parametrize("page_bars", [61, 2000])
@pytest.mark.parametrize("venue", VENUES)
def test_every_closed_bar_comes_once_and_whole(venue: str, page_bars: int, stand_in: Serve) -> None:
    """Gaps stay gaps, the unfinished bar stays out, and no number is lost but what a venue does not give."""
    held, quote = market_bars(), QUOTES.get(venue, "USD")
    source = client(venue, stand_in(venue, quote=quote, bars=held), [], page_bars=page_bars)
    assert source.origin("BTC", quote) == Origin(venue, "live")
    found = bars_module.concat(source.pages("BTC", quote, start=START, end=NOW))
    closed = held.closed_by(HOUR_NOW)
    assert found.time.tolist() == closed.time.tolist()
    given = [name for name in NUMBERS if venue != "coinbase" or name != "volume_quote"]
    for name in given:
        np.testing.assert_allclose(getattr(found, name), getattr(closed, name), rtol=1e-9)
    assert venue != "coinbase" or np.isnan(found.volume_quote).all()
    assert set(found.source.tolist()) == {venue} and set(found.quote.tolist()) == {quote}
    assert not source.dropped["repeated"] and not source.dropped["padded"]


@pytest.mark.parametrize("venue", VENUES)
def test_a_declared_stand_in_is_known_in_every_shape(venue: str, stand_in: Serve) -> None:
    """A server that says that it is one gives its own name and market to every row."""
    quote = QUOTES.get(venue, "USD")
    source = client(venue, stand_in(venue, quote=quote, declared=True), [])
    assert source.origin("BTC", quote) == Origin("fixed", "test")
    (page,) = source.pages("BTC", quote, start=HOUR_NOW - 5 * HOUR, end=HOUR_NOW)
    assert set(page.source.tolist()) == {"fixed"} and set(page.fetched_at.tolist()) == {HOUR_NOW}


@pytest.mark.parametrize("venue", VENUES)
def test_an_unknown_pair_is_known_as_such_in_every_shape(venue: str, stand_in: Serve) -> None:
    """An unknown coin, and a known one in another currency, are unknown symbols."""
    source = client(venue, stand_in(venue, quote=QUOTES.get(venue, "USD")), [])
    for symbol, quote in (("NOPE", QUOTES.get(venue, "USD")), ("BTC", "EUR")):
        with pytest.raises(UnknownSymbolError, match=f"{symbol}/{quote}"):
            source.origin(symbol, quote)


@pytest.mark.parametrize("venue", ["cryptocompare", "coindesk"])
def test_a_key_is_what_opens_a_server_that_wants_one(venue: str, stand_in: Serve) -> None:
    """Without it, and with another, we are refused; with it the bars come."""
    url = stand_in(venue, key=KEY)
    for key in ("", "another"):
        with pytest.raises(AccessError, match="CRYPTOVOL_CRYPTOCOMPARE_KEY"):
            client(venue, url, [], key=key).origin("BTC", "USD")
    assert client(venue, url, [], key=KEY).origin("BTC", "USD") == Origin(venue, "live")


def test_kraken_tells_by_its_answer_that_older_hours_are_gone(stand_in: Serve) -> None:
    """A stand-in of another time is not held against our clock; its full answer says how far back it goes."""
    source = client("kraken", stand_in("kraken", declared=True), [], page_bars=2000)
    source.origin("BTC", "USD")
    with pytest.raises(OutOfReachError, match="from 2025-12-02T11:00:00Z on"):
        list(source.pages("BTC", "USD", start=HOUR_NOW - 900 * HOUR, end=HOUR_NOW))


# ------------------------------------------------------------------ the simulated market


@pytest.fixture
def simulated_source(params: Params) -> Iterator[VenueSource]:
    """Return a client of the simulated market."""
    server = serve(SimulatedMarket(params.market, clock=lambda: NOW), clock=lambda: NOW).start()
    yield client("cryptocompare", server.url, [], page_bars=100)
    server.stop()


def test_the_simulated_market_comes_to_the_last_bit(simulated_source: VenueSource, params: Params) -> None:
    """Every closed bar, and each number as it was made."""
    start = HOUR_NOW - 230 * HOUR
    found = bars_module.concat(simulated_source.pages("BTC", "USD", start=start, end=HOUR_NOW))
    whole = simulated.path(params.market, "BTC", until=HOUR_NOW).between(start, HOUR_NOW)
    assert found.time.tolist() == whole.time.tolist()
    for name in NUMBERS:
        np.testing.assert_array_equal(getattr(found, name), getattr(whole, name))


@pytest.mark.parametrize("end", [HOUR_NOW, NOW, HOUR_NOW + HOUR - 1])
def test_the_unfinished_bar_is_dropped_by_time(simulated_source: VenueSource, end: int) -> None:
    """The hour in progress is never among the bars, whether `end` is now or lies between two hours."""
    pages = list(simulated_source.pages("BTC", "USD", start=HOUR_NOW - 24 * HOUR, end=end))
    assert int(pages[-1].time[-1]) + HOUR == HOUR_NOW
