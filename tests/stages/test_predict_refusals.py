"""The predict stage on a store in memory: what it refuses, and by which name."""

from __future__ import annotations

import pytest

from cryptovol.bars import Bars
from cryptovol.errors import (
    BarSchemaError,
    ConfigError,
    FeatureMismatchError,
    ModelExpiredError,
    ModelNotFoundError,
    NotEnoughBarsError,
    StaleDataError,
    UnknownSymbolError,
)
from cryptovol.features import FEATURE_NAMES, WARMUP
from cryptovol.forecasts import Ask
from cryptovol.held import HOLD_SECONDS
from cryptovol.params import Params
from cryptovol.times import HOUR, format_instant
from tests.forecasters import BARS, BTC, END, Bench
from tests.served import make_bundle, promote, put_bars


@pytest.fixture
def bench(params: Params) -> Bench:
    """Return a bench with fresh bars and a champion per horizon."""
    return Bench(params)


@pytest.mark.parametrize(("late", "served"), [(2 * HOUR, True), (2 * HOUR + 1, False)])
def test_stale_bars_are_refused_past_the_limit_unless_allowed(bench: Bench, late: int, served: bool) -> None:
    """At the limit a forecast is given, a second later it is refused, and with allow_stale it is marked."""
    bench.now = END + late
    if served:
        assert bench.forecaster.stored(BTC)["warnings"] == []
        return
    with pytest.raises(StaleDataError, match="2 hours ago"):
        bench.forecaster.stored(BTC)
    assert bench.forecaster.stored(Ask("BTC", allow_stale=True))["warnings"] == ["stale_data"]


def test_expired_model_is_refused_unless_allowed(bench: Bench) -> None:
    """A champion older than its limit does not serve by default, not even on the caller's own bars."""
    promote(bench.store, make_bundle(trained_at=format_instant(END - 169 * HOUR)), version="0")
    with pytest.raises(ModelExpiredError, match="169 hours"):
        bench.forecaster.stored(BTC)
    with pytest.raises(ModelExpiredError):
        bench.forecaster.of_bars(BTC, BARS)
    assert bench.forecaster.stored(Ask("BTC", allow_stale=True))["warnings"] == ["model_expired"]


def test_pair_without_champion_is_unknown_or_not_ready(params: Params) -> None:
    """A configured symbol without a champion is not ready; any other is unknown; neither is remembered."""
    empty = Bench(params, empty=True).forecaster
    with pytest.raises(ModelNotFoundError):
        empty.stored(BTC)
    with pytest.raises(UnknownSymbolError):
        empty.stored(Ask("DOGE"))


@pytest.mark.parametrize(
    "ask",
    [Ask("BTC", horizon=7), Ask("BTC", horizon=0), Ask("BTC", level=0.7), Ask("btc/"), Ask("BTC", as_of=END + 10**6)],
)
def test_ask_for_what_is_not_served_is_a_config_error(bench: Bench, ask: Ask) -> None:
    """An unserved horizon or level, a bad symbol and a future instant are the caller's errors."""
    with pytest.raises(ConfigError):
        bench.forecaster.stored(ask)


def test_stored_bars_that_are_too_few_are_refused(params: Params) -> None:
    """Without the longest window there is no forecast."""
    bench = Bench(params, empty=True)
    promote(bench.store, make_bundle(trained_at=format_instant(END)))
    with pytest.raises(NotEnoughBarsError):
        bench.forecaster.stored(BTC)
    bench.now += HOLD_SECONDS
    put_bars(bench.store, BARS.take(slice(len(BARS) - WARMUP + 1, None)))
    with pytest.raises(NotEnoughBarsError, match=str(WARMUP)):
        bench.forecaster.stored(BTC)


def broken(name: str, row: int, value: float) -> Bars:
    """Return the bars with one value replaced."""
    column = getattr(BARS, name).copy()
    column[row] = value
    return Bars(**{**BARS.columns(), name: column})


@pytest.mark.parametrize(
    ("bars", "fault"),
    [
        (broken("time", 3, BARS.time[2]), "not after"),
        (broken("time", 3, BARS.time[3] + 1), "full hour"),
        (broken("close", 7, 0.0), "above 0"),
        (broken("high", 7, BARS.low[7]), "outside"),
        (broken("volume_base", 7, -1.0), "volume"),
        (broken("time", 1499, END + 10 * HOUR), "not closed"),
    ],
)
def test_own_bars_that_cannot_be_are_refused_by_row(bench: Bench, bars: Bars, fault: str) -> None:
    """A bar out of order, off the hour, still open or impossible is named."""
    with pytest.raises(BarSchemaError, match=rf"bars\[\d+\].*{fault}"):
        bench.forecaster.of_bars(BTC, bars)


def test_feature_names_must_be_the_models(bench: Bench) -> None:
    """Missing and surplus names are listed."""
    row = {**dict.fromkeys(FEATURE_NAMES[1:], 0.0), "surprise": 1.0}
    with pytest.raises(FeatureMismatchError) as caught:
        bench.forecaster.of_features(BTC, [row])
    assert (caught.value.missing, caught.value.unexpected) == ((FEATURE_NAMES[0],), ("surprise",))
