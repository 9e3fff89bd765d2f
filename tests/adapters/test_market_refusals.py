"""How the stand-in server says no in the shape of each venue: wrong pairs, wrong parameters, keys and other paths."""

import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryptovol.errors import ConfigError
from cryptovol.market.server import serve

from tests.market_shapes import NOW, PATHS, SHAPES, ask, get, newest, replay, rows_in, serving, serving_all

MANDATORY = "Mandatory parameter '{}' was not sent, was empty/null, or malformed."
ILLEGAL = "Illegal characters found in parameter '{}'; legal range is '{}'."


@pytest.fixture(scope="module")
def urls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The address of a server in each shape, over bars of BTC/USD and nothing else but Binance's BTC/USDT."""
    market = replay(tmp_path_factory.mktemp("bars"), symbol="BTC-USD")
    tether = replay(tmp_path_factory.mktemp("tether"), symbol="BTC-USDT")
    with serving_all(market) as found, serving(tether, "binance") as binance:
        yield {**found, "binance": binance.url}


@pytest.mark.parametrize(
    ("changes", "code", "message"),
    [
        ({"symbol": None}, -1102, MANDATORY.format("symbol")),
        ({"interval": None}, -1102, MANDATORY.format("interval")),
        ({"symbol": "btcusdt"}, -1100, ILLEGAL.format("symbol", "^[A-Z0-9-_.]{1,20}$")),
        ({"symbol": "BTCUSD"}, -1121, "Invalid symbol."),
        ({"symbol": "USDT"}, -1121, "Invalid symbol."),
        ({"symbol": "NOPEUSDT"}, -1121, "Invalid symbol."),
        ({"interval": "2h"}, -1120, "Invalid interval."),
        ({"limit": "ten"}, -1100, ILLEGAL.format("limit", "^[0-9]{1,20}$")),
        ({"startTime": "-1"}, -1100, ILLEGAL.format("startTime", "^[0-9]{1,20}$")),
        ({"endTime": "9" * 21}, -1100, ILLEGAL.format("endTime", "^[0-9]{1,20}$")),
        ({"startTime": ""}, -1105, "Parameter 'startTime' was empty."),
        ({"limit": 0}, -1130, "Data sent for parameter 'limit' is not valid."),
        ({"start": 1}, -1104, "Not all sent parameters were read; read '3' parameter(s) but was sent '4'."),
    ],
)
def test_binance_refuses_with_a_code_and_http_400(urls: dict[str, str], changes: Any, code: int, message: str) -> None:
    """Each mistake has its code."""
    refused = ask(urls["binance"], "binance", **changes)
    assert (refused.status, refused.body) == (400, {"code": code, "msg": message})


@pytest.mark.parametrize(
    ("changes", "status", "param"),
    [
        ({"market": None}, 400, "market"),
        ({"market": "nope"}, 400, "market"),
        ({"instrument": None}, 400, "instrument"),
        ({"instrument": "BTC"}, 404, "instrument"),
        ({"instrument": "NOPE-USD"}, 404, "instrument"),
        ({"limit": 0}, 400, "limit"),
        ({"limit": 2001}, 400, "limit"),
        ({"to_ts": "now"}, 400, "to_ts"),
        ({"aggregate": 31}, 400, "aggregate"),
        ({"fill": "maybe"}, 400, "fill"),
        ({"groups": "ID,PRICES"}, 400, "groups"),
        ({"response_format": "CSV"}, 400, "response_format"),
    ],
)
def test_coindesk_refuses_in_an_envelope(urls: dict[str, str], changes: Any, status: int, param: str) -> None:
    """There are no data, and `Err` repeats the HTTP status and names the parameter."""
    refused = ask(urls["coindesk"], "coindesk", **changes)
    err = refused.body["Err"]
    assert refused.status == err["http_status_code"] == status and refused.body["Data"] == {}
    assert err["other_info"]["param"] == param and err["message"] and err["type"] in (1, 2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"granularity": None}, "Unsupported granularity"),
        ({"granularity": 7200}, "Unsupported granularity"),
        ({"start": "yesterday"}, "Invalid start"),
        ({"end": "٣"}, "Invalid end"),
        ({"start": NOW, "end": NOW - 1}, "start must be before end"),
    ],
)
def test_coinbase_refuses_with_a_message_and_http_400(urls: dict[str, str], changes: Any, message: str) -> None:
    """A bad parameter is HTTP 400 with a message."""
    refused = ask(urls["coinbase"], "coinbase", **changes)
    assert (refused.status, refused.body) == (400, {"message": message})


