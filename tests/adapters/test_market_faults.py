"""The stand-in server's faults in its data, in every shape: each does what it says and nothing else."""

import math

import pytest

from cryptovol.market import faults
from cryptovol.market.hits import Fault
from cryptovol.market.markets import ReplayMarket
from cryptovol.times import HOUR

from tests.market_shapes import (
    NOW, PATHS, PLACES, PRESENT, SHAPES, Got, ask, get, hours_of, replay, rows_in, serving, table,
)  # fmt: skip

IN_DATA = (
    "empty", "duplicated", "contradictory", "wrong_symbol", "shuffled", "nan", "strings", "negative", "future",
    "stale", "revised", "missing", "off_hour",
)  # fmt: skip
Rows = list[tuple[float, ...]]

pytestmark = pytest.mark.parametrize("shape", SHAPES)


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> ReplayMarket:
    """Bars of any pair."""
    return replay(tmp_path_factory.mktemp("bars"))


@pytest.fixture
def clean(market: ReplayMarket, shape: str) -> Rows:
    """The newest rows as they are without a fault, in the venue's order."""
    with serving(market, shape) as server:
        return table(shape, ask(server.url, shape).body)


def hit(market: ReplayMarket, shape: str, fault: Fault, *, times: int = 1) -> list[Got]:
    """Return the answers to so many requests for the newest rows of a server with a fault."""
    with serving(market, shape, fault=fault) as server:
        return [ask(server.url, shape) for _ in range(times)]


def spoilt(market: ReplayMarket, shape: str, name: str) -> Rows:
    """Return the newest rows of a server with a fault."""
    (got,) = hit(market, shape, faults.named(name))
    assert got.status == 200
    return table(shape, got.body)


def number(row: tuple[float, ...]) -> int:
    """Return a row's hour since the epoch."""
    return int(row[0]) // HOUR


def test_empty_has_no_rows(market: ReplayMarket, shape: str) -> None:
    """The answer is a success with nothing in it."""
    assert spoilt(market, shape, "empty") == []


def test_duplicated_gives_every_row_twice(market: ReplayMarket, shape: str, clean: Rows) -> None:
    """The page stands there, and then once more."""
    assert spoilt(market, shape, "duplicated") == clean * 2


def test_contradictory_gives_hours_with_two_prices(market: ReplayMarket, shape: str, clean: Rows) -> None:
    """Every seventh hour comes a second time, one percent higher."""
    rows = spoilt(market, shape, "contradictory")
    assert sorted(set(clean) & set(rows)) == sorted(clean)
    more = [row for row in rows if row not in set(clean)]
    originals = [row for row in clean if number(row) % 7 == 0]
    assert [row[0] for row in more] == [row[0] for row in originals] and len(more) in (6, 7)
    for row, original in zip(more, originals, strict=True):
        assert row[1:5] == pytest.approx([1.01 * price for price in original[1:5]]) and row[5] == original[5]


def test_wrong_symbol_gives_another_coin(market: ReplayMarket, shape: str, clean: Rows) -> None:
    """Prices are an eighteenth, and where the answer names the pair it is another one."""
    (got,) = hit(market, shape, faults.named("wrong_symbol"))
    for row, original in zip(table(shape, got.body), clean, strict=True):
        assert row[0] == original[0] and row[1:5] == pytest.approx([price / 18 for price in original[1:5]])
    named = {"coindesk": b'"INSTRUMENT":"ETH-USD"', "kraken": b'"XETHZUSD"'}.get(shape, b"")
    assert named in got.data and b"BTC-USD" not in got.data and b"XBT" not in got.data


def test_shuffled_gives_the_rows_out_of_order(market: ReplayMarket, shape: str, clean: Rows) -> None:
    """All rows are there, neither ascending nor descending."""
    rows = spoilt(market, shape, "shuffled")
    assert sorted(rows) == sorted(clean) and rows not in (sorted(rows), sorted(rows, reverse=True))


@pytest.mark.parametrize(("name", "text"), [("nan", "NaN"), ("strings", "unavailable")])
def test_nan_and_strings_stand_where_closes_belong(
    market: ReplayMarket, shape: str, clean: Rows, name: str, text: str
) -> None:
    """Every seventh close is none; nan is a bare literal unless the venue writes numbers as texts."""
    (got,) = hit(market, shape, faults.named(name))
    closes = [row[PLACES[shape][4]] for row in rows_in(shape, got.body)]
    bare = name == "nan" and shape not in ("binance", "kraken")
    for at, (close, original) in enumerate(zip(closes, clean, strict=True)):
        if at % 7:
            assert float(close) == original[4]
        else:
            assert math.isnan(close) if bare else close == text


