"""The venues without a key, and CoinDesk: what is asked of them, and what their refusals become."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from cryptovol.adapters.sources.dialect import Ask, Reply
from cryptovol.adapters.sources.venues import DIALECTS
from cryptovol.errors import (
    AccessError,
    BarSchemaError,
    ConfigError,
    CryptovolError,
    OutOfReachError,
    RateLimitedError,
    SourceUnavailableError,
    UnknownSymbolError,
)
from cryptovol.settings import VENUES
from cryptovol.times import HOUR
from tests.adapters.scripted import HOUR_NOW, NOW, QUOTES, binance, coinbase, kraken, row

START = HOUR_NOW - 2 * HOUR


def ask(venue: str = "coinbase", symbol: str = "BTC", quote: str = "") -> Ask:
    """Return two hours of a pair."""
    return Ask(symbol, quote or QUOTES.get(venue, "USD"), START, HOUR_NOW)


def read(
    venue: str, body: Any, status: int = 200, *, wanted: Ask | None = None, headers: Mapping[str, str] | None = None
) -> Any:
    """Return what a venue's dialect makes of an answer."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return DIALECTS[venue].read(Reply(status, headers or {}, data), wanted or ask(venue), now=NOW)


def test_every_venue_of_the_settings_has_a_dialect() -> None:
    """The names, their order and the addresses are those of the settings."""
    assert tuple(DIALECTS) == VENUES
    assert all(name == dialect.name and dialect.url.startswith("https://") for name, dialect in DIALECTS.items())


