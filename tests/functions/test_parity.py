"""One forecast, asked for in every way and at a thousand hours: the same number to the last bit."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cryptovol import backtest, features, spec, training
from cryptovol.adapters.telemetry import MemoryMeter
from cryptovol.bars import Bars, Floats
from cryptovol.bundle import Bundle
from cryptovol.commands import barfile
from cryptovol.features import FEATURE_NAMES, WARMUP
from cryptovol.forecasts import Ask
from cryptovol.params import Params
from cryptovol.stages.predict import Forecaster
from cryptovol.testing import MemoryStore, make_bars
from cryptovol.times import HOUR, format_instant
from tests.api import Api, as_json
from tests.served import MARKET, promote, put_bars

HOURS = 1000
HORIZON = 24
SENT = WARMUP + 30  # hours a caller sends
DATA = Path("../shared/data").resolve()


class Market:
    """A history with gaps, a model trained on all 36 features of it, and both in a store that serves."""

    def __init__(self, bars: Bars, quick: Params) -> None:
        self.bars = bars
        self.coverage = quick.featurize.window_coverage
        self.bundle = trained(bars, quick)
        self.store = MemoryStore()
        put_bars(self.store, bars)
        promote(self.store, self.bundle)
        self.now = int(bars.time[-1]) + HOUR
        self.forecaster = Forecaster(
            self.store, market=MARKET, params=quick, clock=lambda: self.now, meter=MemoryMeter()
        )

    def offline(self) -> tuple[Floats, Floats]:
        """Return features and forecast of every hour as the backtest makes them: the whole history at once."""
        table = features.build(self.bars, coverage=self.coverage)
        whole = table.complete()
        predicted = np.full(len(whole), np.nan)
        predicted[whole] = self.bundle.predict(table.values[whole])
        rows = (self.bars.time - self.bars.time[0]) // HOUR
        return table.values[rows], predicted[rows]

    def sent(self, last: int) -> Bars:
        """Return the bars that a caller who knows the market up to one of them sends."""
        return self.bars.take(slice(max(0, last + 1 - SENT), last + 1))


def trained(bars: Bars, quick: Params) -> Bundle:
    """Return a bundle trained on all the bars."""
    end = int(bars.time[-1]) + HOUR
    table = backtest.table_from(bars, HORIZON, quick, start=end)
    header = {
        "name": "parity", "symbol": "BTC", "quote": "USD", "market": MARKET, "source": "made-up",
        "trained_at": format_instant(end), "spec": spec.current(quick.featurize.window_coverage),
    }  # fmt: skip
    return training.build_bundle(table, quick.train, header=header).bundle


@pytest.fixture(scope="module")
def market(quick: Params) -> Market:
    """Return a market with a missing hour here and there, and a gap of ten hours."""
    bars = make_bars(2300, seed=8)
    there = np.random.default_rng(3).random(len(bars)) > 0.01
    there[1500:1510] = False
    there[[0, -1]] = True
    return Market(bars.take(there), quick)


def hours(market: Market) -> list[int]:
    """Return the newest bars, a thousand of them, that have a forecast."""
    _, predicted = market.offline()
    return [int(row) for row in np.flatnonzero(np.isfinite(predicted))[-HOURS:]]


def assert_parity(market: Market) -> None:
    """Check that stored bars, sent bars, ready features and the backtest's way give the same bits at each hour."""
    values, predicted = market.offline()
    rows = hours(market)
    assert len(rows) == HOURS and len(np.unique(predicted[rows])) > 0.99 * HOURS
    for row in rows:
        ask = Ask("BTC", as_of=int(market.bars.time[row]) + HOUR)
        named = dict(zip(FEATURE_NAMES, values[row].tolist(), strict=True))
        found = {
            market.forecaster.stored(ask)["volatility"],
            market.forecaster.of_bars(ask, market.sent(row))["volatility"],
            market.forecaster.of_features(ask, [named])["predictions"][0]["volatility"],
            float(predicted[row]),
        }
        assert len(found) == 1, f"{format_instant(ask.as_of or 0)}: {found}"


def test_four_ways_give_the_same_forecast_at_a_thousand_hours(market: Market) -> None:
    """On made-up bars with gaps, every way to a forecast gives the same number to the last bit."""
    assert_parity(market)


def test_a_batch_gives_each_row_the_bits_it_has_alone(market: Market) -> None:
    """A thousand rows sent at once are forecast as one by one."""
    values, predicted = market.offline()
    rows = hours(market)
    named = [dict(zip(FEATURE_NAMES, values[row].tolist(), strict=True)) for row in rows]
    body = market.forecaster.of_features(Ask("BTC"), named)
    assert [one["volatility"] for one in body["predictions"]] == predicted[rows].tolist()


def test_http_keeps_the_bits(market: Market, quick: Params) -> None:
    """Numbers survive JSON both ways: over HTTP the three bodies give the backtest's number."""
    api = Api(quick)
    api.store, api.now = market.store, market.now
    api.open()
    values, predicted = market.offline()
    for row in hours(market)[::25]:
        as_of = format_instant(int(market.bars.time[row]) + HOUR)
        named = dict(zip(FEATURE_NAMES, values[row].tolist(), strict=True))
        bars = as_json(market.sent(row))
        bodies = ({"symbol": "BTC"}, {"symbol": "BTC", "bars": bars}, {"features": named})
        for body in bodies:
            answer = api.client.post(
                "/predict", headers={"content-type": "application/json"},
                body=json.dumps({**body, "as_of": as_of, "allow_stale": True}).encode(),
            )  # fmt: skip
            assert answer.json_body["volatility"] == predicted[row], body.keys()


@pytest.mark.realdata
@pytest.mark.skipif(not DATA.exists(), reason="the real bars are not here")
@pytest.mark.parametrize(
    ("file", "symbol", "quote"),
    [("btc_usd_cryptocompare_1h.csv.gz", "BTC", "USD"), ("eth_usdt_binance_1h.csv.gz", "ETH", "USDT")],
)
def test_four_ways_give_the_same_forecast_on_real_bars(quick: Params, file: str, symbol: str, quote: str) -> None:
    """So they do on the newest thousand hours of a real history."""
    bars = barfile.gated(DATA / file, quick, symbol=symbol, quote=quote, end="2023-01-01T00:00:00Z")
    newest = bars.take(slice(-2300, None))
    names = {"symbol": np.full(len(newest), "BTC"), "quote": np.full(len(newest), "USD")}
    assert_parity(Market(replace(newest, **names), quick))
