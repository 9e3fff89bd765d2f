"""Any venue's client: paging, dropping by time with every row counted, and stamping."""

import json
import logging
from typing import Any

import numpy as np
import pytest

from cryptovol.adapters.sources.dialect import Ask, Rows
from cryptovol.adapters.sources.venue import VenueSource, tidied
from cryptovol.adapters.sources.venues import DIALECTS
from cryptovol.bars import Bars
from cryptovol.errors import BarSchemaError, ConfigError, OutOfReachError, UnknownSymbolError
from cryptovol.ports import BarSource, Origin
from cryptovol.settings import VENUES
from cryptovol.times import HOUR
from tests.adapters.scripted import ENCODED, HOUR_NOW, NOW, QUOTES, Script, client, coinbase, histohour, kraken, row

MADE_UP: dict[str, Any] = {"X_Cryptovol_Market": "simulated", "X_Cryptovol_Source": "made-up"}


def pages(source: VenueSource, start: int, end: int, symbol: str = "BTC", quote: str = "") -> list[Bars]:
    """Return the pages of so many hours around the one in progress."""
    wanted = dict(start=HOUR_NOW + start * HOUR, end=HOUR_NOW + end * HOUR)
    return list(source.pages(symbol, quote or QUOTES.get(source.name, "USD"), **wanted))


@pytest.mark.parametrize("venue", VENUES)
def test_a_venue_is_live_and_its_bars_are_stamped_with_the_clock(
    venue: str, script: Script, waits: list[float]
) -> None:
    """Without a market header the bars are the venue's own."""
    script.add(ENCODED[venue]([row(-1), row(0)]))
    source = client(venue, script.url, waits)
    assert source.origin("BTC", QUOTES.get(venue, "USD")) == Origin(venue, "live")
    (page,) = pages(source, -1, 0)
    assert page.time.tolist() == [HOUR_NOW - HOUR] and page.fetched_at.tolist() == [NOW]
    assert (page.open[0], page.high[0], page.low[0], page.close[0], page.volume_base[0]) == (2, 4, 1, 3, 5)
    assert page.source[0] == venue and page.quote[0] == QUOTES.get(venue, "USD")
    assert np.isnan(page.volume_quote[0]) if venue == "coinbase" else page.volume_quote[0] == 10


def test_made_up_bars_are_stamped_with_the_events_time(script: Script, waits: list[float]) -> None:
    """A stand-in's bars carry its name and the `end` asked for, whatever the clock: the same event, the same rows."""
    script.add(histohour([row(40), row(41)]), **MADE_UP)
    source = client("cryptocompare", script.url, waits)
    assert source.origin("BTC", "USD") == Origin("made-up", "simulated")
    (page,) = pages(source, 40, 42)
    assert len(page) == 2 and set(page.source.tolist()) == {"made-up"}
    assert set(page.fetched_at.tolist()) == {HOUR_NOW + 42 * HOUR}


