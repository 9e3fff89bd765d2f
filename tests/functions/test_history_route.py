"""``GET /history/{symbol}``: what was forecast, what came, and where each point is from."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from cryptovol import keys
from cryptovol.times import HOUR, format_instant
from tests.api import END, Api, assert_problem
from tests.served import MARKET, PAIR, make_bundle, promote

HELD = 24 * 40  # hours held out: more than is shown


@pytest.fixture
def past(api: Api) -> Api:
    """Return the API whose model of 24 hours held out forty days up to ten days ago, and served three hours since."""
    last = END - 240 * HOUR
    numbers = {
        name: np.full(HELD, value) for name, value in (("realized", 0.004), ("predicted", 0.005), ("har", 0.006))
    }
    window = {"time": last - HOUR - HOUR * np.arange(HELD)[::-1], **numbers}
    promote(
        api.store, replace(make_bundle(horizon=24, trained_at=format_instant(END - HOUR)), window=window), version="2"
    )
    numbers_live = {"forecast": 0.01, "lower": 0.005, "upper": 0.02, "har": 0.011}
    points = [
        {"as_of": END - n * HOUR, "kind": "live", **numbers_live, "realized": 0.009 if n > 24 else None}
        for n in (30, 10, 0)
    ]
    body = {"as_of": format_instant(END), "level": 0.9, "points": points}
    api.store.put(keys.live(MARKET, PAIR, 24), json.dumps(body).encode())
    api.now += 10  # past what the API holds
    return api


def test_history_joins_held_out_hours_and_served_forecasts(past: Api) -> None:
    """Thirty days up to the newest point, oldest first, each marked; hours of neither kind are left out."""
    body = past.get("/history/btc").json_body
    kinds = [point["kind"] for point in body["points"]]
    assert kinds == ["held-out"] * (24 * 30 - 240) + ["live"] * 3
    assert (body["held_out"], body["live"], body["horizon_hours"], body["level"]) == (480, 3, 24, 0.9)
    assert [point["realized"] for point in body["points"][-3:]] == [0.009, None, None]
    assert body["points"][-1]["as_of"] == format_instant(END) == body["scored_as_of"]
    assert body["points"][0] == {
        "as_of": format_instant(END - 719 * HOUR), "kind": "held-out", "forecast": 0.005, "lower": 0.0025, "upper": 0.01,
        "realized": 0.004, "har": 0.006,
    }  # fmt: skip
    assert set(body["notes"]) == {"live", "held-out"}


def test_history_can_be_shorter(past: Api) -> None:
    """The newest days alone are given where fewer are asked for."""
    body = past.get("/history/BTC?days=1&horizon_hours=24").json_body
    assert [point["as_of"] for point in body["points"]] == [format_instant(END - n * HOUR) for n in (10, 0)]


def test_forecasts_since_the_last_score_run_are_read_from_the_log(past: Api) -> None:
    """What was served after the score stage last ran is there, without an outcome, and nothing twice."""
    past.store.put(
        keys.live(MARKET, PAIR, 24), json.dumps({"as_of": format_instant(END - HOUR), "points": []}).encode()
    )
    told = past.get("/forecast/BTC?horizon_hours=24").json_body
    newest = past.get("/history/BTC").json_body["points"][-1]
    assert newest["as_of"] == told["as_of"] and newest["kind"] == "live" and newest["realized"] is None
    assert newest["forecast"] == pytest.approx(told["volatility"], rel=1e-5)
    past.store.put(keys.live(MARKET, PAIR, 24), json.dumps({"as_of": format_instant(END), "points": []}).encode())
    assert past.get("/history/BTC").json_body["live"] == 0


def test_history_without_a_score_run_is_the_held_out_hours(past: Api) -> None:
    """Before the first score stage there is no served record, and the answer says so."""
    del past.store.objects[keys.live(MARKET, PAIR, 24)]
    body = past.get("/history/BTC").json_body
    assert body["scored_as_of"] is None and {point["kind"] for point in body["points"]} == {"held-out"}
    assert len(body["points"]) == 720


def test_history_is_bounded(past: Api) -> None:
    """Thirty days of two horizons' longest numbers stay far below what a gateway lets through."""
    assert len(past.get("/history/BTC").body) < 150_000


def test_history_has_an_etag_that_answers_304(past: Api) -> None:
    """Unchanged history costs no body; a new point gives a new tag."""
    first = past.get("/history/BTC")
    again = past.get("/history/BTC", **{"if-none-match": f"W/{first.headers['ETag']}"})
    assert again.status_code == 304 and again.body == b"" and again.headers["ETag"] == first.headers["ETag"]
    del past.store.objects[keys.live(MARKET, PAIR, 24)]
    assert past.get("/history/BTC", **{"if-none-match": first.headers["ETag"]}).status_code == 200


@pytest.mark.parametrize(
    "query", ["days=0", "days=31", "days=x", "days=1.5", "horizon_hours=7", "level=0.5", "days=1&days=2"]
)
def test_history_refuses_options_that_are_wrong(past: Api, query: str) -> None:
    """An option that is unknown, given twice or out of range is refused by name."""
    answer = past.get(f"/history/BTC?{query}")
    assert answer.status_code == 422 and query.partition("=")[0].partition("_")[0] in answer.json_body["detail"]


def test_history_of_an_unknown_symbol_or_without_any_hours_is_404(api: Api) -> None:
    """A symbol nobody trains has none, nor has a model that held nothing out and served nothing."""
    assert_problem(api.get("/history/NONE"), 404, "unknown_symbol")
    assert_problem(api.get("/history/BTC"), 404, "no_history")
