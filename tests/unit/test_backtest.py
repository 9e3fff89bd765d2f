"""The backtest is the pipeline, it cannot see ahead, and it goes on where it was stopped."""

from dataclasses import replace

import numpy as np
import pytest

from cryptovol import backtest, bundle, evaluation, events, keys, ledger
from cryptovol.adapters.tracking import StoreTracker
from cryptovol.backtest import BASELINES, Plan, learning
from cryptovol.backtest.parts import Parts, identity
from cryptovol.errors import NotEnoughBarsError
from cryptovol.evaluation import MODEL
from cryptovol.features import FEATURE_NAMES
from cryptovol.stages import featurize, train
from cryptovol.testing import MemoryStore, make_bars
from cryptovol.times import HOUR

from tests.stages.conftest import MARKET, put_clean

BARS = make_bars(2300, seed=3)
START = int(BARS.time[2199]) + HOUR
PLAN = Plan(START, refit_hours=48, garch=True)


def table_of(bars, params):
    """Return the table the replay works on."""
    return backtest.table_from(bars, 24, params, start=START)


@pytest.fixture(scope="module")
def found(quick):
    """Return the replay of the hours after START, refitted every two days."""
    return backtest.run(table_of(BARS, quick), quick, PLAN)


def test_backtest_begins_with_the_very_forecast_the_pipeline_serves(found, quick):
    """The first forecast and its intervals are, bit for bit, the champion's at that instant."""
    store = MemoryStore()
    event = events.parse(featurize.run(put_clean(store, BARS.take(slice(0, 2200))), store=store, params=quick))
    train.run(event, store=store, tracker=StoreTracker(store), params=quick)
    champion = ledger.champion(store, MARKET, "btc-usd", 24)
    where = keys.bundle(MARKET, "btc-usd", 24, sha256=champion.bundle_sha256)
    served = bundle.fetch(store, where, champion.bundle_sha256)
    row = table_of(BARS.take(slice(0, 2200)), quick).values[-1:]
    forecast = served.predict(row)
    assert found.scored.time[0] == BARS.time[2199] and found.scored.forecasts[MODEL][0] == forecast[0]
    for level, (lower, upper) in found.scored.bounds.items():
        assert (lower[0], upper[0]) == tuple(end[0] for end in served.interval(forecast, level))


def test_backtest_does_not_see_a_poisoned_future(found, quick):
    """Changing every bar after t changes no forecast, no baseline and no interval made up to t."""
    cut = 2260
    poisoned = {
        n: getattr(BARS, n) * np.where(np.arange(2300) >= cut, 5.0, 1.0) for n in ("open", "high", "low", "close")
    }
    other = type(BARS)(**{**BARS.columns(), **poisoned})
    again = backtest.run(table_of(other, quick), quick, PLAN).scored
    before = found.scored.time < BARS.time[cut]
    for name, forecast in found.scored.forecasts.items():
        assert np.array_equal(again.forecasts[name][before], forecast[before]), name
    for level, ends in found.scored.bounds.items():
        for end, other_end in zip(ends, again.bounds[level], strict=True):
            assert np.array_equal(other_end[before], end[before]), level


def test_backtest_holds_all_baselines_beside_the_model(found):
    """HAR, GARCH, EWMA and persistence have a forecast of every hour the model has."""
    assert tuple(found.scored.forecasts) == (MODEL, *BASELINES)
    assert all(np.isfinite(each).all() for each in found.scored.forecasts.values())
    assert found.refits == 3


def test_backtest_forecasts_the_newest_hours_without_a_target(found):
    """The last 24 forecasts have no realized value yet, and are not scored."""
    assert np.isnan(found.scored.realized[-24:]).all()
    assert evaluation.evaluate(found.scored)["rows"] == len(found.scored) - 24


def test_intervals_are_nested_and_hold_the_forecasts(found):
    """Each level's interval lies in the next wider one's."""
    ends = [found.scored.bounds[level] for level in sorted(found.scored.bounds)]
    for (low, high), (lower, higher) in zip(ends[:-1], ends[1:], strict=True):
        assert (lower <= low).all() and (higher >= high).all()


