"""Prices that the market did not have: which side of a jump is wrong, and how long a level must stand."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryptovol.gate.levels import WAYS_BACK, strays
from cryptovol.testing import make_bars
from cryptovol.times import HOUR
from tests.bar_faults import Change, assign, both, drop, scale
from tests.gates import N, check, finding

LIMIT = 0.4

# Each change, and the rows that must go: no more and no fewer.
JUMPS: dict[str, tuple[Change, Sequence[int]]] = {
    "a wrong tick": (scale(70, 2.0), [70]),
    "two ticks in a row, each at its own price": (both(scale(70, 2.0), scale(71, 9.0)), [70, 71]),
    "ticks in every other hour": (scale(slice(70, 80, 2), 2.0), range(70, 80, 2)),
    "a wrong first bar": (scale(0, 4.0), [0]),
    "ten wrong first bars": (scale(slice(0, 10), 4.0), range(10)),
    "a wrong last bar": (scale(-1, 0.01), [N - 1]),
    "a level that has stood for 23 h": (scale(slice(N - 23, N), 2.0), range(N - 23, N)),
    "a level that has stood for 24 h": (scale(slice(N - 24, N), 2.0), [N - 24]),
    "a price that doubles and stays": (scale(slice(1000, N), 2.0), [1000]),
    "five hours of another coin": (scale(slice(1000, 1005), 0.06), range(1000, 1005)),
    "a page of another coin": (scale(slice(1000, 1300), 0.06), range(1000, 1300)),
    "two pages of other coins": (
        both(scale(slice(1000, 1100), 0.06), scale(slice(1100, 1200), 0.001)), range(1000, 1200),
    ),
    "a page with a tick in it": (both(scale(slice(1000, 1100), 0.06), scale(1050, 9.0)), range(1000, 1100)),
    "a tick back to the price before the doubling": (both(scale(slice(1000, N), 2.0), scale(1500, 0.5)), [1000, 1500]),
    "a tick at the price of the wrong first bar": (both(scale(0, 4.0), scale(1500, 4.0)), [0, 1500]),
    "a doubling by way of one hour between": (both(scale(slice(1000, N), 1.6), scale(slice(1001, N), 1.6)), [1000, 1001]),
    "a doubling within one hour": (
        both(scale(slice(1000, N), 2.0), lambda bars: assign("open", 1000, bars.open[1000] / 2)(bars),
             lambda bars: assign("low", 1000, bars.open[1000] * 0.99)(bars)), [1000],
    ),
    "a nonsense open": (
        lambda bars: both(assign("open", 0, 4 * bars.close[0]), assign("high", 0, 4 * bars.close[0]))(bars), [0],
    ),
    "more different prices than are looked back across": (
        both(*(scale(1000 + i, 2.0 * 1.7**i) for i in range(WAYS_BACK + 4))), range(1000, 1004 + WAYS_BACK),
    ),
}  # fmt: skip


@pytest.mark.parametrize("jump", JUMPS)
def test_gate_takes_out_the_wrong_side_of_a_jump(jump: str) -> None:
    """Exactly the rows at a price that the market did not have go, under one rule."""
    change, rows = JUMPS[jump]
    report = check(change(make_bars(N)))
    assert np.flatnonzero(~report.clean).tolist() == list(rows)
    assert set(report.rule_of.tolist()) == {"", "log_return"}


def test_gate_refuses_a_batch_that_ends_on_a_level_too_young_to_believe() -> None:
    """Six hours of another coin at the end are not fresh bars."""
    report = check(scale(slice(N - 6, N), 0.06)(make_bars(N)))
    assert "freshness" in report.refused_by
    assert finding(report, "log_return").note == "6 rows at a price that did not last"


def test_gate_lets_a_price_move_further_over_a_gap() -> None:
    """Over 25 hours the limit is five times that of one hour."""
    bars = scale(slice(1000, None), 3.0)(make_bars(N))
    assert check(drop(slice(976, 1000))(bars)).counts["log_return"] == 0
    assert check(bars).counts["log_return"] == 1


def test_gate_says_how_far_a_price_moved() -> None:
    """An offender is told with its move, or as a price that did not last."""
    bars = make_bars(N)
    told = finding(check(scale(slice(1000, N), 2.0)(bars)), "log_return").offenders
    assert len(told) == 1 and told[0][1].startswith(
        f"log return {math.log(2 * bars.close[1000] / bars.close[999]):+.3f}, "
    )
    assert finding(check(scale(70, 2.0)(bars)), "log_return").offenders[0][1].startswith("a price that did not last")


# ---------------------------------------------------------------- against a plain twin


def reference(time: Sequence[int], close: Sequence[float], settle: int) -> tuple[set[int], set[int]]:
    """Return stray and jump rows by walking row after row; levels are plain lists of rows."""

    def hours(a: int, b: int) -> int:
        return (time[b] - time[a]) // HOUR

    def home(row: int, levels: list[list[int]], most: float) -> int | None:
        for back in range(1, min(len(levels), WAYS_BACK) + 1):
            level, between = levels[-back], sum(len(other) for other in levels[len(levels) - back + 1 :])
            if between >= most:
                return None
            distance = abs(close[row] - close[level[-1]])
            near = distance <= LIMIT * math.sqrt(max(1, min(settle, hours(level[-1], row))))
            nearest = distance <= abs(close[row] - close[levels[-1][-1]])
            if near and nearest and (len(level) >= settle or len(level) >= between):
                return len(levels) - back
        return None

    levels: list[list[int]] = []
    for row in range(len(time)):
        if row and abs(close[row] - close[row - 1]) <= LIMIT * math.sqrt(max(1, hours(row - 1, row))):
            levels[-1].append(row)
            continue
        place = home(row, levels, settle) if row else None
        levels = [*levels, [row]] if place is None else [*levels[:place], levels[place] + [row]]
    if not any(len(level) >= settle for level in levels):
        levels = [max(levels, key=len)] if levels else []
    kept: list[list[int]] = []
    for level in (level for level in levels if len(level) >= settle) if len(levels) > 1 else levels:
        place = home(level[0], kept, math.inf) if kept else None
        kept = [*kept, level] if place is None else [*kept[:place], kept[place] + level]
    good = {row for level in kept for row in level}
    return set(range(len(time))) - good, {level[0] for level in kept[1:]}


@st.composite
def walks(draw: st.DrawFn) -> tuple[list[int], list[float], int]:
    """Return times, log prices that keep to a few levels for a while, and how long a level must stand."""
    time, close, now = [], [], 0
    for _ in range(draw(st.integers(1, 9))):
        level = draw(st.sampled_from([0.0, 0.0, 0.5, 1.0, 2.0, -3.0]))
        for _ in range(draw(st.sampled_from([1, 1, 2, 3, 6, 12]))):
            now += HOUR * draw(st.sampled_from([1, 1, 1, 1, 2, 5]))
            time.append(now)
            close.append(level + draw(st.sampled_from([0.0, 0.1, -0.1, 0.2])))
    return time, close, draw(st.integers(0, 7))


@settings(max_examples=300)
@given(walks())
def test_levels_are_those_of_a_plain_walk_over_the_rows(walk: tuple[list[int], list[float], int]) -> None:
    """The quick way, which looks at jumps only, finds what looking at every row finds."""
    time, close, settle = walk
    found = strays(np.array(time), np.array(close), limit=LIMIT, settle_hours=settle)
    level, jump = reference(time, close, settle)
    assert set(np.flatnonzero(found.level).tolist()) == level
    assert set(np.flatnonzero(found.jump).tolist()) == jump


@settings(max_examples=100)
@given(walks())
def test_some_level_is_always_believed(walk: tuple[list[int], list[float], int]) -> None:
    """However wild the prices, not all rows go, and no row goes twice."""
    time, close, settle = walk
    found = strays(np.array(time), np.array(close), limit=LIMIT, settle_hours=settle)
    assert not (found.level | found.jump).all() and not (found.level & found.jump).any()


def test_levels_of_nonsense_are_found_in_linear_work() -> None:
    """Fifty thousand unrelated prices, every one a jump, get a verdict."""
    close = np.random.default_rng(0).uniform(-50, 50, 50_000)
    found = strays(HOUR * np.arange(len(close)), close, limit=LIMIT, settle_hours=24)
    assert found.level.mean() > 0.9
