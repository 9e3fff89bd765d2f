"""The track record: one point per hour, served before held out, marked, with its outcome if it is known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cryptovol import record
from cryptovol.times import HOUR, format_instant, parse_instant
from tests.served import make_bundle

NOON = parse_instant("2025-05-01T12:00:00Z")


def entry(as_of: int, volatility: float, **more: Any) -> dict[str, Any]:
    """Return a log entry as the predict stage writes it."""
    return {
        "as_of": format_instant(as_of), "volatility": volatility, "baselines": {"har": 0.004},
        "interval": {"level": 0.9, "lower": 0.001, "upper": 0.009}, "served_at": format_instant(as_of + 60), **more,
    }  # fmt: skip


def held(hours: int, *, first: int = NOON) -> list[record.Point]:
    """Return the held-out points of a bundle with so many out-of-sample hours."""
    time = first - HOUR + HOUR * np.arange(hours)
    window = {"time": time, **{name: np.full(hours, 0.01) for name in ("realized", "predicted", "har")}}
    made = replace(make_bundle(trained_at=format_instant(NOON)), window=window)
    return record.held_out(made, level=0.9)


def test_outcome_of_a_forecast_is_the_target_of_the_bar_that_closed_at_its_hour() -> None:
    """A forecast made when a bar closed meets the target in that bar's row, and None where nobody knows it yet."""
    realized = {NOON - HOUR: 0.005, NOON: float("nan")}
    points = record.live([entry(NOON + n * HOUR, 0.003) for n in range(3)], realized, level=0.9)
    assert [(p["as_of"], p["realized"]) for p in points] == [
        (NOON, 0.005),
        (NOON + HOUR, None),
        (NOON + 2 * HOUR, None),
    ]
    assert points[0] == {
        "as_of": NOON, "kind": "live", "forecast": 0.003, "lower": 0.001, "upper": 0.009, "realized": 0.005, "har": 0.004,
    }  # fmt: skip


def test_forecast_that_was_served_first_stands_for_its_hour() -> None:
    """A model promoted within the hour does not replace what callers had been told before."""
    late = entry(NOON, 0.002, served_at=format_instant(NOON + 900))
    assert [p["forecast"] for p in record.live([late, entry(NOON, 0.003)], {}, level=0.9)] == [0.003]


def test_interval_of_another_level_is_looked_up_or_left_out() -> None:
    """A point never shows an interval of a level that it does not name."""
    other = entry(NOON, 0.003, intervals={"0.5": [0.002, 0.004]})
    ends = [
        (p["lower"], p["upper"]) for level in (0.5, 0.8) for p in record.live([other], {}, level=level)
    ]  # fmt: skip
    assert ends == [(0.002, 0.004), (None, None)]


def test_held_out_hours_stand_at_the_close_of_their_bar_with_the_bundles_interval() -> None:
    """A window's row is dated by its bar's opening, a forecast by its closing; the interval is half to twice here."""
    (point,) = held(1)
    assert point == {
        "as_of": NOON, "kind": "held-out", "forecast": 0.01, "lower": 0.005, "upper": 0.02, "realized": 0.01, "har": 0.01,
    }  # fmt: skip


def test_bundle_without_held_out_hours_has_none() -> None:
    """A window that lacks the forecasts gives no points."""
    assert record.held_out(make_bundle(trained_at=format_instant(NOON)), level=0.9) == []


@given(st.integers(0, 60), st.sets(st.integers(0, 80)), st.integers(1, 50))
def test_joined_points_are_in_order_and_within_the_hours_and_live_goes_first(
    count: int, live: set[int], hours: int
) -> None:
    """Each hour is there once, none is older than asked for, and a served forecast is never hidden by a held-out one."""
    served = record.live([entry(NOON + n * HOUR, 0.003) for n in live], {}, level=0.9)
    points = record.joined(held(count), served, hours=hours)
    at = [point["as_of"] for point in points]
    assert at == sorted(set(at)) and len(at) <= hours
    newest = max([*(NOON + n * HOUR for n in live), *(NOON + n * HOUR for n in range(count))], default=0)
    wanted = {NOON + n * HOUR: "live" if n in live else "held-out" for n in {*live, *range(count)}}
    assert {p["as_of"]: p["kind"] for p in points} == {t: k for t, k in wanted.items() if t > newest - hours * HOUR}
