"""The CryptoCompare-shaped server: the legacy shape, the hour in progress, and clean starts and stops."""

import functools
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

from cryptovol.errors import BarSchemaError, ConfigError
from cryptovol.market.markets import Market, ReplayMarket, SimulatedMarket
from cryptovol.market.server import MarketServer, serve
from cryptovol.params import Params
from cryptovol.testing import START, make_bars
from cryptovol.times import HOUR, parse_instant

from tests import market_shapes

N = 300
END = START + N * HOUR
NOW = parse_instant("2026-01-01T10:30:00Z")

write_bars = functools.partial(market_shapes.write_bars, n=N)


@pytest.fixture
def started() -> Iterator[Any]:
    """Return a function that starts a server over a market; all are stopped at the end."""
    servers: list[MarketServer] = []

    def start(market: Market, now: int = NOW) -> str:
        servers.append(serve(market, clock=lambda: now).start())
        return servers[-1].url

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def replay(tmp_path: Path, started: Any) -> str:
    """Return the URL of a server over 300 made-up bars."""
    url: str = started(ReplayMarket(write_bars(tmp_path / "made up.csv")))
    return url


def _get(url: str, **query: Any) -> Any:
    query = {"fsym": "BTC", "tsym": "USD", **query}
    with urlopen(f"{url}/data/v2/histohour?{urlencode(query)}", timeout=10) as response:
        return json.load(response)


def _rows(url: str, **query: Any) -> list[dict[str, Any]]:
    body = _get(url, **query)
    assert body["Response"] == "Success", body
    rows: list[dict[str, Any]] = body["Data"]["Data"]
    return rows


def test_server_answers_in_the_legacy_shape(replay: str) -> None:
    """The body has exactly the names of the legacy API, and limit + 1 rows, oldest first."""
    body = _get(replay, limit=24, toTs=START + 100 * HOUR)
    assert (body["Response"], body["Message"], body["HasWarning"], body["Type"], body["RateLimit"]) == (
        "Success",
        "",
        False,
        100,
        {},
    )
    assert set(body["Data"]) == {"Aggregated", "TimeFrom", "TimeTo", "Data"}
    rows = body["Data"]["Data"]
    assert [row["time"] for row in rows] == [START + hour * HOUR for hour in range(76, 101)]
    assert (body["Data"]["TimeFrom"], body["Data"]["TimeTo"]) == (rows[0]["time"], rows[-1]["time"])
    names = {"time", "high", "low", "open", "volumefrom", "volumeto", "close", "conversionType", "conversionSymbol"}
    assert set(rows[0]) == names


@pytest.mark.parametrize("seconds", [0, 1, 1800, 3599])
def test_server_gives_the_hour_in_progress_half_formed(replay: str, seconds: int) -> None:
    """The newest row is the hour that toTs falls in, with part of its volume and a close nearer to its open."""
    whole = make_bars(N)
    *closed, last = _rows(replay, limit=3, toTs=START + 100 * HOUR + seconds)
    assert last["time"] == START + 100 * HOUR and last["open"] == whole.open[100]
    assert 0 < last["volumefrom"] < whole.volume_base[100] and 0 < last["volumeto"] < whole.volume_quote[100]
    assert abs(last["close"] - last["open"]) < abs(whole.close[100] - whole.open[100])
    assert last["low"] <= min(last["open"], last["close"]) and max(last["open"], last["close"]) <= last["high"]
    for row in closed:
        hour = (row["time"] - START) // HOUR
        assert (row["close"], row["volumefrom"]) == (whole.close[hour], whole.volume_base[hour])


@pytest.mark.parametrize("query", [{}, {"toTs": END}, {"toTs": END + 10**6}])
def test_server_replays_whole_bars_up_to_the_files_end(replay: str, query: dict[str, int]) -> None:
    """At and after the file's end, and by default now, the newest rows are the file's last, complete."""
    rows = _rows(replay, limit=5, **query)
    assert len(rows) == 6 and rows[-1]["time"] == END - HOUR
    assert rows[-1]["volumefrom"] == make_bars(N).volume_base[-1]


