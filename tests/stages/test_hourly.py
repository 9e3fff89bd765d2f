"""The hour's own forecast: in the log whoever asks, once, by the path that serves callers."""

from __future__ import annotations

from typing import Any

import pytest

from cryptovol import events, hourly
from cryptovol.errors import StoreUnavailableError
from cryptovol.params import Params
from cryptovol.times import HOUR, format_instant
from tests.forecasters import BTC, END, Bench
from tests.served import MARKET


@pytest.fixture
def bench(params: Params) -> Bench:
    """Return a bench with fresh bars and a champion per horizon."""
    return Bench(params)


def run(bench: Bench, params: Params, *, as_of: int = END) -> dict[str, Any]:
    """Make the forecasts of an hour."""
    own = {"symbol": "BTC", "quote": "USD", "as_of": format_instant(as_of), "run_id": "h1", "market": MARKET}
    return hourly.run(
        events.parse(own), store=bench.store, params=params, clock=lambda: bench.now, meter=bench.meter
    )  # fmt: skip


def test_each_horizon_is_logged_once_however_often_the_hour_runs(bench: Bench, params: Params) -> None:
    """One entry per horizon; a rerun writes nothing and answers the same."""
    first = run(bench, params)
    assert first["forecasts"] == {"6": "logged", "24": "logged"} and first["rows_forecast"] == 2
    before = dict(bench.store.objects)
    bench.now += 300
    assert run(bench, params) == first and bench.store.objects == before and len(bench.log()) == 2


def test_entry_is_the_one_a_caller_would_have_caused(bench: Bench, params: Params) -> None:
    """Who asks first writes it; the other finds the same number there."""
    told = bench.forecaster.stored(BTC)
    before = bench.log()
    run(bench, params)
    assert len(bench.log()) == 2 and before.items() <= bench.log().items()
    assert {entry["volatility"] for entry in before.values()} == {told["volatility"]}


def test_hour_that_is_long_over_is_not_forecast_in_hindsight(bench: Bench, params: Params) -> None:
    """A catch-up run of an old hour logs nothing, and fails nothing."""
    bench.now += (params.predict.freshness_hours + 1) * HOUR
    assert run(bench, params)["forecasts"] == {"6": "too_late", "24": "too_late"} and bench.log() == {}


def test_what_cannot_be_forecast_is_told_and_scoring_goes_on(bench: Bench, params: Params) -> None:
    """Without a champion the code stands where the forecast would; a store that is away is an error."""
    bench.store.objects = {key: data for key, data in bench.store.objects.items() if "/h6/" not in key}
    assert run(bench, params)["forecasts"] == {"6": "model_not_found", "24": "logged"}
    bench.store.away = True
    with pytest.raises(StoreUnavailableError):
        run(bench, params)
