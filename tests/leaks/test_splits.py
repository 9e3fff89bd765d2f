"""Shuffled splits, a scaler of all rows, a left-out purge and a touched promotion window: none can be expressed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cryptovol import backtest, model, spec, training
from cryptovol.bars import Floats
from cryptovol.folds import Fold
from cryptovol.params import Params
from cryptovol.testing import make_bars
from cryptovol.times import HOUR
from cryptovol.training import TrainingTable, Window

BARS = make_bars(2200, seed=3)
HORIZON = 24
RNG = np.random.default_rng(4)


@pytest.fixture(scope="module")
def table(quick: Params) -> TrainingTable:
    """Return the labelled history."""
    return backtest.table_from(BARS, HORIZON, quick, start=int(BARS.time[-1]) + HOUR)


@pytest.fixture(scope="module")
def window(table: TrainingTable, quick: Params) -> Window:
    """Return the honest walk-forward forecasts."""
    return training.walk(table, quick.train)


def poisoned(table: TrainingTable, *, labels_from: int, values_from: int) -> TrainingTable:
    """Return the table with other labels and other features from some rows on; what is missing stays missing."""
    target, values, returns = table.target.copy(), table.values.copy(), table.log_return.copy()
    target[labels_from:] *= np.exp(RNG.normal(3.0, 1.0, len(target) - labels_from))
    values[values_from:] += RNG.normal(5.0, 3.0, values[values_from:].shape)
    returns[values_from:] += RNG.normal(0.0, 0.2, len(returns) - values_from)
    return replace(table, target=target, values=values, log_return=returns)


def forecasts(window: Window) -> dict[str, Floats]:
    """Return all that a fold forecasts, and the mean its R² is measured against."""
    return {name: getattr(window, name) for name in ("predicted", "har", "persistence", "ewma", "past_mean")}


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_folds_forecasts_know_no_later_value_and_no_label_of_its_own(
    table: TrainingTable, window: Window, quick: Params, number: int
) -> None:
    """With every label not yet known, and every later feature and return, replaced, a fold forecasts the same bits."""
    rows = np.searchsorted(table.time, window.time[window.fold == number])
    other = poisoned(table, labels_from=int(rows[0]) - HORIZON + 1, values_from=int(rows[-1]) + 1)
    again = forecasts(training.walk(other, quick.train))
    upto = window.fold <= number
    for name, wanted in forecasts(window).items():
        assert np.array_equal(again[name][upto], wanted[upto]), name


def test_a_fold_does_fit_on_the_newest_label_that_is_known(table: TrainingTable, window: Window, quick: Params) -> None:
    """The test above can fail: one label more is changed, and the forecasts are others."""
    first = int(np.searchsorted(table.time, window.time[0]))
    other = poisoned(table, labels_from=first - HORIZON - 1, values_from=len(table.time))
    assert not np.array_equal(training.walk(other, quick.train).predicted, window.predicted)


def test_fitting_sees_only_rows_before_the_purge_in_their_order(
    table: TrainingTable, window: Window, quick: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each fit, and so its scaler, is given the labelled rows before its purge: nothing shuffled, nothing later."""
    seen: list[Floats] = []
    fit = model.fit

    def watched(values: Floats, target: Floats, *more: object, **named: object) -> object:
        seen.append(values)
        return fit(values, target, *more, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(model, "fit", watched)
    training.walk(table, quick.train)
    labelled = table.labelled()
    starts = [int(np.searchsorted(table.time, window.time[window.fold == k][0])) for k in range(3)]
    whole = [table.values[: start - HORIZON][labelled[: start - HORIZON]] for start in starts]
    assert all(any(np.array_equal(one, each) for one in seen) for each in whole)
    newest = int(np.flatnonzero(labelled)[-1])
    last = np.searchsorted(table.time, window.time[-1]) - HORIZON
    assert newest > last and not any((one == table.values[newest]).all(axis=1).any() for one in seen)


def test_a_scaler_is_fitted_inside_its_fold(table: TrainingTable, quick: Params) -> None:
    """A model of the early rows is the same whatever values the rows after them have; the model carries its scaler."""
    labelled = np.flatnonzero(table.labelled())
    early = labelled[: len(labelled) // 2]
    first = model.fit(table.values[early], table.target[early], quick.train, horizon=HORIZON)
    other = poisoned(table, labels_from=int(early[-1]) + 1, values_from=int(early[-1]) + 1)
    second = model.fit(other.values[early], other.target[early], quick.train, horizon=HORIZON)
    assert np.array_equal(first.predict(table.values[early]), second.predict(table.values[early]))


def test_a_shuffled_split_is_no_fold() -> None:
    """Rows drawn at random cannot be given to the type that every split is made of."""
    order = RNG.permutation(2000)
    with pytest.raises(TypeError):
        Fold(order[:1500], order[1500], order[1501:], HORIZON)  # type: ignore[arg-type]


def test_a_split_without_purge_is_no_fold() -> None:
    """Fitting up to the row before the scored ones, as a plain time split does, is refused."""
    with pytest.raises(ValueError, match="not purged"):
        Fold(1500, 1500, 1600, HORIZON)


def test_the_promotion_window_is_scored_by_models_that_never_saw_it(
    table: TrainingTable, window: Window, quick: Params
) -> None:
    """Promotion compares the walk's forecasts; the model that serves, which has seen those hours, is not asked."""
    header: dict[str, Any] = {"name": "x", "symbol": "BTC", "quote": "USD", "market": "test"}
    header |= {"trained_at": "2025-01-01T00:00:00Z", "source": "made-up", "spec": spec.current(0.75)}
    trained = training.build_bundle(table, quick.train, header=header).bundle
    assert np.array_equal(trained.window["predicted"], window.predicted)
    rows = np.searchsorted(table.time, window.time)
    assert not np.array_equal(trained.predict(table.values[rows]), window.predicted)
