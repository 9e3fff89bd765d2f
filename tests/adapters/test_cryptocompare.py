"""The CryptoCompare client: paging, unfinished bars, three shapes of failure, retries, and a key that stays secret."""

import json
import logging
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryptovol import bars as bars_module
from cryptovol.adapters.sources import histohour
from cryptovol.adapters.sources.cryptocompare import CryptoCompareSource
from cryptovol.adapters.sources.histohour import Reply
from cryptovol.bars import Bars
from cryptovol.errors import (
    BarSchemaError,
    ConfigError,
    CryptovolError,
    RateLimitedError,
    SourceUnavailableError,
    UnknownSymbolError,
)
from cryptovol.market import simulated
from cryptovol.market.markets import SimulatedMarket
from cryptovol.market.server import serve
from cryptovol.params import Params
from cryptovol.ports import Origin
from cryptovol.times import HOUR, parse_instant

KEY = "s3cret-key-0123456789"
NOW = parse_instant("2026-01-01T10:30:00Z")
HOUR_NOW = NOW - 1800


class Script:
    """A server that gives prepared answers, one after the other, the last one for ever."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, dict[str, str], bytes]] = []
        self.asked: list[dict[str, str]] = []
        self.authorization: list[str | None] = []
        self.url = ""

    def add(self, body: Any, *, status: int = 200, **headers: str) -> None:
        """Prepare an answer; a body that is not bytes becomes JSON."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.answers.append((status, {name.replace("_", "-"): value for name, value in headers.items()}, data))


