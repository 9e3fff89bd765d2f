"""The stand-in server in the shape of each venue: rows, order, limits, gaps and the hour in progress."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cryptovol.market.markets import ReplayMarket, SimulatedMarket
from cryptovol.params import Params
from cryptovol.testing import START
from cryptovol.times import HOUR, format_instant

from tests.market_shapes import (
    BARS, NOW, PATHS, PRESENT, SHAPES, ask, get, hours_of, newest, replay, rows_in, serving, serving_all, table, truth,
)  # fmt: skip

FIRST = NOW - 1800


@pytest.fixture(scope="module")
def urls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The address of a server in each shape, over bars of any pair, some of them after the servers' clock."""
    with serving_all(replay(tmp_path_factory.mktemp("bars"))) as found:
        yield found


@pytest.mark.parametrize("shape", SHAPES)
def test_shape_gives_the_markets_numbers_in_its_own_order(urls: dict[str, str], shape: str) -> None:
    """Every closed bar is there with its numbers, oldest first, and on Coinbase newest first."""
    rows = table(shape, ask(urls[shape], shape).body)
    wanted = list(range(PRESENT - 47, PRESENT + 1))
    assert hours_of(rows) == (wanted[::-1] if shape == "coinbase" else wanted)
    for row, hour in zip(sorted(rows)[:-1], wanted[:-1], strict=True):
        assert row == pytest.approx(truth(hour), abs=1e-8)


@pytest.mark.parametrize("shape", SHAPES)
def test_shape_gives_the_hour_in_progress_half_formed(urls: dict[str, str], shape: str) -> None:
    """The newest row is of the hour that has not ended, with part of its volume; nothing later is known."""
    last = max(table(shape, ask(urls[shape], shape).body))
    _, opened, high, low, close, volume = truth(PRESENT)
    assert last[:2] == pytest.approx((FIRST, opened))
    assert 0 < last[5] < volume and abs(last[4] - opened) < abs(close - opened)
    assert low < last[3] <= last[2] < high


@pytest.mark.parametrize("shape", SHAPES)
def test_shape_leaves_gaps_as_gaps(tmp_path: Path, shape: str) -> None:
    """An hour without a bar is a missing row."""
    with serving(replay(tmp_path, drop=slice(PRESENT - 9, PRESENT - 6)), shape) as server:
        hours = sorted(hours_of(table(shape, ask(server.url, shape).body)))
    gap = {PRESENT - 9, PRESENT - 8, PRESENT - 7}
    assert hours[-20:] == [hour for hour in range(PRESENT - 22, PRESENT + 1) if hour not in gap]


@pytest.mark.parametrize("shape", SHAPES)
def test_shape_serves_the_simulated_market(params: Params, shape: str) -> None:
    """The simulated market is to be had in every shape, up to the hour in progress."""
    with serving(SimulatedMarket(params.market, clock=lambda: NOW), shape) as server:
        rows = table(shape, ask(server.url, shape).body)
    assert len(rows) == 48 and max(rows)[0] == FIRST


@pytest.mark.parametrize(("shape", "pair"), [("binance", "BTC-USDT"), ("coinbase", "BTC-USD"), ("kraken", "BTC-USD")])
def test_shape_without_a_null_leaves_out_an_hour_without_a_price(tmp_path: Path, shape: str, pair: str) -> None:
    """Where rows hold numbers only, a bar without prices is a gap."""
    path = tmp_path / "holes.csv"
    head = "time,open,high,low,close,volumefrom,volumeto,symbol\n"
    path.write_text(f"{head}{START},2,3,1,2,5,,{pair}\n{START + HOUR},,,,,5,,{pair}\n")
    with serving(ReplayMarket(path), shape) as server:
        body = ask(server.url, shape, start=None, end=None, since=None).body
    assert table(shape, body) == [(START, 2, 3, 1, 2, 5)]
    # A quote volume that the market does not give is reckoned at the mean of high, low and close.
    assert rows_in(shape, body)[0][5:8] in (
        [5.0],
        ["2.00000000", "5.00000000", 5],
        ["5.00000000", 1704070799999, "10.00000000"],
    )


# ------------------------------------------------------------------ each venue's own ways


def test_binance_rows_have_twelve_values_with_numbers_as_texts(urls: dict[str, str]) -> None:
    """Times are milliseconds and a count is whole; all else is text."""
    *_, row, _ = ask(urls["binance"], "binance").body
    kinds = [int, str, str, str, str, str, int, str, int, str, str, str]
    assert [type(value) for value in row] == kinds
    assert row[0] % (1000 * HOUR) == 0 and row[6] == row[0] + 1000 * HOUR - 1
    assert float(row[7]) == pytest.approx(BARS.volume_quote[PRESENT - 1])


