"""docs/bad-input.md, cell by cell: each bad input goes through gate, stages and API, and ends as documented."""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import app as predict_app
import numpy as np
import pytest
from chalice.test import Client
from chalicelib import service

from cryptovol import events, gate, history
from cryptovol.adapters.telemetry import MemoryMeter, logger
from cryptovol.adapters.tracking import StoreTracker
from cryptovol.bars import PRICES, Bars
from cryptovol.errors import BarSchemaError, CryptovolError, FeatureValueError, NotEnoughBarsError
from cryptovol.features import FEATURE_NAMES, WARMUP
from cryptovol.forecasts import Ask, Forecast
from cryptovol.params import Params
from cryptovol.settings import load
from cryptovol.stages import featurize, train
from cryptovol.stages.predict import Forecaster
from cryptovol.testing import MemoryStore, make_bars
from cryptovol.times import HOUR, format_instant
from tests.bar_faults import Change, assign, drop
from tests.served import MARKET, make_bundle, promote, put_bars
from tests.stages.conftest import put_clean

N = 2200
BARS = make_bars(N, seed=3)
AS_OF = int(BARS.time[-1]) + HOUR
COLUMNS = ("gate", "featurize", "train", "predict", "POST /predict")
ROW = re.compile(r"^\| (.+?) \| (.+?) \| (.+?) \| (.+?) \| (.+?) \| (.+?) \|$", re.MULTILINE)
TEXT = Path("docs/bad-input.md").read_text(encoding="utf-8")


def jump(bars: Bars) -> Bars:
    """Move the price by 20 % within one hour, for good."""
    before, at = float(bars.close[-11]), N - 10
    for name in PRICES:
        bars = assign(name, slice(at, None), getattr(bars, name)[at:] * 1.2)(bars)
    return assign("open", at, before)(assign("low", at, min(before, float(bars.low[at])))(bars))


def flat(bars: Bars) -> Bars:
    """Hold the price at 100."""
    for name in PRICES:
        bars = assign(name, slice(None), 100.0)(bars)
    return bars


def of_another_market(bars: Bars) -> Bars:
    """Put one hour of a coin at a twentieth of the price among them, without its name."""
    for name in PRICES:
        bars = assign(name, N - 20, getattr(bars, name)[N - 20] / 20.0)(bars)
    return bars


INPUTS: dict[str, Change] = {
    "no bar at all": lambda bars: bars.take(slice(0, 0)),
    "one bar less than the longest window": lambda bars: bars.take(slice(N - WARMUP + 1, None)),
    "too few bars to train on": lambda bars: bars.take(slice(N - WARMUP - 480, None)),
    "a flat market": flat,
    "one missing hour": drop(N - 10),
    "29 missing hours before the newest bar": drop(slice(N - 30, N - 1)),
    "60 missing hours": drop(slice(N - 400, N - 340)),
    "one hour of 20 %": jump,
    "the newest volume missing": assign("volume_base", N - 1, np.nan),
    "one close missing": assign("close", N - 10, np.nan),
    "all volumes missing": assign("volume_base", slice(None), np.nan),
    "one bar of ETH": assign("symbol", N - 20, "ETH"),
    "one bar of another market under our name": of_another_market,
    "a bar given twice": lambda bars: bars.take(np.insert(np.arange(N), N - 20, N - 20)),
    "bars out of order": lambda bars: bars.take(slice(None, None, -1)),
}


@cache
def bad(name: str) -> Bars:
    """Return the bars of one line of the table."""
    return INPUTS[name](BARS)


def outcome(act: Callable[[], str], params: Params) -> str:
    """Return what an action says, or the code of its error with how many bars it needs."""
    try:
        return act()
    except NotEnoughBarsError as error:
        assert str(error.needed) in str(error)
        to_train = params.train.least_rows + params.train.window_hours + 24
        needed = "least_rows + window_hours + horizon" if error.needed == to_train else error.needed
        return f"`{error.code}`, needs {needed}"
    except CryptovolError as error:
        return f"`{error.code}`"


def gated(name: str, params: Params) -> str:
    """Return the gate's decision, and how many rows it takes out of a batch that it lets through."""
    report = gate.check(bad(name), as_of=AS_OF, params=params.gate, symbol="BTC", quote="USD")
    if report.refused:
        return f"refused: {', '.join(report.refused_by)}"
    out = int((~report.clean).sum())
    return f"passes, {out} row{'s' * (out != 1)} out" if out else "passes"