REQUESTS: dict[str, tuple[str, dict[str, str | int]]] = {
    "cryptocompare": ("/data/v2/histohour", {"fsym": "BTC", "tsym": "USD", "limit": 2, "toTs": HOUR_NOW}),
    "coindesk": (
        "/index/cc/v1/historical/hours",
        {
            "market": "cadli", "instrument": "BTC-USD", "limit": 3, "to_ts": HOUR_NOW, "groups": "ID,OHLC,VOLUME",
            "aggregate": 1, "fill": "false", "apply_mapping": "true", "response_format": "JSON",
        },
    ),
    "coinbase": (
        "/products/BTC-USD/candles",
        {"granularity": 3600, "start": "2026-01-01T08:00:00Z", "end": "2026-01-01T10:00:00Z"},
    ),
    "kraken": ("/0/public/OHLC", {"pair": "XBTUSD", "interval": 60, "since": START - 1}),
    "binance": (
        "/api/v3/klines",
        {
            "symbol": "BTCUSDT", "interval": "1h", "startTime": START * 1000, "endTime": (START + 2 * HOUR) * 1000,
            "limit": 3,
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize("venue", VENUES)
def test_each_venue_is_asked_for_the_hours_wanted_and_the_one_in_progress(venue: str) -> None:
    """The two hours before the one in progress, which comes along as a proof, in the venue's own words."""
    assert DIALECTS[venue].request(ask(venue)) == REQUESTS[venue]


def test_a_symbol_cannot_leave_its_place_in_a_path() -> None:
    """Whatever is given as a symbol stays one part of the address."""
    path, _ = DIALECTS["coinbase"].request(ask(symbol="../x?a=b", quote="U/D"))
    assert path == "/products/..%2Fx%3Fa%3Db-U%2FD/candles"


def test_binance_has_no_dollars() -> None:
    """USD is refused before anything is asked, with both ways out."""
    with pytest.raises(UnknownSymbolError, match=r"USDT.*Cure: set quote: USDT, or sources\.stand_in_quotes: \[USDT\]"):
        DIALECTS["binance"].request(ask("binance", quote="USD"))


def klines(place: int, value: Any) -> Any:
    """Return Binance's answer with one value changed in its second row."""
    body = binance([row(-2), row(-1)])
    body[1][place] = value
    return body


def ohlc(place: int, value: Any) -> Any:
    """Return Kraken's answer with one value changed in its second row."""
    body = kraken([row(-2), row(-1)])
    body["result"]["XXBTZUSD"][1][place] = value
    return body


def kraken_says(*errors: Any) -> Any:
    """Return Kraken's refusal."""
    return {"error": list(errors)}


FAILURES: list[tuple[str, Any, int, type[CryptovolError], str]] = [
    ("binance", {"code": 0, "msg": "restricted location"}, 451, AccessError, "region.*data-api.binance.vision"),
    ("binance", {"code": -1121, "msg": "Invalid symbol."}, 400, UnknownSymbolError, "BTC/USDT .-1121: Invalid symbol"),
    ("binance", {"code": -1100, "msg": "Illegal characters in parameter 'symbol'"}, 400, UnknownSymbolError, "-1100"),
    ("binance", {"code": -1100, "msg": "Illegal characters in parameter 'limit'"}, 400, ConfigError, "400"),
    ("binance", {"code": -1003, "msg": "Too much request weight"}, 200, RateLimitedError, "-1003"),
    ("binance", {"code": -1003, "msg": "banned"}, 418, RateLimitedError, "-1003: banned"),
    ("binance", b"", 429, RateLimitedError, "429"),
    ("binance", {"code": -1008, "msg": "Server is busy"}, 400, SourceUnavailableError, "-1008: Server is busy"),
    ("binance", {"code": [1], "msg": "odd"}, 200, SourceUnavailableError, "instead of JSON"),
    ("binance", b"<html>", 403, AccessError, "sources.order"),
    ("binance", b"<html>", 502, SourceUnavailableError, "502"),
    ("binance", klines(4, "nan"), 200, BarSchemaError, "row 1 of BTC/USDT: field close is 'nan', not a decimal number"),
    ("binance", klines(4, "inf"), 200, BarSchemaError, "close is 'inf'"),
    ("binance", klines(4, " 1"), 200, BarSchemaError, "close is ' 1'"),
    ("binance", klines(4, "1_0"), 200, BarSchemaError, "close is '1_0'"),
    ("binance", klines(4, "1e3"), 200, BarSchemaError, "close is '1e3'"),
    ("binance", klines(4, "٣"), 200, BarSchemaError, "close is "),
    ("binance", klines(4, "1.2.3"), 200, BarSchemaError, "close is '1.2.3'"),
    ("binance", klines(4, ""), 200, BarSchemaError, "close is ''"),
    ("binance", klines(4, 3.0), 200, BarSchemaError, "close is 3.0"),
    ("binance", klines(4, "9" * 400), 200, BarSchemaError, "too large"),
    ("binance", klines(0, HOUR_NOW), 200, BarSchemaError, "open time .* is not the start of an hour"),
    ("binance", [[1, "2"]], 200, BarSchemaError, "row 0 of BTC/USDT has 2 values, not 8"),
    ("binance", [{}], 200, BarSchemaError, "no list of rows"),
    ("coinbase", {"message": "NotFound"}, 404, UnknownSymbolError, "BTC/USD .NotFound"),
    ("coinbase", b"<html>", 404, ConfigError, "CRYPTOVOL_COINBASE_URL"),
    ("coinbase", {"message": "granularity too small"}, 400, ConfigError, "granularity too small"),
    ("coinbase", {"message": "Public rate limit exceeded"}, 429, RateLimitedError, "Public rate limit"),
    ("coinbase", {"message": "Internal"}, 500, SourceUnavailableError, "Internal"),
    ("coinbase", {"message": "fine"}, 200, SourceUnavailableError, "instead of JSON"),
    ("coinbase", [[START, 1, 2, 3, 4, "5"]], 200, BarSchemaError, "volume is '5'"),
    ("coinbase", [[START, 1, 2, 3, 4]], 200, BarSchemaError, "has 5 values, not 6"),
    ("coinbase", [START], 200, BarSchemaError, "no list of rows"),
    ("kraken", kraken_says("EQuery:Unknown asset pair"), 200, UnknownSymbolError, "BTC/USD .EQuery:Unknown asset pair"),
    ("kraken", kraken_says("EAPI:Rate limit exceeded"), 200, RateLimitedError, "Rate limit"),
    ("kraken", kraken_says("EGeneral:Too many requests"), 200, RateLimitedError, "Too many"),
    ("kraken", kraken_says("EService: Throttled:1767263400"), 200, RateLimitedError, "Throttled"),
    ("kraken", kraken_says("EService:Unavailable"), 200, SourceUnavailableError, "Unavailable"),
    ("kraken", kraken_says("EService:Busy"), 200, SourceUnavailableError, "Busy"),
    ("kraken", kraken_says("EGeneral:Permission denied"), 200, AccessError, "Permission denied"),
    ("kraken", kraken_says("EGeneral:Invalid arguments"), 200, ConfigError, "Invalid arguments"),
    ("kraken", kraken_says("EGeneral:Unknown method"), 404, ConfigError, "Unknown method"),
    ("kraken", kraken_says(["odd"], 7), 200, SourceUnavailableError, "no reason given"),
    ("kraken", b"<html>", 520, SourceUnavailableError, "520"),
    ("kraken", [], 200, SourceUnavailableError, "instead of JSON"),
    ("kraken", {"error": []}, 200, BarSchemaError, "answered with 0 pairs"),
    ("kraken", {"error": [], "result": {"XXBTZUSD": [], "XETHZUSD": []}}, 200, BarSchemaError, "answered with 2 pairs"),
    (
        "kraken",
        kraken([row(-1)], "XETHZUSD"),
        200,
        BarSchemaError,
        "was asked for BTC/USD and answered with 'XETHZUSD'",
    ),
    ("kraken", kraken([row(-1)], "XXBTZEUR"), 200, BarSchemaError, "'XXBTZEUR'"),
    ("kraken", kraken([row(-1)], "XBTUSDT"), 200, BarSchemaError, "'XBTUSDT'"),
    ("kraken", {"error": [], "result": {"XXBTZUSD": 7}}, 200, BarSchemaError, "no list of rows"),
    ("kraken", ohlc(4, "NaN"), 200, BarSchemaError, "close is 'NaN'"),
    ("kraken", ohlc(4, "9" * 400), 200, BarSchemaError, "field close holds a number too large"),
    (
        "kraken",
        kraken([row(-1, price=1e200, volume=1e200)]),
        200,
        BarSchemaError,
        "vwap x volume holds a number too large",
    ),
    ("kraken", ohlc(5, 2.0), 200, BarSchemaError, "vwap is 2.0"),
]


@pytest.mark.parametrize(
    ("venue", "body", "status", "kind", "says"), FAILURES, ids=[f"{case[0]} {case[4]}" for case in FAILURES]
)
def test_every_refusal_becomes_its_typed_error(
    venue: str, body: Any, status: int, kind: type[CryptovolError], says: str
) -> None:
    """Each venue's way of saying no, or of sending nonsense, has its own error."""
    with pytest.raises(CryptovolError, match=says) as error:
        read(venue, body, status)
    assert type(error.value) is kind


@pytest.mark.parametrize(
    ("venue", "status", "body", "wait"),
    [("coinbase", 429, {"message": "Public rate limit exceeded"}, 2.0), ("kraken", 200, kraken_says("EAPI:Rate limit"), 5.0),
     ("binance", 429, {"code": -1003, "msg": ""}, 60.0)],
)  # fmt: skip
def test_a_rate_limit_without_a_wait_has_the_venues_own(venue: str, status: int, body: Any, wait: float) -> None:
    """A limit by the second is over sooner than one by the minute; a Retry-After overrides either."""
    for headers, expected in (({}, wait), ({"Retry-After": "7"}, 7.0)):
        with pytest.raises(RateLimitedError) as error:
            read(venue, body, status, headers=headers)
        assert error.value.retry_after == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("7", 7.0), ("0.5", 0.5), ("Thu, 01 Jan 2026 10:30:20 GMT", 20.0), ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
     ("soon", 2.0), ("", 2.0), ("²", 2.0), ("Thu, 01 Jan 99999 00:00:00 GMT", 2.0)],
)  # fmt: skip
def test_a_retry_after_is_seconds_or_a_date(text: str, expected: float) -> None:
    """Anything else is no Retry-After."""
    with pytest.raises(RateLimitedError) as error:
        read("coinbase", {}, 429, headers={"Retry-After": text})
    assert error.value.retry_after == expected


@pytest.mark.parametrize(
    ("symbol", "quote", "name"),
    [("BTC", "USD", "XXBTZUSD"), ("BTC", "USD", "XBTUSD"), ("BTC", "USD", "BTC/USD"), ("BTC", "USDT", "XBTUSDT"),
     ("ETH", "BTC", "XETHXXBT"), ("ETH", "EUR", "XETHZEUR"), ("SOL", "USD", "SOLUSD"), ("USDT", "USD", "USDTZUSD"),
     ("DOGE", "USD", "XDGUSD")],
)  # fmt: skip
def test_kraken_calls_pairs_by_its_own_names(symbol: str, quote: str, name: str) -> None:
    """Each spelling of the pair asked for is taken."""
    rows = read("kraken", kraken([row(-1)], name), wanted=ask("kraken", symbol, quote))
    assert rows.time.tolist() == [HOUR_NOW - HOUR]


def test_kraken_refuses_hours_it_has_let_go() -> None:
    """A full answer that begins after the hour asked for is refused whole: the hours before it are lost."""
    full = kraken([row(-i) for i in range(719, -1, -1)])
    wanted = Ask("BTC", "USD", HOUR_NOW - 720 * HOUR, HOUR_NOW)
    with pytest.raises(OutOfReachError, match="from 2025-12-02T11:00:00Z on; 2025-12-02T10:00:00Z was asked for"):
        read("kraken", full, wanted=wanted)
    assert len(read("kraken", full, wanted=Ask("BTC", "USD", HOUR_NOW - 719 * HOUR, HOUR_NOW)).time) == 720


def test_columns_are_found_in_their_own_places() -> None:
    """Low before high, and volume after the mean price: each number ends in its own column."""
    expected = [2.0, 4.0, 1.0, 3.0, 5.0]
    for venue, body in (
        ("coinbase", coinbase([row(-1)])),
        ("kraken", kraken([row(-1)])),
        ("binance", binance([row(-1)])),
    ):
        assert read(venue, body).table[0, :5].tolist() == expected
