"""The stand-in server's faults on the wire, in every shape: silence, resets, drips, floods, refusals, broken bodies."""

import http.client
import json
import socket
import threading
from urllib.parse import urlencode, urlsplit

import pytest

from cryptovol.market import faults
from cryptovol.market.markets import ReplayMarket
from cryptovol.market.server import MarketServer

from tests.market_shapes import PATHS, SHAPES, ask, get, newest, replay, serving

every_shape = pytest.mark.parametrize("shape", SHAPES)
MEBIBYTE = 2**20


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> ReplayMarket:
    """Bars of any pair."""
    return replay(tmp_path_factory.mktemp("bars"))


def opened(server: MarketServer, shape: str, hours: int = 2) -> socket.socket:
    """Return a connection on which the newest hours were asked for."""
    host, port = urlsplit(server.url).netloc.split(":")
    client = socket.create_connection((host, int(port)), timeout=10)
    client.sendall(f"GET {PATHS[shape]}?{urlencode(newest(shape, hours))} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    return client


def get_newest(market: ReplayMarket, shape: str) -> bytes:
    """Return the body about the newest two hours of a server without a fault."""
    with serving(market, shape) as server:
        return get(server.url, PATHS[shape], newest(shape, 2)).data


@every_shape
def test_timeout_never_answers(market: ReplayMarket, shape: str) -> None:
    """The connection stays open and silent; other requests are answered meanwhile, and stopping does not wait."""
    with serving(market, shape, fault=faults.named("timeout", times=1)) as server:
        with opened(server, shape) as client:
            client.settimeout(0.2)
            with pytest.raises(TimeoutError):
                client.recv(1)
            assert ask(server.url, shape).status == 200
            server.stop()
            client.settimeout(10)
            assert client.recv(1) == b""


@every_shape
def test_reset_resets_the_connection(market: ReplayMarket, shape: str) -> None:
    """The client is told by a reset, not by a clean end; the next request is answered."""
    with serving(market, shape, fault=faults.named("reset", times=1)) as server:
        with opened(server, shape) as client, pytest.raises(ConnectionResetError):
            client.recv(1)
        assert ask(server.url, shape).status == 200


@every_shape
def test_drip_sends_byte_by_byte(market: ReplayMarket, shape: str) -> None:
    """The body is the right one, in many pieces."""
    whole = get_newest(market, shape)
    with serving(market, shape, fault=faults.named("drip", pause=0.0005)) as server:
        pieces: list[bytes] = []
        with opened(server, shape) as client:
            while not b"".join(pieces).endswith(whole):
                pieces.append(client.recv(65536))
    assert len(pieces) > 10


def test_drip_ends_when_the_server_stops(market: ReplayMarket) -> None:
    """A pause of minutes keeps neither the server nor its threads alive, and the client sees an answer cut short."""
    before = set(threading.enumerate())
    with serving(market, "kraken", fault=faults.named("drip", pause=600)) as server, opened(server, "kraken") as client:
        head = client.recv(4096)
        server.stop()
        assert head.endswith(b"\r\n\r\n") and client.recv(1) == b""
    for thread in set(threading.enumerate()) - before:
        thread.join(10)
        assert not thread.is_alive()


@every_shape
def test_storm429_says_when_to_come_back(market: ReplayMarket, shape: str) -> None:
    """HTTP 429 with `Retry-After` as often as told, then the bars."""
    with serving(market, shape, fault=faults.named("storm429", times=2, pause=7)) as server:
        answers = [ask(server.url, shape) for _ in range(3)]
    assert [got.status for got in answers] == [429, 429, 200]
    assert [got.headers.get("Retry-After") for got in answers] == ["7", "7", None]


@pytest.mark.parametrize(
    ("shape", "status", "said"),
    [
        ("cryptocompare", 200, '"Type":99'),
        ("coindesk", 429, '"http_status_code":429'),
        ("binance", 418, '"code":-1003'),
        ("coinbase", 429, '"message":"Public rate limit exceeded"'),
        ("kraken", 200, '{"error":["EAPI:Rate limit exceeded"]}'),
    ],
)
def test_ratelimit_speaks_as_the_venue_does(market: ReplayMarket, shape: str, status: int, said: str) -> None:
    """CryptoCompare and Kraken say it with HTTP 200, Binance bans; only Binance says for how long."""
    with serving(market, shape, fault=faults.named("ratelimit", pause=3)) as server:
        got = ask(server.url, shape)
    assert got.status == status and said in got.data.decode()
    assert got.headers.get("Retry-After") == ("3" if shape == "binance" else None)
    if shape == "cryptocompare":
        limits = got.body["RateLimit"]
        assert got.body["Response"] == "Error" and limits["calls_made"]["second"] == limits["max_calls"]["second"]


@every_shape
def test_burst5xx_goes_through_the_gateways_errors(market: ReplayMarket, shape: str) -> None:
    """Each kind of server error in turn, none of them JSON."""
    with serving(market, shape, fault=faults.named("burst5xx", times=5)) as server:
        answers = [ask(server.url, shape) for _ in range(6)]
    assert [got.status for got in answers] == [500, 502, 503, 504, 500, 200]
    assert all(got.data.startswith(b"<html>") for got in answers[:5])


@every_shape
def test_barred_and_html_are_refusals_of_their_own(market: ReplayMarket, shape: str) -> None:
    """HTTP 451 tells of the region; a page with HTTP 200 is no JSON."""
    with serving(market, shape, fault=faults.named("barred")) as server:
        got = ask(server.url, shape)
    assert got.status == 451 and "restricted location" in got.body["msg"]
    with serving(market, shape, fault=faults.named("html")) as server:
        got = ask(server.url, shape)
    assert (got.status, got.headers["Content-Type"][:9], got.data[:6]) == (200, "text/html", b"<html>")


@every_shape
def test_truncated_breaks_off_and_cut_is_no_json(market: ReplayMarket, shape: str) -> None:
    """One promises more than it sends; the other is whole as HTTP but ends in the middle of the JSON."""
    with serving(market, shape, fault=faults.named("truncated", times=1)) as server:
        with pytest.raises(http.client.IncompleteRead) as broken:
            ask(server.url, shape)
        whole = ask(server.url, shape).data
    assert broken.value.partial == whole[: len(whole) // 2]
    with serving(market, shape, fault=faults.named("cut")) as server:
        got = ask(server.url, shape)
    assert got.data == whole[: len(whole) // 2] and int(got.headers["Content-Length"]) == len(got.data)
    with pytest.raises(json.JSONDecodeError):
        got.body


@every_shape
def test_huge_sends_more_than_anyone_should_read(market: ReplayMarket, shape: str) -> None:
    """More than eight mebibytes come without a length; a client that hangs up harms nobody."""
    with serving(market, shape, fault=faults.named("huge", times=1)) as server:
        connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=10)
        connection.request("GET", f"{PATHS[shape]}?{urlencode(newest(shape))}")
        answer = connection.getresponse()
        assert answer.length is None and len(answer.read(9 * MEBIBYTE)) == 9 * MEBIBYTE
        answer.close()
        connection.close()
        assert ask(server.url, shape).status == 200


def test_huge_ends_in_the_end(market: ReplayMarket) -> None:
    """A client that does read it all finds the bars behind 64 MiB of blanks."""
    with serving(market, "kraken", fault=faults.named("huge", times=1)) as server:
        got, right = ask(server.url, "kraken"), ask(server.url, "kraken")
    assert got.body == right.body and len(got.data) - len(right.data) == 64 * MEBIBYTE