@pytest.mark.parametrize("product", ["NOPE-USD", "BTC-USDT", "BTCUSD", "BTC-", "%20"])
def test_coinbase_does_not_find_an_unknown_product(urls: dict[str, str], product: str) -> None:
    """A product it does not have is HTTP 404."""
    refused = get(urls["coinbase"], f"/products/{product}/candles", newest("coinbase"))
    assert (refused.status, refused.body) == (404, {"message": "NotFound"})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pair": "NOPEUSD"}, "EQuery:Unknown asset pair"),
        ({"pair": "XBTUSDT"}, "EQuery:Unknown asset pair"),
        ({"pair": "USD"}, "EQuery:Unknown asset pair"),
        ({"pair": "/"}, "EQuery:Unknown asset pair"),
        ({"pair": None}, "EGeneral:Invalid arguments"),
        ({"interval": None}, "EGeneral:Invalid arguments"),
        ({"interval": 61}, "EGeneral:Invalid arguments"),
        ({"since": "ago"}, "EGeneral:Invalid arguments"),
    ],
)
def test_kraken_refuses_with_http_200(urls: dict[str, str], changes: Any, message: str) -> None:
    """The error is in the body alone, without a result."""
    refused = ask(urls["kraken"], "kraken", **changes)
    assert (refused.status, refused.body) == (200, {"error": [message]})


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ("cryptocompare", "Path does not exist"), ("coindesk", "not found"), ("binance", "Method GET is invalid"),
        ("coinbase", "NotFound"), ("kraken", "EGeneral:Unknown method"),
    ],
)  # fmt: skip
def test_shape_has_its_own_404(urls: dict[str, str], shape: str, said: str) -> None:
    """Another path does not exist, in the venue's words; that of another venue neither."""
    for path in ("/nowhere", "//[", next(path for other, path in PATHS.items() if other != shape)):
        lost = get(urls[shape], path)
        assert lost.status == 404 and said in lost.data.decode()


@pytest.mark.parametrize("shape", SHAPES)
def test_shape_declares_itself_unless_told_not_to(tmp_path: Path, shape: str) -> None:
    """Headers name market and source on every answer, and on none where a test plays a live venue."""
    market = replay(tmp_path)
    with serving(market, shape) as server:
        for path in ("/health", "/nowhere", PATHS[shape]):
            assert get(server.url, path).headers["X-Cryptovol-Market"] == "replay-made-up"
        assert get(server.url, "/health").body["status"] == "ok" and server.requests == 4
    with serving(market, shape, declared=False) as server:
        for path in ("/health", "/nowhere", PATHS[shape]):
            assert not [name for name in get(server.url, path).headers if "cryptovol" in name.lower()]


@pytest.mark.parametrize("shape", ["cryptocompare", "coindesk"])
def test_shape_wants_its_key(tmp_path: Path, shape: str) -> None:
    """Without the key every path but the health check is HTTP 401 in the envelope; with it all is as ever."""
    with serving(replay(tmp_path), shape, key="s3cret") as server:
        for path in (PATHS[shape], "/nowhere"):
            for key in ("", "wrong"):
                refused = get(server.url, path, newest(shape), key=key)
                assert refused.status == 401 and refused.body["Data"] == {}
                assert (refused.body["Err"]["type"], refused.body["Err"]["http_status_code"]) == (2, 401)
        assert len(rows_in(shape, get(server.url, PATHS[shape], newest(shape), key="s3cret").body)) == 48
        assert len(rows_in(shape, ask(server.url, shape, api_key="s3cret").body)) == 48
        assert get(server.url, "/health").status == 200


def test_shape_without_keys_asks_for_none(tmp_path: Path) -> None:
    """Binance, Coinbase and Kraken answer anybody."""
    with serving_all(replay(tmp_path), key="s3cret") as urls:
        for shape in ("binance", "coinbase", "kraken"):
            assert len(rows_in(shape, ask(urls[shape], shape).body)) == 48


def test_unknown_shape_is_refused(tmp_path: Path) -> None:
    """A shape that does not exist is a usage error that lists those which do."""
    with pytest.raises(ConfigError, match="no shape 'nyse'.*coinbase"):
        serve(replay(tmp_path), shape="nyse", clock=lambda: NOW)


# ------------------------------------------------------------------ whatever is asked

NAMES = sorted({name for shape in SHAPES for name in newest(shape)} | {"toTs", "to_ts", "aggregate", "startTime", "x"})
VALUES = st.one_of(
    st.sampled_from([str(value) for shape in SHAPES for value in newest(shape).values()]),
    st.integers(-(10**22), 10**22).map(str),
    st.integers(NOW - 10**8, NOW + 10**8).map(str),
    st.text(max_size=12),
)


def is_in_form(shape: str, status: int, body: Any) -> bool:
    """Return whether an answer is rows or a refusal as that venue would give them."""
    if shape == "cryptocompare":
        return status in (200, 404) and body["Response"] in ("Success", "Error")
    if shape == "coindesk":
        return isinstance(body["Data"], list) if status == 200 else body["Err"]["http_status_code"] == status
    if shape == "kraken":
        return status in (200, 404) and (("result" in body) if not body["error"] else set(body) == {"error"})
    if status == 200:
        return isinstance(body, list)
    return status in (400, 404) and set(body) == ({"code", "msg"} if shape == "binance" else {"message"})


@settings(max_examples=80, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("shape", SHAPES)
def test_any_query_gets_an_answer_in_the_venues_form(urls: dict[str, str], shape: str, data: st.DataObject) -> None:
    """Whatever is asked, the answer is rows or a refusal in the venue's own form, never a failure of the server."""
    part = data.draw(st.one_of(st.none(), st.text(max_size=8)))
    path = PATHS[shape] if part is None else f"/products/{quote(part, safe='')}/candles"
    query = {**newest(shape)} if data.draw(st.booleans()) else {}
    query |= data.draw(st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=4))
    connection = http.client.HTTPConnection(urlsplit(urls[shape]).netloc, timeout=10)
    try:
        connection.request("GET", f"{path}?{urlencode(query)}")
        answer = connection.getresponse()
        body = json.loads(answer.read())
    finally:
        connection.close()
    assert is_in_form(shape, answer.status, body), (answer.status, body)
