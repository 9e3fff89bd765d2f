"""CryptoCompare's legacy API and its successor: what is asked, and three shapes of failure behind typed errors."""

import json
from typing import Any

import numpy as np
import pytest

from cryptovol.adapters.sources.dialect import Ask, Reply
from cryptovol.adapters.sources.venues import DIALECTS
from cryptovol.errors import (
    AccessError,
    BarSchemaError,
    ConfigError,
    CryptovolError,
    RateLimitedError,
    SourceUnavailableError,
    UnknownSymbolError,
)
from cryptovol.times import HOUR
from tests.adapters.scripted import HOUR_NOW, KEY, NOW, Script, client, coindesk, histohour, row

ASK = Ask("BTC", "USD", HOUR_NOW - 2 * HOUR, HOUR_NOW)


def legacy(kind: Any, message: str, **more: Any) -> dict[str, Any]:
    """Return an error of the old shape, which comes with HTTP 200."""
    own = {"Response": "Error", "Message": message, "HasWarning": False, "Type": kind, "RateLimit": {}, "Data": {}}
    return {**own, **more}


def envelope(message: Any, **more: Any) -> dict[str, Any]:
    """Return an error of the new shape."""
    return {"Data": {}, "Err": {"message": message, **more}}


def good(**more: Any) -> dict[str, Any]:
    """Return a sound legacy answer of two rows, the last one with fields of its own."""
    body: dict[str, Any] = histohour([row(-2), row(-1)])
    body["Data"]["Data"][-1] |= more
    return body


def without(name: str) -> dict[str, Any]:
    """Return a sound legacy answer whose last row lacks a field."""
    body = good()
    del body["Data"]["Data"][-1][name]
    return body


USED_UP = {"calls_made": {"second": 1, "hour": 9}, "max_calls": {"second": 20, "hour": 9}}
INSTRUMENT = {"param": "instrument", "values": ["BTC-USD"]}
FAILURES: dict[str, tuple[Any, dict[str, Any], type[CryptovolError], str]] = {
    "legacy unknown pair": (legacy(1, "cccagg market does not exist for this coin pair"), {}, UnknownSymbolError, "BTC/USD"),
    "legacy unknown coin": (legacy(2, "There is no data for the symbol BTC ."), {}, UnknownSymbolError, "BTC/USD"),
    "legacy bad symbol": (legacy(2, "fsym is a bad parameter", ParamWithError="fsym"), {}, UnknownSymbolError, "fsym"),
    "legacy bad parameter": (legacy(2, "limit is larger than max", ParamWithError="limit"), {}, ConfigError, "limit"),
    "legacy key wanted": (legacy(2, "You need a valid auth key or api key"), {}, AccessError, "_CRYPTOCOMPARE_KEY"),
    "legacy rate limit": (legacy(99, "You are over your rate limit", RateLimit=USED_UP), {}, RateLimitedError, "slow down"),
    "legacy other error": (legacy(7, "internal"), {}, SourceUnavailableError, "internal"),
    "legacy odd type": (legacy({"a": [[]]}, "internal"), {}, SourceUnavailableError, "type an object"),
    "envelope without key": (envelope("no key", type=2, http_status_code=401), {}, AccessError, "no key"),
    "envelope with 401": (envelope("no key", type=2), {"status": 401}, AccessError, "_CRYPTOCOMPARE_KEY"),
    "envelope of type 2": (envelope("key required", type=2), {}, AccessError, "key required"),
    "envelope rate limit": (envelope("slow", http_status_code=429), {}, RateLimitedError, "slow"),
    "envelope of type 99": (envelope("over your rate limit", type=99), {}, RateLimitedError, "over your rate limit"),
    "envelope unknown": (envelope("none", http_status_code=404), {}, UnknownSymbolError, "none"),
    "envelope bad instrument": (envelope("bad", other_info=INSTRUMENT), {"status": 400}, UnknownSymbolError, "bad"),
    "envelope bad request": (envelope("bad", type=2, http_status_code=400), {}, ConfigError, "bad"),
    "envelope with 500": (envelope("down"), {"status": 500}, SourceUnavailableError, "500: down"),
    "envelope other": (envelope("oops"), {}, SourceUnavailableError, "oops"),
    "envelope that is a text": ({"Err": "oops"}, {}, SourceUnavailableError, "oops"),
    "envelope of nothing told": (envelope([["a"]]), {}, SourceUnavailableError, "no reason given"),
    "plain 401": (b"no", {"status": 401}, AccessError, "Cure: set CRYPTOVOL_CRYPTOCOMPARE_KEY"),
    "plain 403 with a message": ({"Message": "expired"}, {"status": 403}, AccessError, "expired"),
    "plain 429": (b"", {"status": 429, "Retry_After": "120"}, RateLimitedError, "429"),
    "plain 451": (b"", {"status": 451}, AccessError, "region"),
    "plain 500": (b"<html>", {"status": 500}, SourceUnavailableError, "500"),
    "plain 503 with a wait": (b"", {"status": 503, "Retry_After": "120"}, RateLimitedError, "503"),
    "plain 204": (b"", {"status": 204, "Content_Length": "0"}, SourceUnavailableError, "204"),
    "plain 404": (b"<html>", {"status": 404}, ConfigError, "CRYPTOVOL_CRYPTOCOMPARE_URL"),
    "html": (b"<html>hello</html>", {"Content_Type": "text/html"}, SourceUnavailableError, "text/html"),
    "nothing": (b"", {}, SourceUnavailableError, "0 bytes"),
    "cut json": (json.dumps(good()).encode()[:-9], {}, SourceUnavailableError, "instead of JSON"),
    "cut body": (b"{}", {"Content_Length": "100"}, SourceUnavailableError, "broke off"),
    "nested beyond measure": (b"[" * 100_000, {}, SourceUnavailableError, "instead of JSON"),
    "an integer of a million digits": (b"9" * 10**6, {}, SourceUnavailableError, "instead of JSON"),
    "a list": ([1], {}, SourceUnavailableError, "instead of JSON"),
    "no rows": ({"Response": "Success", "Data": {}}, {}, BarSchemaError, "Data.Data"),
    "rows that are numbers": ({"Response": "Success", "Data": {"Data": [1]}}, {}, BarSchemaError, "Data.Data"),
    "a field absent": (without("open"), {}, BarSchemaError, "row 1 of BTC/USD: field open is absent"),
    "a text for a price": (good(close="3"), {}, BarSchemaError, "row 1 of BTC/USD: field close is '3', not a number"),
    "a truth for a price": (good(close=True), {}, BarSchemaError, "close"),
    "NaN": (json.dumps(good(close=float("nan"))).encode(), {}, BarSchemaError, "NaN"),
    "a number beyond floats": (json.dumps(good(close=7.25)).replace("7.25", "1e999").encode(), {}, BarSchemaError, "too large"),
    "an integer beyond floats": (good(close=10**400), {}, BarSchemaError, "too large"),
    "a time off the hour": (good(time=HOUR_NOW + 1), {}, BarSchemaError, "not the start of an hour"),
    "no time": (good(time=None), {}, BarSchemaError, "not the start of an hour"),
    "a negative time": (good(time=-HOUR), {}, BarSchemaError, "not the start of an hour"),
    "a time beyond calendars": (good(time=3600 * 10**12), {}, BarSchemaError, "not the start of an hour"),
    "an hour twice": (good(time=HOUR_NOW - 2 * HOUR, close=9), {}, BarSchemaError, "comes twice in one answer"),
}  # fmt: skip