def test_pages_go_forward_window_by_window(script: Script, waits: list[float]) -> None:
    """Each window asks for its own hours and ends where the next one begins."""
    script.add(histohour([]))
    assert pages(client("cryptocompare", script.url, waits), -25, 0) == []
    asked = [(int(q["limit"]), (int(q["toTs"]) - HOUR_NOW) // HOUR) for q in script.asked]
    assert asked == [(10, -15), (10, -5), (5, 0)]


def test_a_venue_with_a_smaller_page_gives_its_own(script: Script, waits: list[float]) -> None:
    """Asked for 2000 bars a page, Coinbase is asked for 300 at a time."""
    script.add([])
    assert pages(client("coinbase", script.url, waits, page_bars=2000), -650, 0) == []
    assert len(script.asked) == 3


def test_nothing_is_asked_for_an_empty_interval(script: Script, waits: list[float]) -> None:
    """Less than an hour has no bar."""
    source = client("cryptocompare", script.url, waits)
    assert pages(source, 0, 0) == [] and list(source.pages("BTC", "USD", start=NOW, end=NOW + 1800)) == []
    assert not script.asked


def test_a_live_bar_is_taken_only_when_it_has_closed(script: Script, waits: list[float]) -> None:
    """Asked up to an hour that is still to come, the client keeps what has closed by its own clock."""
    script.add(histohour([row(-1), row(0), row(1)]))
    source = client("cryptocompare", script.url, waits)
    (page,) = pages(source, -1, 3)
    assert page.time.tolist() == [HOUR_NOW - HOUR] and source.dropped == {"unfinished": 2}


def test_the_newest_row_of_an_answer_that_ends_early_waits_for_a_later_one(
    script: Script, waits: list[float], caplog: Any
) -> None:
    """An old answer's newest hour may have been in progress: it is left out, unless the next page goes beyond it."""
    script.add(histohour([row(-25), row(-20)]))
    script.add(histohour([row(-10), row(-9)]))
    script.add(histohour([]))
    source = client("cryptocompare", script.url, waits)
    taken = [(t - HOUR_NOW) // HOUR for page in pages(source, -25, 0) for t in page.time.tolist()]
    assert taken == [-25, -20, -10] and source.dropped == {"unproven": 1}
    assert "1 newest of an answer that ends early" in caplog.records[-1].getMessage()


def test_the_one_unfinished_row_of_a_page_is_no_news(script: Script, waits: list[float], caplog: Any) -> None:
    """It is counted, and not logged."""
    script.add(histohour([row(-2), row(-1), row(0)]))
    source = client("cryptocompare", script.url, waits)
    (page,) = pages(source, -2, 0)
    assert len(page) == 2 and source.dropped == {"unfinished": 1} and not caplog.records


def test_every_other_row_that_is_dropped_is_counted_and_logged(script: Script, waits: list[float], caplog: Any) -> None:
    """Rows beside the hours, repeats and more than one unfinished row are in one line, by reason."""
    rows = [row(-1), row(-3), row(-9), row(-2), row(-2), row(-2), row(0), row(0), row(5)]
    script.add(histohour(rows))
    source = client("cryptocompare", script.url, waits)
    (page,) = pages(source, -3, 0)
    assert page.time.tolist() == [HOUR_NOW - i * HOUR for i in (3, 2, 1)]
    assert source.dropped == {"unfinished": 2, "beside": 2, "repeated": 2}
    said = "cryptocompare, BTC/USD: dropped rows: 2 outside of the hours asked for, 2 given twice, 1 not closed yet"
    assert [record.getMessage() for record in caplog.records] == [said]


def test_what_is_dropped_is_told_even_if_the_pages_are_left_early(
    script: Script, waits: list[float], caplog: Any
) -> None:
    """A caller that stops after the first page still leaves a line in the log."""
    script.add(histohour([row(-20), row(-11), row(-50)]))
    found = client("cryptocompare", script.url, waits).pages(
        "BTC", "USD", start=HOUR_NOW - 20 * HOUR, end=HOUR_NOW
    )  # fmt: skip
    next(found)
    found.close()  # type: ignore[attr-defined]
    assert "1 outside of the hours asked for" in caplog.text


def zeros(hour: int) -> Any:
    """Return a row of nothing but zeros."""
    return (HOUR_NOW + hour * HOUR, 0, 0, 0, 0, 0, 0)


def test_padding_before_a_listing_is_dropped_and_zeros_later_are_kept(
    script: Script, waits: list[float], caplog: Any
) -> None:
    """Only the rows of zeros before the first other one are padding; the gate has to see the others."""
    script.add(histohour([zeros(-5), zeros(-4), row(-3), zeros(-2), row(-1)]))
    source = client("cryptocompare", script.url, waits)
    (page,) = pages(source, -5, 0)
    assert page.close.tolist() == [3.0, 0.0, 3.0] and source.dropped == {"padded": 2}
    assert "2 of zeros before the listing" in caplog.text


def test_a_page_of_padding_alone_is_no_page(script: Script, waits: list[float]) -> None:
    """A window wholly before the listing gives nothing."""
    script.add(histohour([zeros(-2), zeros(-1)]))
    source = client("cryptocompare", script.url, waits)
    assert pages(source, -2, 0) == [] and source.dropped == {"padded": 2}


def test_kraken_is_refused_hours_it_has_let_go_before_it_is_asked(script: Script, waits: list[float]) -> None:
    """The oldest hour a live Kraken has is known without asking; one later is asked for."""
    script.add(kraken([row(-1), row(0)]))
    source = client("kraken", script.url, waits, page_bars=2000)
    with pytest.raises(
        OutOfReachError, match="from 2025-12-02T11:00:00Z on.*was asked for from 2025-12-02T10:00:00Z.*Cure"
    ):
        pages(source, -720, 0)
    assert not script.asked and len(pages(source, -719, 0)) == 1 and len(script.asked) == 1


def test_a_stand_in_for_kraken_has_a_time_of_its_own(script: Script, waits: list[float]) -> None:
    """Hours are not held against our clock if the server plays an older market."""
    script.add(kraken([row(-5000), row(-4999)]), **MADE_UP)
    source = client("kraken", script.url, waits)
    source.origin("BTC", "USD")
    assert len(pages(source, -5000, -4999)[0]) == 1


def test_rows_after_the_end_are_usual_where_there_is_none_to_ask_for(
    script: Script, waits: list[float], caplog: Any
) -> None:
    """Kraken always answers up to now; that is counted, and logged as no warning."""
    script.add(kraken([row(-9), row(-8), row(-7), row(0)]))
    source = client("kraken", script.url, waits)
    with caplog.at_level(logging.INFO, logger="cryptovol"):
        (page,) = pages(source, -9, -8)
    assert len(page) == 1 and source.dropped == {"beside": 2, "unfinished": 1}
    assert [record.levelname for record in caplog.records] == ["INFO"]


def test_newest_first_becomes_oldest_first(script: Script, waits: list[float]) -> None:
    """Whatever the order of an answer, bars come sorted."""
    script.add(coinbase([row(0), row(-1, price=8), row(-2), row(-4)]))
    (page,) = pages(client("coinbase", script.url, waits), -4, 0)
    assert page.time.tolist() == [HOUR_NOW - i * HOUR for i in (4, 2, 1)] and page.close.tolist() == [3, 3, 12]


def test_a_server_that_changes_its_market_is_refused(script: Script, waits: list[float]) -> None:
    """Bars of two markets are never taken for one."""
    script.add(histohour([row(-1)]), **MADE_UP)
    script.add(histohour([row(-1)]))
    source = client("cryptocompare", script.url, waits)
    source.origin("BTC", "USD")
    with pytest.raises(ConfigError, match="'simulated' and then 'live'"):
        pages(source, -1, 0)


def test_a_stand_in_that_says_it_is_live_is_refused(script: Script, waits: list[float]) -> None:
    """Bars of a server that declares itself never enter the live history."""
    script.add(histohour([row(-1)]), X_Cryptovol_Market="live", X_Cryptovol_Source="binance")
    with pytest.raises(ConfigError, match="a stand-in and live"):
        client("cryptocompare", script.url, waits).origin("BTC", "USD")


def test_a_pair_the_venue_cannot_have_is_not_asked_for(script: Script, waits: list[float]) -> None:
    """Binance in dollars is refused by the client itself."""
    source = client("binance", script.url, waits)
    with pytest.raises(UnknownSymbolError, match="USDT"):
        source.origin("BTC", "USD")
    assert not script.asked


def test_without_a_url_the_venue_itself_is_asked() -> None:
    """The client is a `BarSource`, and making one asks nobody."""
    source: BarSource = VenueSource(DIALECTS["kraken"], clock=lambda: NOW)
    assert source.name == "kraken"  # type: ignore[attr-defined]


def test_a_page_of_no_bars_is_a_usage_error() -> None:
    """A page holds at least one bar."""
    with pytest.raises(ConfigError, match="page_bars"):
        VenueSource(DIALECTS["kraken"], page_bars=0, clock=lambda: NOW)


def test_repeats_equal_in_what_is_missing_are_repeats() -> None:
    """Two rows of an hour with the same numbers and the same numbers missing are one; else neither is true."""
    time = np.array([HOUR_NOW - HOUR] * 2)
    table = np.array([[1, 2, 1, 2, 3, np.nan]] * 2)
    ask = Ask("BTC", "USD", HOUR_NOW - HOUR, HOUR_NOW)
    kept, _, dropped = tidied(Rows(time, table), ask, now=NOW)
    assert len(kept) == 1 and dropped == {"repeated": 1}
    table[1, 5] = 0.0
    with pytest.raises(BarSchemaError, match="BTC/USD: the hour 2026-01-01T09:00:00Z comes twice"):
        tidied(Rows(time, table), ask, now=NOW)


def test_an_answer_in_another_encoding_is_read(script: Script, waits: list[float]) -> None:
    """JSON comes in UTF-16 too, as its standard once allowed."""
    script.add(json.dumps(histohour([row(-1)])).encode("utf-16"))
    assert len(pages(client("cryptocompare", script.url, waits), -1, 0)) == 1