def test_server_leaves_gaps_as_gaps(tmp_path: Path, started: Any) -> None:
    """An hour without a bar is a missing row, not an invented one."""
    url = started(ReplayMarket(write_bars(tmp_path / "gap.csv", drop=slice(90, 93))))
    hours = [(row["time"] - START) // HOUR for row in _rows(url, limit=12, toTs=START + 100 * HOUR)]
    assert hours == [88, 89, *range(93, 101)]


def test_server_has_nothing_before_the_first_bar(replay: str) -> None:
    """Before the market's first bar there are no rows."""
    assert _rows(replay, limit=12, toTs=START - HOUR) == []
    assert len(_rows(replay, limit=12, toTs=START + 2 * HOUR)) == 3


def test_server_defaults_to_30_and_gives_2001_at_most(params: Params, started: Any) -> None:
    """Without a limit there are 31 rows; the largest page has 2001."""
    url = started(SimulatedMarket(params.market, clock=lambda: NOW))
    assert 28 <= len(_rows(url)) <= 31
    rows = _rows(url, limit=2000)
    assert 1950 <= len(rows) <= 2001 and rows[-1]["time"] - rows[0]["time"] <= 2000 * HOUR


def test_server_of_the_simulated_market_knows_nothing_after_the_clock(params: Params, started: Any) -> None:
    """However late toTs is, the newest row is the hour in progress by the clock, half formed."""
    url = started(SimulatedMarket(params.market, clock=lambda: NOW))
    rows = _rows(url, limit=3, toTs=NOW + 10**6)
    assert rows[-1]["time"] == NOW - 1800
    later = started(SimulatedMarket(params.market, clock=lambda: NOW + 5 * HOUR), NOW + 5 * HOUR)
    whole = next(row for row in _rows(later, limit=12) if row["time"] == NOW - 1800)
    assert 0 < rows[-1]["volumefrom"] < whole["volumefrom"]
    assert _rows(later, limit=3, toTs=NOW)[:-1] == rows[:-1]


def test_server_aggregates_hours(replay: str) -> None:
    """Rows of six hours have the first open, the extremes, the last close and the summed volume."""
    whole = make_bars(N)
    rows = _rows(replay, limit=2, aggregate=6, toTs=START + 60 * HOUR - 1)
    assert [row["time"] for row in rows] == [START + hour * HOUR for hour in (42, 48, 54)]
    part = whole.take(slice(42, 48))
    assert (rows[0]["open"], rows[0]["close"]) == (part.open[0], part.close[-1])
    assert (rows[0]["high"], rows[0]["low"]) == (part.high.max(), part.low.min())
    assert rows[0]["volumefrom"] == pytest.approx(part.volume_base.sum())


@pytest.mark.parametrize(
    ("query", "kind", "param"),
    [
        ({"fsym": "NOPE"}, 2, "fsym"),
        ({"tsym": "JPY"}, 1, "tsym"),
        ({"fsym": ""}, 2, "fsym"),
        ({"limit": 0}, 2, "limit"),
        ({"limit": 2001}, 2, "limit"),
        ({"limit": "ten"}, 2, "limit"),
        ({"limit": "9" * 5000}, 2, "limit"),
        ({"toTs": -1}, 2, "toTs"),
        ({"toTs": "٣"}, 2, "toTs"),
        ({"toTs": "0" * 5000}, 2, "toTs"),
        ({"aggregate": 31}, 2, "aggregate"),
    ],
)
def test_server_reports_errors_with_http_200(replay: str, query: dict[str, Any], kind: int, param: str) -> None:
    """A pair it does not have and a bad parameter are Response Error of the legacy types, with HTTP 200."""
    body = _get(replay, **query)
    assert (body["Response"], body["Type"], body["ParamWithError"], body["Data"]) == ("Error", kind, param, {})


def test_server_names_its_market_in_headers(replay: str, params: Params, started: Any) -> None:
    """No client can take the stand-in for the live API: every answer names market and source."""
    with urlopen(f"{replay}/health", timeout=10) as response:
        assert response.headers["X-Cryptovol-Market"] == "replay-made-up"
        assert response.headers["X-Cryptovol-Source"] == "replay:made-up"
        body = json.load(response)
    assert body == {"status": "ok", "market": "replay-made-up", "source": "replay:made-up", "symbols": ["BTC"]}
    with urlopen(started(SimulatedMarket(params.market, clock=lambda: NOW)) + "/health", timeout=10) as response:
        assert response.headers["X-Cryptovol-Market"] == response.headers["X-Cryptovol-Source"] == "simulated"


def test_server_answers_404_elsewhere(replay: str) -> None:
    """Other paths do not exist."""
    with pytest.raises(HTTPError) as answer:
        urlopen(f"{replay}/data/price", timeout=10)
    with answer.value:
        assert answer.value.code == 404 and json.load(answer.value)["Response"] == "Error"


def test_server_keeps_a_connection_for_many_requests(replay: str) -> None:
    """HTTP/1.1 connections stay open, so that a backfill needs one."""
    host, port = replay.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as client:
        stream = client.makefile("rb")
        for _ in range(3):
            client.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            assert stream.readline() == b"HTTP/1.1 200 OK\r\n"
            length = 0
            while (line := stream.readline().strip()) != b"":
                length = int(line.split(b":")[1]) if line.startswith(b"Content-Length") else length
            stream.read(length)
        stream.close()


def test_server_says_when_its_port_is_taken(replay: str, tmp_path: Path) -> None:
    """A taken port is a usage error with the cure."""
    port = int(replay.rsplit(":", 1)[1])
    with pytest.raises(ConfigError, match=f"127.0.0.1:{port}.*Cure"):
        serve(ReplayMarket(tmp_path / "made up.csv"), port=port, clock=lambda: NOW)


def test_server_frees_its_port_when_stopped(tmp_path: Path) -> None:
    """After stop the same port can be had at once, even with a client still connected."""
    market = ReplayMarket(write_bars(tmp_path / "a.csv"))
    server = serve(market, clock=lambda: NOW).start()
    port = int(server.url.rsplit(":", 1)[1])
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.recv(100)
        server.stop()
        again = serve(market, port=port, clock=lambda: NOW).start()
        assert again.url == server.url
        again.stop()


def test_replay_of_a_file_without_symbols_answers_for_any_pair(tmp_path: Path, started: Any) -> None:
    """A file that does not name its pair is taken for the one asked for."""
    url = started(ReplayMarket(write_bars(tmp_path / "plain.csv", symbol=None)))
    assert len(_rows(url, fsym="ETH", tsym="EUR", limit=5)) == 6


def test_replay_of_an_empty_file_is_refused(tmp_path: Path) -> None:
    """A header alone is no market."""
    (path := tmp_path / "empty.csv").write_text("time,open,high,low,close,volumefrom,volumeto\n")
    with pytest.raises(BarSchemaError, match="no bars"):
        ReplayMarket(path)


def test_replay_of_rows_without_a_time_is_refused(tmp_path: Path) -> None:
    """They could be served for no hour, and are not left out in silence."""
    path = tmp_path / "timeless.csv"
    path.write_text(f"time,open,high,low,close,volumefrom,volumeto\n{START},1,1,1,1,5,5\n,1,1,1,1,5,5\n")
    with pytest.raises(BarSchemaError, match="1 rows have no time. Cure: see them with `cryptovol validate"):
        ReplayMarket(path)


def test_replay_gives_an_absent_number_as_null(tmp_path: Path, started: Any) -> None:
    """What the file does not give is null in JSON, never NaN or an invented zero."""
    path = tmp_path / "null.csv"
    path.write_text(f"time,open,high,low,close,volumefrom,volumeto\n{START},1,1,1,1,5,\n")
    assert _rows(started(ReplayMarket(path)), limit=1)[0]["volumeto"] is None