@pytest.fixture
def script() -> Iterator[Script]:
    """Return a running scripted server."""
    found = Script()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.asked.append({name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()})
            found.authorization.append(self.headers["Authorization"])
            status, headers, data = found.answers.pop(0) if len(found.answers) > 1 else found.answers[0]
            self.send_response(status)
            for name, value in {"Content-Length": str(len(data)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    found.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def waits() -> list[float]:
    """Return the seconds the client waited."""
    return []


@pytest.fixture
def client(script: Script, waits: list[float]) -> CryptoCompareSource:
    """Return a client of the scripted server that does not really wait."""
    return CryptoCompareSource(
        script.url, key=KEY, page_bars=10, clock=lambda: NOW, sleep=waits.append, jitter=lambda: 0.5
    )  # fmt: skip


def row(hour: int, **more: Any) -> dict[str, Any]:
    """Return one row as the API gives it."""
    own = {
        "time": HOUR_NOW + hour * HOUR,
        "open": 2.0,
        "high": 4,
        "low": 1.0,
        "close": 3.0,
        "volumefrom": 5.0,
        "volumeto": 15.0,
    }
    return {**own, "conversionType": "direct", "conversionSymbol": "", **more}


def good(*rows: dict[str, Any]) -> dict[str, Any]:
    """Return a successful body."""
    return {"Response": "Success", "Message": "", "Type": 100, "RateLimit": {}, "Data": {"Data": list(rows)}}


def _pages(client: CryptoCompareSource, start: int, end: int) -> list[Bars]:
    return list(client.pages("BTC", "USD", start=HOUR_NOW + start * HOUR, end=HOUR_NOW + end * HOUR))


# ------------------------------------------------------------------ against the real market server


@pytest.fixture
def market(params: Params) -> Iterator[str]:
    """Return the URL of a server over the simulated market."""
    server = serve(SimulatedMarket(params.market, clock=lambda: NOW), clock=lambda: NOW).start()
    yield server.url
    server.stop()


@pytest.mark.parametrize("page_bars", [7, 100, 2000])
def test_client_gets_every_closed_bar_and_no_other(market: str, params: Params, page_bars: int) -> None:
    """Whatever the page size, the pages are the market's closed bars: whole, once each, in order."""
    client = CryptoCompareSource(market, page_bars=page_bars, clock=lambda: NOW)
    start, end = HOUR_NOW - 230 * HOUR, HOUR_NOW
    found = bars_module.concat(client.pages("BTC", "USD", start=start, end=end))
    whole = simulated.path(params.market, "BTC", until=end).between(start, end)
    assert found.time.tolist() == whole.time.tolist()
    for name in ("open", "high", "low", "close", "volume_base", "volume_quote"):
        np.testing.assert_array_equal(getattr(found, name), getattr(whole, name))


def test_client_drops_the_unfinished_bar_by_time(market: str) -> None:
    """The hour in progress is never among the bars, whether `end` is now or lies between two hours."""
    client = CryptoCompareSource(market, clock=lambda: NOW)
    for end in (HOUR_NOW, NOW, HOUR_NOW + HOUR - 1):
        pages = list(client.pages("BTC", "USD", start=HOUR_NOW - 24 * HOUR, end=end))
        assert int(pages[-1].time[-1]) + HOUR <= HOUR_NOW


def test_client_stamps_made_up_bars_with_the_events_time(market: str) -> None:
    """Bars of a simulated market carry its name and the `end` asked for: the same event, the same bytes."""
    client = CryptoCompareSource(market, clock=lambda: NOW)
    assert client.origin("BTC", "USD") == Origin("simulated", "simulated")
    (page,) = client.pages("BTC", "USD", start=HOUR_NOW - 9 * HOUR, end=HOUR_NOW)
    assert set(page.source.tolist()) == {"simulated"} and set(page.fetched_at.tolist()) == {HOUR_NOW}


def test_client_knows_an_unknown_pair(market: str) -> None:
    """An unknown coin and an unknown quote currency are both unknown symbols."""
    client = CryptoCompareSource(market, clock=lambda: NOW)
    for pair in (("NOPE", "USD"), ("BTC", "JPY")):
        with pytest.raises(UnknownSymbolError, match="/".join(pair)):
            client.origin(*pair)


# ------------------------------------------------------------------ live answers, scripted


def test_client_takes_a_server_without_our_headers_for_the_live_one(
    script: Script, client: CryptoCompareSource
) -> None:
    """Without a market header the bars are CryptoCompare's own, stamped with the clock."""
    script.add(good(row(-1), row(0)))
    assert client.origin("BTC", "USD") == Origin("cryptocompare", "live")
    assert script.asked[0]["limit"] == "1" and "toTs" not in script.asked[0]
    (page,) = _pages(client, -1, 0)
    assert page.time.tolist() == [HOUR_NOW - HOUR] and page.fetched_at.tolist() == [NOW]
    assert (page.high[0], page.volume_quote[0], page.source[0]) == (4.0, 15.0, "cryptocompare")


def test_client_pages_forward_by_choosing_to_ts(script: Script, client: CryptoCompareSource) -> None:
    """Each window asks for its own hours and ends where the next one begins."""
    script.add(good())
    assert _pages(client, -25, 0) == []
    asked = [(int(q["limit"]), (int(q["toTs"]) - HOUR_NOW) // HOUR) for q in script.asked]
    assert asked == [(10, -15), (10, -5), (5, 0)]


def test_client_asks_nothing_for_an_empty_interval(script: Script, client: CryptoCompareSource) -> None:
    """Less than an hour has no bar, so nothing is asked."""
    assert _pages(client, 0, 0) == [] and list(client.pages("BTC", "USD", start=NOW, end=NOW + 1800)) == []
    assert not script.asked


def test_client_drops_and_counts_padding(script: Script, client: CryptoCompareSource, caplog: Any) -> None:
    """Rows without prices, with which the API fills the time before a listing, are dropped, counted and logged."""
    zero = dict.fromkeys(("open", "high", "low", "close", "volumefrom", "volumeto"), 0)
    script.add(good(row(-3, **zero), row(0, **zero, time=0), row(-2), row(-1)))
    with caplog.at_level(logging.WARNING):
        (page,) = _pages(client, -3, 0)
    assert len(page) == 2 and client.padded == 2 and "dropped 2 rows" in caplog.text


def test_client_gives_null_as_nan_for_the_gate_to_count(script: Script, client: CryptoCompareSource) -> None:
    """An absent number is the gate's business; it is not an error and not a zero."""
    script.add(good(row(-2, close=None), row(-1, volumeto=None)))
    (page,) = _pages(client, -2, 0)
    assert np.isnan(page.close).tolist() == [True, False] and np.isnan(page.volume_quote).tolist() == [False, True]


def test_client_refuses_a_server_that_changes_its_market(script: Script, client: CryptoCompareSource) -> None:
    """Bars of two markets are never taken for one."""
    script.add(good(row(-1)), X_Cryptovol_Market="simulated", X_Cryptovol_Source="simulated")
    script.add(good(row(-1)))
    client.origin("BTC", "USD")
    with pytest.raises(ConfigError, match="'simulated' and then 'live'"):
        _pages(client, -1, 0)


def legacy(kind: int, message: str, **more: Any) -> dict[str, Any]:
    """Return an error of the old shape, which comes with HTTP 200."""
    own = {"Response": "Error", "Message": message, "HasWarning": False, "Type": kind, "RateLimit": {}, "Data": {}}
    return {**own, **more}


USED_UP = {"calls_made": {"second": 1, "hour": 9}, "max_calls": {"second": 20, "hour": 9}}
FAILURES: dict[str, tuple[Any, dict[str, Any], type[CryptovolError], str]] = {
    "legacy unknown pair": (legacy(1, "cccagg market does not exist for this coin pair"), {}, UnknownSymbolError, "BTC/USD"),
    "legacy unknown coin": (legacy(2, "There is no data for the symbol BTC ."), {}, UnknownSymbolError, "BTC/USD"),
    "legacy bad parameter": (legacy(2, "limit is larger than max", ParamWithError="limit"), {}, ConfigError, "limit"),
    "legacy key wanted": (legacy(2, "You need a valid auth key or api key"), {}, ConfigError, "_CRYPTOCOMPARE_KEY"),
    "legacy rate limit": (legacy(99, "You are over your rate limit", RateLimit=USED_UP), {}, RateLimitedError, "slow down"),
    "legacy other error": (legacy(7, "internal"), {}, SourceUnavailableError, "internal"),
    "envelope without key": ({"Err": {"type": 2, "message": "no key", "http_status_code": 401}}, {}, ConfigError, "no key"),
    "envelope rate limit": ({"Data": {}, "Err": {"message": "slow", "http_status_code": 429}}, {}, RateLimitedError, "slow"),
    "envelope unknown": ({"Data": {}, "Err": {"message": "none", "http_status_code": 404}}, {}, UnknownSymbolError, "none"),
    "envelope bad request": ({"Data": {}, "Err": {"message": "bad", "http_status_code": 400}}, {}, ConfigError, "bad"),
    "envelope other": ({"Data": {}, "Err": {"message": "oops"}}, {}, SourceUnavailableError, "oops"),
    "envelope that is a text": ({"Err": "oops"}, {}, SourceUnavailableError, "failed"),
    "plain 401": (b"no", {"status": 401}, ConfigError, "Cure: set CRYPTOVOL_CRYPTOCOMPARE_KEY"),
    "plain 403 with a message": ({"Message": "expired"}, {"status": 403}, ConfigError, "expired"),
    "plain 429": (b"", {"status": 429, "Retry_After": "120"}, RateLimitedError, "429"),
    "plain 500": (b"<html>", {"status": 500}, SourceUnavailableError, "500"),
    "plain 404": (b"<html>", {"status": 404}, ConfigError, "CRYPTOVOL_CRYPTOCOMPARE_URL"),
    "html": (b"<html>hello</html>", {"Content_Type": "text/html"}, SourceUnavailableError, "text/html"),
    "nothing": (b"", {}, SourceUnavailableError, "0 bytes"),
    "cut json": (json.dumps(good(row(-1))).encode()[:-9], {}, SourceUnavailableError, "instead of JSON"),
    "cut body": (b"{}", {"Content_Length": "100"}, SourceUnavailableError, "broke off"),
    "nested beyond measure": (b"[" * 100_000, {}, SourceUnavailableError, "instead of JSON"),
    "a list": ([1], {}, SourceUnavailableError, "instead of JSON"),
    "no rows": ({"Response": "Success", "Data": {}}, {}, BarSchemaError, "Data.Data"),
    "rows that are numbers": ({"Response": "Success", "Data": {"Data": [1]}}, {}, BarSchemaError, "Data.Data"),
    "a field absent": (good({"time": HOUR_NOW - HOUR}), {}, BarSchemaError, "row 0 of BTC/USD: field open is absent"),
    "a text for a price": (good(row(-2), row(-1, close="3")), {}, BarSchemaError, "row 1 of BTC/USD: field close is '3'"),
    "a truth for a price": (good(row(-1, close=True)), {}, BarSchemaError, "close"),
    "NaN": (json.dumps(good(row(-1, close=float("nan")))).encode(), {}, BarSchemaError, "NaN"),
    "a number beyond floats": (json.dumps(good(row(-1))).replace("15.0", "1e999").encode(), {}, BarSchemaError, "too large"),
    "an integer beyond floats": (good(row(-1, close=10**400)), {}, BarSchemaError, "too large"),
    "a time off the hour": (good(row(-1, time=HOUR_NOW + 1)), {}, BarSchemaError, "not the start of an hour"),
    "no time": (good(row(-1, time=None)), {}, BarSchemaError, "not the start of an hour"),
    "a time beyond calendars": (good(row(-1, time=3600 * 10**12)), {}, BarSchemaError, "not the start of an hour"),
}  # fmt: skip


@pytest.mark.parametrize("failure", FAILURES)
def test_client_turns_every_failure_into_its_typed_error(
    failure: str, script: Script, client: CryptoCompareSource
) -> None:
    """Each shape of failure has its own error; none shows our key."""
    body, answer, kind, says = FAILURES[failure]
    script.add(body, **answer)
    with pytest.raises(CryptovolError) as error:
        client.origin("BTC", "USD")
    assert type(error.value) is kind and says in str(error.value) and KEY not in str(error.value)


def test_client_tells_how_long_the_limit_lasts(script: Script, client: CryptoCompareSource) -> None:
    """The wait is the longest window whose calls are used up, or what Retry-After says."""
    script.add(FAILURES["legacy rate limit"][0])
    with pytest.raises(RateLimitedError) as error:
        client.origin("BTC", "USD")
    assert error.value.retry_after == 3600.0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7", 7.0),
        ("0.5", 0.5),
        ("Thu, 01 Jan 2026 10:30:20 GMT", 20.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("soon", 60.0),
    ],
)
def test_client_reads_retry_after_as_seconds_or_date(text: str, expected: float) -> None:
    """A Retry-After is a number or an HTTP date; anything else means a minute."""
    with pytest.raises(RateLimitedError) as error:
        histohour.read(Reply(429, {"Retry-After": text}, b""), pair="BTC/USD", now=NOW)
    assert error.value.retry_after == expected


def test_client_tries_again_later_and_later(script: Script, client: CryptoCompareSource, waits: list[float]) -> None:
    """Transient failures of several kinds are tried again with growing waits, and then the bars come."""
    script.add(b"<html>", status=503)
    script.add(b"{")
    a_second = {"calls_made": {"second": 3}, "max_calls": {"second": 2}}
    script.add(legacy(99, "rate limit", RateLimit=a_second))
    script.add(good(row(-1)))
    assert len(_pages(client, -1, 0)) == 1
    assert waits == [0.5, 1.0, 2.0]


def test_client_gives_up_after_four_tries(script: Script, client: CryptoCompareSource, waits: list[float]) -> None:
    """A source that stays down is an error after bounded tries."""
    script.add(b"", status=500)
    with pytest.raises(SourceUnavailableError):
        client.origin("BTC", "USD")
    assert len(script.asked) == 4 and len(waits) == 3


def test_client_honours_retry_after(script: Script, client: CryptoCompareSource, waits: list[float]) -> None:
    """A short wait asked for is waited; a long one is left to the caller at once."""
    script.add(b"", status=429, Retry_After="9")
    script.add(b"", status=429, Retry_After="3000")
    with pytest.raises(RateLimitedError) as error:
        client.origin("BTC", "USD")
    assert waits == [9.0] and error.value.retry_after == 3000.0 and error.value.retryable


@pytest.mark.parametrize("failure", ["plain 401", "legacy unknown pair", "a text for a price", "NaN"])
def test_client_does_not_repeat_what_a_retry_cannot_cure(
    failure: str, script: Script, client: CryptoCompareSource
) -> None:
    """A refused key, an unknown pair and broken rows are asked for once."""
    script.add(FAILURES[failure][0], **FAILURES[failure][1])
    with pytest.raises(CryptovolError):
        client.origin("BTC", "USD")
    assert len(script.asked) == 1


def test_client_sends_the_key_as_a_header_only(script: Script, client: CryptoCompareSource) -> None:
    """The key goes into Authorization, never into the address; without one there is no header."""
    script.add(good(row(-1)))
    client.origin("BTC", "USD")
    CryptoCompareSource(script.url, clock=lambda: NOW).origin("BTC", "USD")
    assert script.authorization == [f"Apikey {KEY}", None]
    assert not any(KEY in value for query in script.asked for value in query.values())


def test_client_never_repeats_a_key_that_the_server_repeats(
    script: Script, client: CryptoCompareSource, caplog: Any
) -> None:
    """A message that quotes our key is blotted out, in errors and in logs."""
    script.add({"Message": f"key {KEY} is\nnot\nours " + "x" * 500}, status=500)
    with caplog.at_level(logging.DEBUG, logger="cryptovol"), pytest.raises(SourceUnavailableError) as error:
        client.origin("BTC", "USD")
    assert KEY not in str(error.value) + caplog.text and "***" in str(error.value) and len(str(error.value)) < 350


def test_client_bounds_the_size_of_an_answer(script: Script, client: CryptoCompareSource) -> None:
    """An endless body is not read into memory."""
    script.add(b" " * (9 * 1024 * 1024))
    with pytest.raises(SourceUnavailableError, match="more than"):
        client.origin("BTC", "USD")


def test_client_says_when_nobody_answers(waits: list[float]) -> None:
    """A closed port is a transient error with the address and the cure."""
    client = CryptoCompareSource("http://127.0.0.1:9", key=KEY, clock=lambda: NOW, sleep=waits.append)
    with pytest.raises(SourceUnavailableError, match="http://127.0.0.1:9.*Cure") as error:
        client.origin("BTC", "USD")
    assert len(waits) == 3 and isinstance(error.value.__cause__, OSError)


def test_client_tells_a_broken_answer_from_no_answer(script: Script, client: CryptoCompareSource) -> None:
    """An answer that breaks off has no network error for its cause, so `auto` does not take it for silence."""
    script.add(b"{}", Content_Length="100")
    with pytest.raises(SourceUnavailableError) as error:
        client.origin("BTC", "USD")
    assert not isinstance(error.value.__cause__, OSError)


@pytest.mark.parametrize(
    "make",
    [
        lambda: CryptoCompareSource("min-api.example", clock=lambda: NOW),
        lambda: CryptoCompareSource("file:///etc/passwd", clock=lambda: NOW),
        lambda: CryptoCompareSource("http://x", page_bars=2001, clock=lambda: NOW),
        lambda: CryptoCompareSource("http://x", key="a\nb", clock=lambda: NOW),
    ],
)
def test_client_refuses_impossible_settings(make: Callable[[], CryptoCompareSource]) -> None:
    """An address that is none, a page that is too long and a key with a line break are usage errors."""
    with pytest.raises(ConfigError):
        make()


names = st.sampled_from([*row(0), "Data", "Err", "Type"])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=8),
    max_leaves=20,
)
bodies = st.one_of(st.binary(max_size=60), json_values, json_values.map(lambda v: good() | {"Data": {"Data": v}}))


@given(bodies, st.sampled_from([200, 200, 400, 429, 500]))
def test_reading_anything_gives_rows_or_a_typed_error(body: Any, status: int) -> None:
    """Whatever a server sends, the outcome is rows of finite times or one of our errors."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    try:
        rows = histohour.read(Reply(status, {}, data), pair="BTC/USD", now=NOW)
    except CryptovolError:
        return
    assert status == 200 and rows.table.shape == (len(rows.time), 6) and not np.isinf(rows.table).any()