def test_negative_gives_lows_below_zero(market: ReplayMarket, shape: str, clean: Rows) -> None:
    """The low of every seventh hour has the wrong sign."""
    wanted = [row[:3] + (-row[3] if number(row) % 7 == 0 else row[3],) + row[4:] for row in clean]
    assert spoilt(market, shape, "negative") == wanted != clean


def test_future_gives_hours_that_have_not_begun(market: ReplayMarket, shape: str, clean: Rows) -> None:
    """Three rows open after the server's clock."""
    rows = spoilt(market, shape, "future")
    ahead = sorted(row for row in rows if row[0] > NOW)
    assert hours_of(ahead) == [PRESENT + 1, PRESENT + 2, PRESENT + 3]
    assert sorted(row for row in rows if row[0] <= NOW) == sorted(clean)


def test_stale_gives_nothing_newer_than_three_days_ago(market: ReplayMarket, shape: str) -> None:
    """The feed stands still since then; a range that begins later is empty, but for the row that Kraken always has."""
    with serving(market, shape, fault=faults.named("stale")) as server:
        changes = {"kraken": {"since": None}, "coinbase": {"start": None}}.get(shape, {})
        rows = table(shape, ask(server.url, shape, **changes).body)
        assert max(hours_of(rows)) == PRESENT - 72 and len(rows) >= 48
        if shape in ("coinbase", "kraken"):
            assert len(table(shape, ask(server.url, shape).body)) == (1 if shape == "kraken" else 0)


def test_revised_corrects_what_it_told_first(market: ReplayMarket, shape: str, clean: Rows) -> None:
    """Every seventh hour's close is too high when told for the first time, and right ever after."""
    first, *later = (table(shape, got.body) for got in hit(market, shape, faults.named("revised"), times=3))
    assert later == [clean, clean]
    for row, original in zip(first, clean, strict=True):
        early = number(row) % 7 == 0
        assert row[4] == pytest.approx(original[4] * (1.003 if early else 1), rel=1e-7) and row[2] >= row[4]
        assert early or row == original


def test_missing_leaves_a_hole(market: ReplayMarket, shape: str, clean: Rows) -> None:
    """Three hours of Monday morning are not there; they open 3, 4 and 5 hours after midnight, UTC."""
    monday = PRESENT - PRESENT % 168
    hole = {monday + 3, monday + 4, monday + 5}
    rows = spoilt(market, shape, "missing")
    assert rows == [row for row in clean if hours_of([row])[0] not in hole] and len(rows) == len(clean) - 3


def test_off_hour_gives_times_that_are_no_full_hour(market: ReplayMarket, shape: str, clean: Rows) -> None:
    """Every seventh hour opens 17 minutes late."""
    wanted = [(row[0] + (1020 if number(row) % 7 == 0 else 0), *row[1:]) for row in clean]
    assert spoilt(market, shape, "off_hour") == wanted != clean


@pytest.mark.parametrize("name", IN_DATA)
def test_fault_hits_the_requests_it_is_told_to(market: ReplayMarket, shape: str, name: str) -> None:
    """With `after` 1 and `times` 2 the second and third request for bars are hit, and no other."""
    *first, last = (got.data for got in hit(market, shape, faults.named(name, after=1, times=2), times=5))
    # A revision hits both, but what the first of them told is no news to the second.
    assert [data == last for data in first] == [True, False, name == "revised", True]


def test_fault_spares_requests_for_other_things(market: ReplayMarket, shape: str) -> None:
    """Only requests for bars are hit and counted, unless it is told to hit everything."""
    with serving(market, shape, fault=faults.named("html", times=1)) as server:
        assert get(server.url, "/health").body["status"] == "ok" and get(server.url, "/nowhere").status == 404
        assert ask(server.url, shape).data.startswith(b"<html>")
    with serving(market, shape, fault=faults.named("html", everywhere=True)) as server:
        for path in ("/health", "/nowhere"):
            assert get(server.url, path).data.startswith(b"<html>")


def test_fault_leaves_refusals_as_they_are(market: ReplayMarket, shape: str) -> None:
    """A fault in the bars has nothing to do where none are given."""
    with serving(market, shape) as right, serving(market, shape, fault=faults.named("nan")) as wrong:
        assert get(wrong.url, PATHS[shape]).data == get(right.url, PATHS[shape]).data