def built(name: str, params: Params) -> str:
    """Return whether the newest hour has features."""
    store = MemoryStore()
    event = put_clean(store, bad(name) if len(bad(name)) else BARS)
    if not len(bad(name)):
        event = replace(event, given={**event.given, "clean_key": "bars/clean/nothing"})
    result = featurize.run(event, store=store, params=params)
    manifest = history.load_manifest(store, result["features_key"])
    assert manifest is not None
    return "value" if np.isfinite(history.read(store, manifest)["values"][-1]).all() else "newest row missing"


def learned(name: str, params: Params) -> str:
    """Return that a decision comes of it, either way, on scores that are numbers."""
    store = MemoryStore()
    event = events.parse(featurize.run(put_clean(store, bad(name)), store=store, params=params))
    (told,) = train.run(event, store=store, tracker=StoreTracker(store), params=params)["models"].values()
    assert all(math.isfinite(loss) for loss in told["qlike"].values())
    assert told["decision"] in ("promoted", "rejected")
    return "value"


def checked(body: Forecast) -> str:
    """Return that a forecast is one: every number in it finite."""
    numbers = [body["volatility"], body["volatility_annualized"], body["interval"]["lower"], body["interval"]["upper"]]
    numbers += body["baselines"].values()
    assert all(math.isfinite(number) and number >= 0 for number in numbers) and body["volatility"] > 0
    return "value"


def forecaster(store: MemoryStore, params: Params) -> Forecaster:
    """Return a forecaster over a store with a champion, ten minutes after the newest bar."""
    promote(store, make_bundle(trained_at=format_instant(AS_OF)))
    return Forecaster(store, market=MARKET, params=params, clock=lambda: AS_OF + 600, meter=MemoryMeter())


def served(name: str, params: Params) -> str:
    """Return what comes of the bars if they are stored as clean."""
    store = MemoryStore()
    if len(bad(name)):
        put_bars(store, bad(name))
    return checked(forecaster(store, params).stored(Ask("BTC")))


@pytest.fixture
def post(params: Params) -> Iterator[Callable[[Any], Any]]:
    """Return a function that posts a body to ``/predict`` and returns the answer."""
    store = MemoryStore()
    forecasts = forecaster(store, params)
    settings = replace(load({}), market=MARKET)
    log = logger("test-bad-input", io.StringIO())
    parts = (settings, params, store, MemoryMeter(), lambda: AS_OF + 600, forecasts, log)
    service.install(service.Service(*parts))
    client = Client(predict_app.app).http
    headers = {"content-type": "application/json"}
    yield lambda body: client.post("/predict", headers=headers, body=json.dumps(body).encode())
    service.install(None)


def as_json(bars: Bars) -> list[dict[str, Any]]:
    """Return bars as a request carries them: NaN as null, and the symbol where it is not BTC."""
    names = ("time", "open", "high", "low", "close", "volume_base")
    rows = zip(*(getattr(bars, name).tolist() for name in names), strict=True)
    found = [{name: None if v != v else v for name, v in zip(names, row, strict=True)} for row in rows]
    for row, symbol in zip(found, bars.symbol.tolist(), strict=True):
        row |= {} if symbol == "BTC" else {"symbol": symbol}
    return found


def posted(name: str, post: Callable[[Any], Any]) -> str:
    """Return what the API says of the bars."""
    answer = post({"symbol": "BTC", "bars": as_json(bad(name))})
    body = answer.json_body
    if answer.status_code == 200:
        return checked(body)
    needs = f", needs {body['needed']}" if "needed" in body else ""
    assert not needs or str(body["needed"]) in body["detail"]
    return f"{answer.status_code} `{body['code']}`{needs}"


def documented() -> dict[str, dict[str, str]]:
    """Return the documentation's table: by input and column what it says."""
    rows = [row for row in ROW.findall(TEXT) if row[0] != "input" and not row[0].startswith("---")]
    return {row[0]: dict(zip(COLUMNS, row[1:], strict=True)) for row in rows}


def test_docs_have_every_bad_input_and_no_other() -> None:
    """The table's lines are the inputs that are tried."""
    assert list(documented()) == list(INPUTS)


@pytest.mark.parametrize("name", INPUTS)
def test_bad_input_ends_at_the_gate_as_documented(name: str, params: Params) -> None:
    """The gate lets through, takes out or refuses what the table says."""
    assert gated(name, params) == documented()[name]["gate"]


@pytest.mark.parametrize("name", INPUTS)
def test_bad_input_past_the_gate_ends_in_featurize_as_documented(name: str, quick: Params) -> None:
    """Given as clean all the same, the bars give features, missing ones, or a typed error."""
    assert outcome(lambda: built(name, quick), quick) == documented()[name]["featurize"]


