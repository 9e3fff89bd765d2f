"""Failover over HTTP: the real clients against stand-ins that play live venues with faults."""

from dataclasses import replace

import numpy as np
import pytest

from cryptovol import settings as settings_module
from cryptovol.adapters.sources import open_source
from cryptovol.adapters.sources.venues import DIALECTS
from cryptovol.bars import PRICES
from cryptovol.market import faults
from cryptovol.settings import url_setting
from cryptovol.testing import make_bars
from cryptovol.times import HOUR

from tests.venues import NOW, NOWHERE, fetched, whose

N = 900  # hours asked for; Kraken keeps 720
END = NOW - 1800
START = END - N * HOUR
BARS = make_bars(N + 1, start=START)


@pytest.fixture
def opened(params, stand_in):
    """Return what opens the live source over stand-ins, in the order given; nobody listens at the other addresses."""

    def start(*, stand_ins=(), **shapes):
        science = replace(
            params, sources=replace(params.sources, order=tuple(shapes), tries=1, stand_in_quotes=stand_ins)
        )
        served = {url_setting(shape): stand_in(shape, bars=BARS, **more) for shape, more in shapes.items()}
        where = settings_module.load({"CRYPTOVOL_SOURCE": "live", **NOWHERE, **served})
        return open_source(where, science, clock=lambda: NOW)

    return start


def is_history(found, *, quote="USD"):
    """Return whether the bars are those served, each once; some venues round, and not all give quote volumes."""
    same = [np.allclose(getattr(found, name), getattr(BARS, name)[:N], rtol=1e-9) for name in (*PRICES, "volume_base")]
    return found.time.tolist() == BARS.time[:N].tolist() and all(same) and set(found.quote) == {quote}


@pytest.mark.parametrize("fault", ["truncated", "reset", "cut", "html", "burst5xx", "barred", "storm429"])
def test_a_backfill_goes_on_at_the_next_venue(opened, fault):
    """The first venue fails at its third page; the other brings the rest, and nothing is lost or doubled."""
    found_fault = replace(faults.named(fault, times=None), after=3, pause=600.0)
    source = opened(coinbase={"fault": found_fault}, cryptocompare={})
    source.origin("BTC", "USD")
    found = fetched(source, start=START, end=END)
    two = 2 * DIALECTS["coinbase"].page_bars
    assert is_history(found) and whose(found) == [("coinbase", two), ("cryptocompare", N - two)]


def test_a_stale_venue_is_followed_by_a_fresh_one(opened):
    """It has nothing newer than three days ago and says no word about it."""
    source = opened(coindesk={"fault": faults.named("stale", times=None)}, kraken={})
    found = fetched(source, start=END - 100 * HOUR, end=END)
    (first, old), (second, new) = whose(found)
    assert (first, second) == ("coindesk", "kraken") and 71 <= new <= 73 and old + new == 100


def test_hours_before_krakens_reach_come_from_the_next_venue(opened):
    """Kraken keeps 720 hours; for fewer it serves itself."""
    source = opened(kraken={}, coinbase={})
    assert source.origin("BTC", "USD").source == "kraken"
    assert whose(fetched(source, start=START, end=END)) == [("coinbase", N)]
    assert whose(fetched(source, start=END - 700 * HOUR, end=END)) == [("kraken", 700)]


def test_binance_serves_the_dollar_in_tether_if_the_parameters_allow_it(opened):
    """Its rows say in which currency they are."""
    source = opened(
        stand_ins=("USDT",), binance={"quote": "USDT"}, coinbase={"fault": faults.named("reset", times=None)}
    )
    assert source.origin("BTC", "USD").source == "binance"
    assert is_history(fetched(source, start=START, end=END), quote="USDT")