@pytest.mark.parametrize(
    ("query", "hours"),
    [
        ({"limit": 5}, range(PRESENT - 4, PRESENT + 1)),
        ({"limit": 5, "startTime": START * 1000}, range(5)),
        ({"limit": 5, "startTime": START * 1000 + 1}, range(1, 6)),
        ({"limit": 5, "endTime": (START + 100 * HOUR) * 1000}, range(96, 101)),
        ({"limit": 5, "endTime": (START + 100 * HOUR) * 1000 - 1}, range(95, 100)),
        ({"limit": 5, "startTime": START * 1000, "endTime": (START + 2 * HOUR) * 1000}, range(3)),
        ({"limit": 5, "startTime": (START + 9 * HOUR) * 1000, "endTime": START * 1000}, []),
        ({"limit": None}, range(PRESENT - 499, PRESENT + 1)),
        ({"limit": 5000}, range(PRESENT - 999, PRESENT + 1)),
        ({"limit": 5, "startTime": START}, range(5)),
    ],
)
def test_binance_pages_forward_from_a_start_and_backward_without(urls: dict[str, str], query: Any, hours: Any) -> None:
    """From `startTime` on the oldest rows come, else the newest; 500 unless told otherwise, never above 1000."""
    assert hours_of(table("binance", ask(urls["binance"], "binance", **query).body)) == list(hours)


def test_coindesk_limits_rows_and_counts_back_from_its_end(urls: dict[str, str]) -> None:
    """Exactly `limit` rows up to the hour of `to_ts`, 30 unless told otherwise, at most 2000."""
    url = urls["coindesk"]
    rows = table("coindesk", ask(url, "coindesk", limit=None, to_ts=START + 100 * HOUR).body)
    assert hours_of(rows) == list(range(71, 101)) and rows[-1][5] < truth(100)[5]
    assert len(table("coindesk", ask(url, "coindesk", limit=2000).body)) == 2000


@pytest.mark.parametrize(("changes", "invented"), [({"fill": "true"}, 3), ({"fill": None}, 3), ({"fill": "0"}, 0)])
def test_coindesk_invents_rows_for_gaps_unless_told_not_to(tmp_path: Path, changes: Any, invented: int) -> None:
    """With `fill`, on by default, an absent hour repeats the close before it and has no volume."""
    with serving(replay(tmp_path, drop=slice(PRESENT - 9, PRESENT - 6)), "coindesk") as server:
        rows = ask(server.url, "coindesk", **changes).body["Data"]
    flat = [row for row in rows if row["VOLUME"] == 0]
    assert len(flat) == invented and len(rows) == 45 + invented
    close = truth(PRESENT - 10)[4]
    for row in flat:
        assert [row[name] for name in ("OPEN", "HIGH", "LOW", "CLOSE")] == pytest.approx([close] * 4)
        assert row["QUOTE_VOLUME"] == row["TOTAL_INDEX_UPDATES"] == 0


def test_coindesk_gives_the_groups_asked_for(urls: dict[str, str]) -> None:
    """Each row names its market and instrument, and has the fields of the groups that were named, or all."""
    everything = ask(urls["coindesk"], "coindesk").body
    assert everything["Err"] == {} and everything["Data"][0]["QUOTE_VOLUME"] > 0
    row = ask(urls["coindesk"], "coindesk", groups="ID,OHLC").body["Data"][0]
    head = {"UNIT", "TIMESTAMP", "TYPE", "MARKET", "INSTRUMENT"}
    assert set(row) == head | {"OPEN", "HIGH", "LOW", "CLOSE"} < set(everything["Data"][0])
    assert (row["UNIT"], row["MARKET"], row["INSTRUMENT"]) == ("HOUR", "cadli", "BTC-USD")


def test_coindesk_gathers_hours(urls: dict[str, str]) -> None:
    """Rows of six hours have the first open, the extremes, the last close and the summed volume."""
    rows = table("coindesk", ask(urls["coindesk"], "coindesk", limit=2, aggregate=6, to_ts=START + 60 * HOUR - 1).body)
    part = BARS.take(slice(48, 54))
    assert hours_of(rows) == [48, 54]
    assert rows[0][1:5] == pytest.approx((part.open[0], part.high.max(), part.low.min(), part.close[-1]))
    assert rows[0][5] == pytest.approx(part.volume_base.sum())


