"""Real hourly bars lie in the bands to which the simulated market is held, so the bands say something of markets."""

from pathlib import Path

import pytest

from cryptovol import gate
from cryptovol.market import files
from cryptovol.times import HOUR, parse_instant

from tests.stylised import BANDS, COINS_BAND, coins_together, facts

DATA = Path("../shared/data")
NAMES = ("btc_usd_cryptocompare_1h", "btc_usdt_binance_1h", "eth_usdt_binance_1h")

pytestmark = [
    pytest.mark.realdata,
    pytest.mark.skipif(not DATA.is_dir(), reason="the real bars are not here"),
]


@pytest.fixture(scope="module")
def clean(params):
    """Return the files' bars that pass the gate."""
    found = {}
    for name in NAMES:
        bars = files.read(DATA / f"{name}.csv.gz")
        as_of, pair = int(bars.time[-1]) + HOUR, (str(bars.symbol[0]), str(bars.quote[0]))
        report = gate.check(bars, as_of=as_of, params=params.gate, symbol=pair[0], quote=pair[1])
        found[name] = bars.take(report.clean)
    return found


def _years(bars, first, last):
    """Return the bars from the start of one year to the start of another."""
    return bars.between(*(parse_instant(f"{year}-01-01T00:00:00Z") for year in (first, last)))


def _outside(bars):
    values = facts(bars)
    return {fact: values[fact] for fact, (low, high) in BANDS.items() if not low <= values[fact] <= high}


@pytest.mark.parametrize("year", range(2018, 2024))
@pytest.mark.parametrize("name", NAMES[1:])
def test_three_real_years_lie_in_the_bands(clean, name, year):
    """Every stretch of three calendar years of either coin has every fact."""
    assert not _outside(_years(clean[name], year, year + 3))


def test_the_aggregate_of_many_exchanges_lies_in_the_bands(clean):
    """So do five and a half years of another provider's bars."""
    assert not _outside(clean[NAMES[0]])


@pytest.mark.parametrize("year", range(2018, 2026))
def test_two_real_coins_move_together(clean, year):
    """BTC and ETH share most of their returns in every year."""
    low, high = COINS_BAND
    assert low <= coins_together(*(_years(clean[name], year, year + 1) for name in NAMES[1:])) <= high