@pytest.mark.parametrize("failure", FAILURES)
def test_every_failure_becomes_its_typed_error(failure: str, script: Script, waits: list[float]) -> None:
    """Each shape of failure has its own error, and none shows our key."""
    body, answer, kind, says = FAILURES[failure]
    script.add(body, **answer)
    source = client("cryptocompare", script.url, waits, key=KEY)
    with pytest.raises(CryptovolError) as error:
        list(source.pages("BTC", "USD", start=ASK.start, end=ASK.stop))
    assert type(error.value) is kind and says in str(error.value) and KEY not in str(error.value)


@pytest.mark.parametrize("failure", ["plain 401", "legacy unknown pair", "a text for a price", "NaN"])
def test_what_a_retry_cannot_cure_is_asked_for_once(failure: str, script: Script, waits: list[float]) -> None:
    """A refused key, an unknown pair and broken rows are not asked for again."""
    body, answer, _, _ = FAILURES[failure]
    script.add(body, **answer)
    with pytest.raises(CryptovolError):
        client("cryptocompare", script.url, waits).origin("BTC", "USD")
    assert len(script.asked) == 1 and not waits


@pytest.mark.parametrize(
    ("headers", "limits", "wait"),
    [({}, USED_UP, 3600.0), ({"Retry-After": "9"}, USED_UP, 9.0), ({}, {}, 60.0), ({}, {"calls_made": 3}, 60.0)],
)
def test_a_rate_limit_tells_how_long_it_lasts(headers: dict[str, str], limits: Any, wait: float) -> None:
    """The wait is what Retry-After says, else the longest window whose calls are used up, else a minute."""
    for status in (200, 429):
        reply = Reply(status, headers, json.dumps(legacy(99, "over your rate limit", RateLimit=limits)).encode())
        with pytest.raises(RateLimitedError) as error:
            DIALECTS["cryptocompare"].read(reply, ASK, now=NOW)
        assert error.value.retry_after == wait


def test_null_is_nan_for_the_gate_to_count(script: Script, waits: list[float]) -> None:
    """An absent number is the gate's business; it is not an error and not a zero."""
    script.add(good(close=None, volumeto=None))
    (page,) = client("cryptocompare", script.url, waits).pages("BTC", "USD", start=ASK.start, end=ASK.stop)
    assert np.isnan(page.close).tolist() == [False, True] == np.isnan(page.volume_quote).tolist()


ODD = {
    "another instrument": ({"INSTRUMENT": "ETH-USD"}, "INSTRUMENT is 'ETH-USD', not 'BTC-USD'"),
    "another index": ({"MARKET": "ccix"}, "MARKET is 'ccix'"),
    "another unit": ({"UNIT": "DAY"}, "row 1 of BTC/USD: UNIT is 'DAY', not 'HOUR'"),
    "no unit at all": ({"UNIT": [["HOUR"]]}, "UNIT is a list"),
    "a text for a price": ({"CLOSE": "3"}, "field CLOSE is '3'"),
    "a time in milliseconds": ({"TIMESTAMP": HOUR_NOW * 1000}, "not the start of an hour"),
}


@pytest.mark.parametrize("odd", ODD)
def test_coindesk_rows_of_something_else_are_refused(odd: str) -> None:
    """One row of another instrument, index or length of time makes the answer worthless."""
    more, says = ODD[odd]
    body = coindesk([row(-2), row(-1)])
    body["Data"][1] |= more
    with pytest.raises(BarSchemaError, match=says.replace("[", ".")):
        DIALECTS["coindesk"].read(Reply(200, {}, json.dumps(body).encode()), ASK, now=NOW)
