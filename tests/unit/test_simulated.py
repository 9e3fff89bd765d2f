"""The simulated market: repeatable, prefix-stable, and made of possible bars."""

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


def test_gaps_are_as_frequent_as_asked(params: Params) -> None:
    """About the asked share of hours is missing; with none asked, none is."""
    hours = 26_304
    many = simulated.path(replace(params.market, gap_share=0.02), "BTC", until=START + hours * HOUR)
    assert 0.012 < 1 - len(many) / hours < 0.028
