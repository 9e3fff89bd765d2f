"""The page as tests look at it: what lies in the store behind it, and what to ask of its document."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cryptovol import keys, tables
from cryptovol.adapters.s3 import S3Store
from cryptovol.testing import make_bars
from cryptovol.times import HOUR, format_instant
from tests.served import PAIR, make_bundle, promote, put_bars
from tests.servers import Http, Process

EVIL = '<img src="x" onerror="document.title=1" id="evil">'
SCORES = {
    "rows": 696, "model": {"qlike": 0.3}, "coverage": {"0.9": 0.91}, "dm_har": {"statistic": -4.2, "p": 0.0001},
    "baselines": {"har": {"qlike": 0.4}, "ewma": {"qlike": 0.5}, "persistence": {"qlike": 0.6}},
}  # fmt: skip
# The first round is over: cards, chart and panels are there.
SHOWN = (
    "/last answer/.test(document.getElementById('state-text').innerText) && document.querySelector('#limits details') &&"
    " document.querySelector('#chart path.realized').getAttribute('d').length > 99"
)
VALUES = (
    "Object.fromEntries([...document.querySelectorAll('.card')].map(card => [card.dataset.series,"
    " [...card.querySelectorAll('data')].map(one => [Number(one.value), one.textContent])]))"
)
ROUND = "document.dispatchEvent(new Event('visibilitychange'))"  # what coming back to the tab does
# Elements that end beyond the window, but for those that are scrolled or drawn inside another.
WIDER = (
    "[...document.querySelectorAll('main *')].filter(one => !one.closest('.scroll, svg') &&"
    " one.getBoundingClientRect().right > innerWidth + 1).map(one => one.outerHTML)"
)
CONTRAST = (Path(__file__).with_name("contrast.js")).read_text(encoding="utf-8")


def fill(store: S3Store, market: str, end: int) -> None:
    """Put bars up to `end` into a market, two champions with held-out hours, and what the score stage leaves."""
    put_bars(store, make_bars(800, start=end - 800 * HOUR), market=market)
    held = end - HOUR * np.arange(696 + 24, 24, -1) - HOUR
    wave = 0.005 + 0.002 * np.sin(held / 40_000)
    for horizon in (6, 24):
        made = make_bundle(horizon=horizon, trained_at=format_instant(end - HOUR), market=market)
        window = {"time": held, "realized": wave, "predicted": wave * 0.9, "har": wave * 1.1}
        promote(store, replace(made, header={**made.header, "source": EVIL}, scores=SCORES, window=window))
        numbers = {"forecast": 0.006, "lower": 0.003, "upper": 0.012, "har": 0.007}
        live = [
            {"as_of": end - n * HOUR, "kind": "live", **numbers, "realized": 0.008 if n > horizon else None}
            for n in range(47, -1, -1)
        ]
        told = {"as_of": format_instant(end), "level": 0.9, "points": live}
        store.put(keys.live(market, PAIR, horizon), tables.encode_json(told))
    qlike = {"model": 0.2, "har": 0.25, "ewma": 0.15, "persistence": 0.4}
    rmse = {name: loss / 100 for name, loss in qlike.items()}
    day: dict[str, Any] = {"hours": 24, "rows": 20, "qlike": qlike, "rmse": rmse, "bias": 1.04, "coverage": 0.85}
    day |= {"baseline_bias": {"har": 0.97}, "dm": {"har": {"statistic": -1.6, "p": 0.11}}}
    board: dict[str, Any] = {
        "model": "m",
        "served": 47,
        "matured": 20,
        "windows": [day, {"hours": 168, "rows": 0}],
        "drift": None,
    }
    body = {"as_of": format_instant(end), "market": market, "series": PAIR, "horizons": {"6": board, "24": board}}
    store.put(keys.scoreboard(market, PAIR), tables.encode_json(body))


def told(api: Process, path: str) -> Any:
    """Return what the API answers to a program."""
    with Http(api.url) as ask:
        status, body = ask("GET", path)
    assert status == 200, body
    return json.loads(body)
