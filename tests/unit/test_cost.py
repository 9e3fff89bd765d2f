"""Cost: Lambda's own arithmetic, held against cases worked out by hand."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryptovol import cost
from cryptovol.cost import CostParams
from cryptovol.params import Params

PRICES = CostParams(gb_second_x86=0.00002, gb_second_arm=0.00001, million_requests=0.2)


@pytest.mark.parametrize(
    ("seconds", "billed"), [(0.0, 0), (0.001, 1), (0.0010001, 2), (1.1, 1100), (2.0004, 2001), (17.6, 17600)]
)
def test_duration_is_billed_up_to_a_whole_millisecond(seconds: float, billed: int) -> None:
    """A part of a millisecond counts as one; a binary fraction's crumbs do not."""
    assert cost.billed_milliseconds(seconds) == billed


@pytest.mark.parametrize("seconds", [-0.001, math.nan, math.inf])
def test_no_duration_is_refused(seconds: float) -> None:
    """A negative or endless duration is a slip of the caller's."""
    with pytest.raises(ValueError, match="no duration"):
        cost.billed_milliseconds(seconds)


def test_gb_seconds_and_price_of_one_training_are_as_by_hand() -> None:
    """10.0005 s at 2048 MiB are 10.001 s x 2 GB = 20.002 GB-s, so 0.00040004 USD and a request's 0.0000002."""
    found = cost.use("train", [10.0005])
    assert (found.memory_mb, found.requests) == (2048, 1)
    assert found.gb_seconds == pytest.approx(20.002)
    assert found.usd(PRICES) == pytest.approx(0.00040024)
    assert found.usd(PRICES, "arm64") == pytest.approx(0.00020022)


def test_each_invocation_is_rounded_by_itself() -> None:
    """Two of 0.4 ms cost two milliseconds, not one."""
    assert cost.use("predict", [0.0004, 0.0004], memory=512).gb_seconds == pytest.approx(0.001)


def test_unknown_architecture_is_refused() -> None:
    """Lambda has two architectures; a typing error may not be priced as either."""
    with pytest.raises(ValueError, match="x86_64, arm64"):
        PRICES.gb_second("arm")


def test_month_multiplies_runs_symbols_scores_and_forecasts() -> None:
    """Two symbols, four runs a day, hourly scores and a million forecasts are counted as by hand."""
    measured = {
        "ingest": [1.0, 3.0],
        "version": [9.0],
        "score": [0.5],
        "forecast": [0.1],
        "tune": [70.0],
        "predict": [0.01],
    }
    found = {
        each.stage: each
        for each in cost.month(measured, symbols=2, runs_per_day=4, scores_per_day=24, forecasts=1_000_000)
    }
    assert {stage: each.requests for stage, each in found.items()} == pytest.approx(
        {"ingest": 1680, "score": 1680, "forecast": 1440, "tune": 2 * 30 / 7, "predict": 1_000_000}
    )
    assert found["ingest"].gb_seconds == pytest.approx(3360)
    assert found["tune"].gb_seconds == pytest.approx(2 * 30 / 7 * 140)
    assert found["predict"].usd(PRICES) == pytest.approx(0.4)


@given(st.lists(st.floats(0, 900), min_size=1, max_size=20))
def test_bill_is_never_below_the_time_used_nor_a_millisecond_above_it(durations: list[float]) -> None:
    """Rounding costs at most one millisecond an invocation."""
    used, billed = sum(durations), cost.use("ingest", durations).gb_seconds
    assert used - 1e-6 <= billed <= used + len(durations) / 1000 + 1e-6


def test_total_adds_what_the_parts_cost() -> None:
    """GB-seconds, requests and USD of a run are its stages' together."""
    uses = [cost.use("ingest", [1.0]), cost.use("train", [10.0])]
    assert cost.total(uses, PRICES) == pytest.approx((21.0, 2, 0.0004204))


def test_api_is_priced_with_the_memory_it_is_deployed_with() -> None:
    """Chalice's own file names the memory of the API on AWS; the price list must mean the same function."""
    stages = json.loads(Path("functions/predict/.chalice/config.json").read_text(encoding="utf-8"))["stages"]
    assert stages["prod"]["lambda_memory_size"] == cost.memory_mb(cost.API)


def test_arm_is_a_fifth_cheaper_in_the_projects_prices(params: Params) -> None:
    """The two published prices keep their known relation, which a slipped digit would break."""
    assert params.cost.gb_second_arm / params.cost.gb_second_x86 == pytest.approx(0.8, abs=1e-3)