def test_coinbase_includes_both_ends_and_refuses_more_than_300_hours(urls: dict[str, str]) -> None:
    """A span of 300 hours has 301 rows; one second more is HTTP 400 and no rows."""
    url, end = urls["coinbase"], START + 500 * HOUR
    rows = table("coinbase", ask(url, "coinbase", start=end - 300 * HOUR, end=end).body)
    assert hours_of(rows) == list(range(500, 199, -1))
    refused = ask(url, "coinbase", start=end - 300 * HOUR - 1, end=end)
    assert refused.status == 400 and "requested exceeds 300" in refused.body["message"]


def test_coinbase_reads_instants_of_iso_8601_too(urls: dict[str, str]) -> None:
    """`start` and `end` may be written either way; a range with one end only is no range."""
    changes = {"start": format_instant(START), "end": "2024-01-01T02:00:00.000+00:00"}
    assert hours_of(table("coinbase", ask(urls["coinbase"], "coinbase", **changes).body)) == [2, 1, 0]
    rows = table("coinbase", ask(urls["coinbase"], "coinbase", end=None).body)
    assert hours_of(rows) == list(range(PRESENT, PRESENT - 350, -1))


@pytest.mark.parametrize(
    ("since", "hours"),
    [
        (None, range(PRESENT - 719, PRESENT + 1)),
        (0, range(PRESENT - 719, PRESENT + 1)),
        (START, range(PRESENT - 719, PRESENT + 1)),
        (FIRST - 3 * HOUR, range(PRESENT - 2, PRESENT + 1)),
        (FIRST - 3 * HOUR - 1, range(PRESENT - 3, PRESENT + 1)),
        (FIRST, [PRESENT]),
        (10**19, [PRESENT]),
    ],
)
def test_kraken_keeps_its_newest_720_hours(urls: dict[str, str], since: int | None, hours: Any) -> None:
    """Rows come after `since`, none older than 720 hours whatever it says, and the last one always."""
    body = ask(urls["kraken"], "kraken", since=since).body
    assert hours_of(table("kraken", body)) == list(hours)
    if len(hours) > 1:
        assert body["result"]["last"] == START + (PRESENT - 1) * HOUR


def test_kraken_rows_have_eight_values_with_the_mean_price_among_them(urls: dict[str, str]) -> None:
    """Time and count are whole, all else is text, and vwap times volume is the quote volume."""
    *_, row, _ = rows_in("kraken", ask(urls["kraken"], "kraken").body)
    assert [type(value) for value in row] == [int, str, str, str, str, str, str, int]
    assert float(row[5]) * float(row[6]) == pytest.approx(BARS.volume_quote[PRESENT - 1])


@pytest.mark.parametrize(
    ("pair", "name"),
    [
        ("XBTUSD", "XXBTZUSD"), ("BTCUSD", "XXBTZUSD"), ("XXBTZUSD", "XXBTZUSD"), ("xbt/usd", "XXBTZUSD"),
        ("ETHUSD", "XETHZUSD"), ("ETHXBT", "XETHXXBT"), ("SOLUSD", "SOLUSD"), ("XBTUSDT", "XBTUSDT"),
        ("DOGEUSD", "XDGUSD"), ("XTZUSD", "XTZUSD"),
    ],
)  # fmt: skip
def test_kraken_names_pairs_in_its_own_way(urls: dict[str, str], pair: str, name: str) -> None:
    """Rows stand under the pair's full name, however the pair was asked for."""
    assert set(ask(urls["kraken"], "kraken", pair=pair).body["result"]) == {name, "last"}


def test_shapes_know_only_the_pairs_of_their_market(tmp_path: Path) -> None:
    """A file of BTC/USD is BTC-USD and XBTUSD, but neither BTCUSDT nor BTCUSD on Binance."""
    market = replay(tmp_path, symbol="BTC-USD")
    for shape in ("cryptocompare", "coindesk", "coinbase", "kraken"):
        with serving(market, shape) as server:
            assert len(table(shape, get(server.url, PATHS[shape], newest(shape)).body)) == 48
    with serving(market, "binance") as server:
        for symbol in ("BTCUSDT", "BTCUSD"):
            refused = ask(server.url, "binance", symbol=symbol)
            assert (refused.status, refused.body) == (400, {"code": -1121, "msg": "Invalid symbol."})