@pytest.mark.parametrize("name", INPUTS)
def test_bad_input_past_the_gate_ends_in_train_as_documented(name: str, quick: Params) -> None:
    """Training gives a model with finite scores, or says how many bars it needs."""
    wanted = documented()[name]["train"]
    if wanted == "–":
        assert documented()[name]["featurize"].startswith("`")  # nothing comes to train
        return
    limits = replace(quick.promotion, suspect_r2_log=quick.promotion.suspect_r2_log[-1:])
    one = replace(quick, featurize=replace(quick.featurize, horizons=(24,)), promotion=limits)
    assert outcome(lambda: learned(name, one), one) == wanted


@pytest.mark.parametrize("name", INPUTS)
def test_bad_input_stored_as_clean_is_forecast_as_documented(name: str, params: Params) -> None:
    """A forecast from stored bars is whole and finite, or a typed error."""
    assert outcome(lambda: served(name, params), params) == documented()[name]["predict"]


@pytest.mark.parametrize("name", INPUTS)
def test_bad_input_sent_by_a_caller_is_answered_as_documented(name: str, post: Callable[[Any], Any]) -> None:
    """The caller's own bars give a whole forecast or a problem document that says what is wrong."""
    assert posted(name, post) == documented()[name]["POST /predict"]


def test_clean_state_of_another_pair_is_refused(quick: Params) -> None:
    """Featurize does not take ETH's bars for BTC's because a key was mixed up."""
    store = MemoryStore()
    event = put_clean(store, BARS)
    state = json.loads(store.objects[event.need("clean_key")])
    store.objects[event.need("clean_key")] = json.dumps({**state, "symbol": "ETH", "quote": "USD"}).encode()
    before = dict(store.objects)
    with pytest.raises(BarSchemaError, match="holds bars of ETH/USD, not of BTC/USD"):
        featurize.run(event, store=store, params=quick)
    assert store.objects == before


def test_bars_of_another_symbol_are_refused_by_row(params: Params) -> None:
    """Whoever calls the forecaster: a bar that names another coin is told."""
    with pytest.raises(BarSchemaError, match=rf"bars\[{N - 20}\]: the bar is not of BTC \(1 of {N} bars\)"):
        forecaster(MemoryStore(), params).of_bars(Ask("BTC"), bad("one bar of ETH"))


@pytest.mark.parametrize("column", ["open", "high", "low", "close", "volume_base"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_callers_bar_without_a_finite_number_is_refused_by_row(params: Params, column: str, value: float) -> None:
    """No NaN or infinity of any column gets as far as a feature."""
    with pytest.raises(BarSchemaError, match=rf"bars\[{N - 5}\]: a price or the volume is not a finite number"):
        forecaster(MemoryStore(), params).of_bars(Ask("BTC"), assign(column, N - 5, value)(BARS))


def test_large_move_over_missing_hours_is_no_fault_of_the_callers_bars(params: Params) -> None:
    """The limit is of one hour: what moved over a gap may be larger."""
    bars = drop(slice(N - 130, N - 100))(BARS)
    for name in PRICES:
        bars = assign(name, slice(N - 130, None), getattr(bars, name)[N - 130 :] * 1.6)(bars)
    assert checked(forecaster(MemoryStore(), params).of_bars(Ask("BTC"), bars)) == "value"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_feature_without_a_finite_number_is_refused_by_name(params: Params, value: float) -> None:
    """A NaN in one feature is a typed error and no NaN in a forecast."""
    rows = [dict.fromkeys(FEATURE_NAMES, 0.0), dict.fromkeys(FEATURE_NAMES, 0.0) | {FEATURE_NAMES[3]: value}]
    with pytest.raises(FeatureValueError, match=FEATURE_NAMES[3]) as caught:
        forecaster(MemoryStore(), params).of_features(Ask("BTC"), rows)
    assert caught.value.features == (FEATURE_NAMES[3],)


@pytest.mark.parametrize("value", [1e6, -1e6, 1e300])
def test_features_too_far_out_for_a_finite_forecast_are_told(post: Callable[[Any], Any], value: float) -> None:
    """A forecast that would be infinite or zero is a 422 that names the features."""
    wild = dict.fromkeys(FEATURE_NAMES, value)
    answer = post({"features": wild})
    assert (answer.status_code, answer.json_body["code"]) == (422, "feature_value")
    assert set(answer.json_body["features"]) == set(FEATURE_NAMES)


def test_hours_that_are_lacking_are_counted(params: Params) -> None:
    """The error tells how many of the hours it needs are there."""
    with pytest.raises(NotEnoughBarsError, match=rf"needs {WARMUP} hours .* found {WARMUP - 29} of them") as caught:
        forecaster(MemoryStore(), params).of_bars(Ask("BTC"), bad("29 missing hours before the newest bar"))
    assert caught.value.found == WARMUP - 29
