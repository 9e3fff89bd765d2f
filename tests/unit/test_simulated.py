"""The simulated market: repeatable, prefix-stable, and volatile in the ways that forecasts live on."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryptovol.bars import Bars, Floats
from cryptovol.errors import UnknownSymbolError
from cryptovol.market import simulated
from cryptovol.params import Params
from cryptovol.times import HOUR, parse_instant

START = parse_instant("2021-01-01T00:00:00Z")


@pytest.fixture(scope="module")
def long(params: Params) -> Bars:
    """Return three years of BTC/USD."""
    return simulated.path(params.market, "BTC", until=START + 26_304 * HOUR)


def _returns(bars: Bars) -> Floats:
    return np.asarray(np.diff(np.log(bars.close)))


def _correlation(a: Floats, b: Floats) -> float:
    return float(np.corrcoef(a, b)[0, 1])


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2500), st.integers(0, 2500), st.sampled_from(["BTC", "DOGE"]), st.sampled_from(["USD", "EUR"]))
def test_path_gives_the_same_earlier_bars_bit_for_bit(params: Params, a: int, b: int, symbol: str, quote: str) -> None:
    """Asking for more hours changes nothing of the earlier ones."""
    short, more = (
        simulated.path(params.market, symbol, quote, until=START + hours * HOUR) for hours in (min(a, b), max(a, b))
    )
    head = more.closed_by(START + min(a, b) * HOUR)
    for name in ("time", "open", "high", "low", "close", "volume_base", "volume_quote"):
        assert getattr(short, name).tobytes() == getattr(head, name).tobytes()


def test_path_differs_by_seed_and_symbol(params: Params) -> None:
    """Another seed or another coin is another path."""
    until = START + 100 * HOUR
    market = replace(params.market, gap_share=0.0)
    one = simulated.path(market, "BTC", until=until)
    other = simulated.path(replace(market, seed=1), "BTC", until=until)
    coin = simulated.path(market, "ETH", until=until)
    assert abs(_correlation(_returns(one), _returns(other))) < 0.5
    assert _correlation(_returns(one), _returns(coin)) < 0.95


def test_path_gives_only_bars_closed_by_until(params: Params) -> None:
    """The newest bar has closed; before the market's start there is none."""
    assert simulated.path(params.market, "BTC", until=START + HOUR - 1).time.tolist() == []
    assert simulated.path(params.market, "BTC", until=START + HOUR).time.tolist() == [START]
    assert len(simulated.path(params.market, "BTC", until=START - 5 * HOUR)) == 0


@pytest.mark.parametrize("pair", [("NOPE", "USD"), ("BTC", "JPY")])
def test_path_refuses_an_unknown_pair(params: Params, pair: tuple[str, str]) -> None:
    """A pair the market does not have is named, with those it has."""
    with pytest.raises(UnknownSymbolError, match="BTC, ETH"):
        simulated.path(params.market, *pair, until=START)


@pytest.mark.parametrize("symbol", simulated.COINS)
def test_bars_are_possible_for_every_coin(params: Params, symbol: str) -> None:
    """Prices are positive and in order, volumes positive, each hour opens where the last one closed."""
    bars = simulated.path(replace(params.market, gap_share=0.0), symbol, until=START + 3000 * HOUR)
    assert len(bars) == 3000 and (bars.low > 0).all() and (bars.volume_base > 0).all()
    assert (bars.high >= np.maximum(bars.open, bars.close)).all()
    assert (bars.low <= np.minimum(bars.open, bars.close)).all()
    np.testing.assert_array_equal(bars.open[1:], bars.close[:-1])
    level = simulated.COINS[symbol].level
    assert level / 10 < bars.close.min() and bars.close.max() < level * 10


def test_returns_have_fat_tails_and_no_direction(long: Bars) -> None:
    """Kurtosis is far above 3; one hour's return says next to nothing about the next."""
    r = _returns(long)
    assert np.mean((r - r.mean()) ** 4) / r.var() ** 2 > 6
    assert abs(_correlation(r[1:], r[:-1])) < 0.04


def test_volatility_clusters_over_hours_days_and_weeks(long: Bars) -> None:
    """Sizes of returns are correlated over many scales, and less the further apart they are."""
    size = np.abs(_returns(long))
    lags = [_correlation(size[lag:], size[:-lag]) for lag in (1, 24, 168)]
    assert lags[0] > lags[1] > lags[2] > 0.05 and lags[0] > 0.2


def test_a_fall_raises_volatility_more_than_a_rise(long: Bars) -> None:
    """Leverage: the next hour moves more after a negative return than after an equal positive one."""
    r = _returns(long)
    assert _correlation(r[:-1], np.abs(r[1:])) < -0.02


def test_volatility_has_seasons_of_day_and_week(long: Bars) -> None:
    """The American afternoon is busier than the European night, weekdays than weekends."""
    size, time = np.abs(_returns(long)), long.time[1:]
    hour, weekday = time // HOUR % 24, (time // (24 * HOUR) + 3) % 7
    assert size[np.isin(hour, (14, 15, 16))].mean() > 1.2 * size[np.isin(hour, (3, 4, 5))].mean()
    assert size[weekday < 5].mean() > 1.15 * size[weekday >= 5].mean()


def test_volume_follows_volatility(long: Bars) -> None:
    """Wide hours are busy hours."""
    assert _correlation(np.log(long.high / long.low), np.log(long.volume_base)) > 0.5


def test_ranges_say_what_returns_say(long: Bars) -> None:
    """The Parkinson estimate agrees with the squared returns within a third, though it sees only 12 steps."""
    parkinson = np.sqrt(np.mean(np.log(long.high / long.low) ** 2) / (4 * np.log(2)))
    assert 0.66 < parkinson / _returns(long).std() < 1.1


def test_gaps_are_as_frequent_as_asked(params: Params) -> None:
    """About the asked share of hours is missing; with none asked, none is."""
    hours = 26_304
    many = simulated.path(replace(params.market, gap_share=0.02), "BTC", until=START + hours * HOUR)
    assert 0.012 < 1 - len(many) / hours < 0.028


def test_coins_move_together(params: Params, long: Bars) -> None:
    """Two coins share much of their shocks, but not all."""
    other = simulated.path(params.market, "ETH", until=START + 26_304 * HOUR)
    both = np.intersect1d(long.time, other.time)
    a, b = (x.take(np.isin(x.time, both)) for x in (long, other))
    assert 0.4 < _correlation(_returns(a), _returns(b)) < 0.95