def test_importance_names_every_feature_once(found):
    """The shares sum to one, largest first, each with its family."""
    rows = backtest.shares(found.importance)
    assert sorted(row["feature"] for row in rows) == sorted(FEATURE_NAMES)
    assert sum(row["share"] for row in rows) == pytest.approx(1.0)
    assert [row["share"] for row in rows] == sorted((row["share"] for row in rows), reverse=True)


def test_learning_curve_is_scored_on_hours_no_length_has_seen(quick):
    """Poisoned labels of the scored hours change what is lost there, not what is lost on the hours seen."""
    table = table_of(BARS, quick)
    first = 2199
    plain = learning.rows(learning.curve(table, quick.train, first, lambda *_: None))
    assert [row["hours"] for row in plain] == sorted(row["hours"] for row in plain) and len(plain) >= 2
    newest = table.target.copy()
    newest[2240:] *= 3.0
    other = learning.rows(learning.curve(replace(table, target=newest), quick.train, first, lambda *_: None))
    for row, changed in zip(plain, other, strict=True):
        assert changed["qlike_seen"] == row["qlike_seen"] and changed["qlike_unseen"] != row["qlike_unseen"]


def test_backtest_outside_the_bars_is_refused_with_their_span(quick):
    """A start after the last bar names what the file holds."""
    with pytest.raises(NotEnoughBarsError, match="outside the bars"):
        backtest.run(table_of(BARS, quick), quick, replace(PLAN, start=START + 10_000 * HOUR))


class Stopped(Exception):
    """What a test stops a replay with."""


def test_backtest_goes_on_where_it_was_stopped(found, quick, tmp_path, monkeypatch):
    """Stopped in its second refit and begun again, the replay fits only what is left and ends with the same bits."""
    table = table_of(BARS, quick)
    own = identity(table, quick, PLAN)

    def stop(what, done, total):
        if (what, done) == ("refits", 2):
            raise Stopped

    with pytest.raises(Stopped):
        backtest.run(table, quick, PLAN, parts=Parts(tmp_path, own), progress=stop)
    fits = []
    real = backtest.model.fit
    monkeypatch.setattr(backtest.model, "fit", lambda *a, **k: fits.append(1) or real(*a, **k))
    again = backtest.run(table, quick, PLAN, parts=Parts(tmp_path, own))
    curve = len(again.learning_curve)
    assert len(fits) == 1 + curve  # the third refit; the walk and two refits were kept
    for name, forecast in found.scored.forecasts.items():
        assert np.array_equal(again.scored.forecasts[name], forecast), name
    assert again.learning_curve == found.learning_curve
    assert np.array_equal(again.importance, found.importance)


def test_parts_of_other_data_are_not_taken(quick, tmp_path):
    """Other bars, parameters or plans have another identity, and another folder."""
    table = table_of(BARS, quick)
    rough = replace(quick, train=replace(quick.train, ridge=1.0))
    other = table_of(make_bars(2300, seed=4), quick)
    names = {
        identity(table, quick, PLAN), identity(table, rough, PLAN), identity(other, quick, PLAN),
        identity(table, quick, replace(PLAN, refit_hours=24)),
    }  # fmt: skip
    assert len(names) == 4
    Parts(tmp_path, "a" * 64).of("walk", lambda: {"x": np.ones(1)})
    assert Parts(tmp_path, "b" * 64).of("walk", lambda: {"x": np.zeros(1)})["x"][0] == 0.0


def test_a_damaged_part_is_made_again(tmp_path):
    """A file cut short by a full disk is not trusted."""
    kept = Parts(tmp_path, "a" * 64)
    kept.of("walk", lambda: {"x": np.arange(5)})
    path = next(tmp_path.rglob("walk.npz"))
    path.write_bytes(path.read_bytes()[:40])
    assert kept.of("walk", lambda: {"x": np.arange(5)})["x"].tolist() == [0, 1, 2, 3, 4]
    assert kept.finished() == 1
