"""The backtest is the pipeline, and it cannot see ahead."""

import csv

import numpy as np
import pytest

from cryptovol import backtest, bundle, events, keys, ledger
from cryptovol.adapters.tracking import StoreTracker
from cryptovol.commands.backtest import write
from cryptovol.errors import NotEnoughBarsError
from cryptovol.stages import featurize, train
from cryptovol.testing import MemoryStore, make_bars
from cryptovol.times import HOUR

from tests.stages.conftest import MARKET, put_clean

BARS = make_bars(2300, seed=3)
START = int(BARS.time[2199]) + HOUR


@pytest.fixture(scope="module")
def found(quick):
    """Return the forecasts of the hours after START, refitted every two days."""
    table = backtest.table_from(BARS, 24, quick, start=START)
    return backtest.run(table, quick, start=START, refit_hours=48, level=0.9)


def test_backtest_begins_with_the_very_forecast_the_pipeline_serves(found, quick):
    """The first forecast and its interval are, bit for bit, the champion's at that instant."""
    store = MemoryStore()
    event = events.parse(featurize.run(put_clean(store, BARS.take(slice(0, 2200))), store=store, params=quick))
    train.run(event, store=store, tracker=StoreTracker(store), params=quick)
    champion = ledger.champion(store, MARKET, "btc-usd", 24)
    where = keys.bundle(MARKET, "btc-usd", 24, sha256=champion.bundle_sha256)
    served = bundle.fetch(store, where, champion.bundle_sha256)
    row = backtest.table_from(BARS.take(slice(0, 2200)), 24, quick, start=START).values[-1:]
    forecast = served.predict(row)
    assert found.time[0] == BARS.time[2199] and found.predicted[0] == forecast[0]
    lower, upper = served.interval(forecast, 0.9)
    assert (found.lower[0], found.upper[0]) == (lower[0], upper[0])


def test_backtest_does_not_see_a_poisoned_future(found, quick):
    """Changing every bar after t changes no forecast made up to t."""
    cut = 2260
    poisoned = {
        n: getattr(BARS, n) * np.where(np.arange(2300) >= cut, 5.0, 1.0) for n in ("open", "high", "low", "close")
    }
    other = type(BARS)(**{**BARS.columns(), **poisoned})
    table = backtest.table_from(other, 24, quick, start=START)
    again = backtest.run(table, quick, start=START, refit_hours=48, level=0.9)
    made_before = found.time < BARS.time[cut]
    for name in ("predicted", "lower", "upper", "har", "ewma", "persistence"):
        assert np.array_equal(getattr(again, name)[made_before], getattr(found, name)[made_before]), name


def test_backtest_forecasts_the_newest_hours_without_a_target(found):
    """The last 24 forecasts have no realized value yet, and are not scored."""
    assert np.isnan(found.realized[-24:]).all()
    assert backtest.score(found, 24)["rows"] == len(found.time) - 24


def test_backtest_writes_the_documented_columns(found, tmp_path):
    """predictions.csv has time, prediction, lower, upper and exact numbers."""
    write(tmp_path / "p.csv", found)
    rows = list(csv.DictReader((tmp_path / "p.csv").read_text().splitlines()))
    assert list(rows[0]) == ["time", "prediction", "lower", "upper"]
    assert int(rows[0]["time"]) == START - HOUR and float(rows[0]["prediction"]) == found.predicted[0]
    assert all(float(r["lower"]) < float(r["prediction"]) < float(r["upper"]) for r in rows)


def test_backtest_outside_the_bars_is_refused_with_their_span(quick):
    """A start after the last bar names what the file holds."""
    table = backtest.table_from(BARS, 24, quick, start=START)
    with pytest.raises(NotEnoughBarsError, match="outside the bars"):
        backtest.run(table, quick, start=START + 10_000 * HOUR, refit_hours=48, level=0.9)
