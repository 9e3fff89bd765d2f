"""The rule that starts a retraining out of turn: lasting, not repeated, and blind to order and repeats."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cryptovol import watch
from cryptovol.params import Params
from cryptovol.times import HOUR, format_instant
from cryptovol.watch import Evaluation, WatchParams

T = 1_714_521_600
RULE = WatchParams(0.15, 168, 120, 0.0, evaluations=2, lookback_hours=13, cool_down_hours=72)
LIMITS = ("drift h6", "drift h24", "decay h24")
EVALUATIONS = st.lists(
    st.tuples(st.integers(0, 400), st.sets(st.sampled_from(LIMITS))), unique_by=lambda pair: pair[0], max_size=120
).map(lambda pairs: [evaluation(hour, *names) for hour, names in pairs])


def evaluation(hour: int, *beyond: str) -> Evaluation:
    """Return an evaluation of an hour that is beyond the named limits."""
    return Evaluation(T + HOUR * hour, dict.fromkeys(sorted(beyond), "much"))


def walk(evaluations: list[Evaluation], hours: list[int], rule: WatchParams = RULE) -> list[int]:
    """Decide at each of the hours in turn, as runs of the function do; return the hours that started a retraining."""
    last, started = None, []
    for hour in hours:
        found = watch.decide(evaluations, as_of=T + HOUR * hour, params=rule, last=last)
        if found.retrain:
            assert found.cool_down_until is not None
            last = (T + HOUR * hour, found.cool_down_until)
            started.append(hour)
    return started


@given(EVALUATIONS, st.lists(st.integers(0, 400), max_size=60))
def test_never_twice_inside_the_cool_down_whatever_the_order_of_runs(
    evaluations: list[Evaluation], hours: list[int]
) -> None:
    """Runs in any order, late ones and repeated ones among them, start retrainings at least a cool-down apart."""
    started = walk(evaluations, hours)
    assert all(b - a >= RULE.cool_down_hours for a, b in zip(started, started[1:], strict=False))


@given(EVALUATIONS, st.integers(0, 400), st.integers(1, 4))
def test_never_on_fewer_evaluations_than_asked_for_or_on_one_within_its_limits(
    evaluations: list[Evaluation], hour: int, needed: int
) -> None:
    """What starts a retraining is the newest evaluations, as many as asked for, all beyond one and the same limit."""
    rule = WatchParams(0.15, 168, 120, 0.0, evaluations=needed, lookback_hours=13, cool_down_hours=72)
    found = watch.decide(evaluations, as_of=T + HOUR * hour, params=rule)
    seen = sorted((e for e in evaluations if 0 <= T + HOUR * hour - e.as_of <= 13 * HOUR), key=lambda e: e.as_of)
    newest = seen[-needed:]
    lasting = len(newest) == needed and any(all(name in e.beyond for e in newest) for name in LIMITS)
    assert found.retrain == lasting
    if found.retrain:
        assert found.evaluations == tuple(e.as_of for e in newest)


@given(EVALUATIONS, st.integers(0, 400), st.randoms(use_true_random=False))
def test_order_and_repeats_of_evaluations_do_not_matter(
    evaluations: list[Evaluation], hour: int, chance: random.Random
) -> None:
    """Shuffled, and each told up to three times, the evaluations give the same decision word for word."""
    shuffled = [each for each in evaluations for _ in range(chance.randint(1, 3))]
    chance.shuffle(shuffled)
    last = (T + HOUR * 100, T + HOUR * 172)
    for known in (None, last):
        told = watch.decide(evaluations, as_of=T + HOUR * hour, params=RULE, last=known)
        assert watch.decide(shuffled, as_of=T + HOUR * hour, params=RULE, last=known) == told


def test_a_lasting_alert_starts_one_retraining_per_cool_down() -> None:
    """Beyond its limit hour after hour: at the second hour, then not for 72 hours."""
    evaluations = [evaluation(hour, "drift h24") for hour in range(200)]
    assert walk(evaluations, list(range(200))) == [1, 73, 145]


def test_evaluations_from_before_a_retraining_start_no_other() -> None:
    """Past the cool-down two new evaluations are needed; those the last decision rested on do not count again."""
    rule = WatchParams(0.15, 168, 120, 0.0, evaluations=2, lookback_hours=500, cool_down_hours=72)
    known = [evaluation(0, "drift h24"), evaluation(1, "drift h24"), evaluation(90, "drift h24")]
    found = watch.decide(known, as_of=T + 90 * HOUR, params=rule, last=(T + HOUR, T + 73 * HOUR))
    assert (found.state, found.evaluations) == ("waiting", (T + 90 * HOUR,))


@pytest.mark.parametrize(
    ("known", "state"),
    [
        ([], "blind"),
        ([evaluation(-14, "drift h24"), evaluation(-15, "drift h24")], "blind"),
        ([evaluation(0)], "quiet"),
        ([evaluation(0, "drift h24")], "waiting"),
        ([evaluation(-1, "drift h24"), evaluation(0)], "quiet"),
        ([evaluation(-1, "drift h24"), evaluation(0, "decay h24")], "waiting"),
        ([evaluation(-1, "drift h24"), evaluation(0, "drift h6")], "waiting"),
        ([evaluation(-1, "drift h24"), evaluation(1, "drift h24")], "waiting"),
        ([evaluation(-1, "drift h24"), evaluation(0, "decay h24", "drift h24")], "retrain"),
        ([evaluation(-13, "decay h24"), evaluation(0, "decay h24")], "retrain"),
    ],
)
def test_each_state_is_told_as_it_is(known: list[Evaluation], state: str) -> None:
    """None, old ones, one, one limit after another, a later one than the decision's, and two of the same."""
    found = watch.decide(known, as_of=T, params=RULE)
    assert found.state == state and found.state in watch.STATES
    assert (found.cool_down_until == T + 72 * HOUR) == (state == "retrain")


def board(*, ratio: float | None = None, model: float = 0.1, har: float = 0.2, rows: int = 168) -> dict[str, Any]:
    """Return a scoreboard of one horizon."""
    windows = [{"hours": 24, "rows": 0}, {"hours": 168, "rows": rows, "qlike": {"model": model, "har": har}}]
    drifted = None if ratio is None else {"ratio": ratio, "features": []}
    return {"as_of": format_instant(T), "horizons": {"24": {"drift": drifted, "windows": windows}}}


@pytest.mark.parametrize(
    ("told", "beyond"),
    [
        (board(), set()),
        (board(ratio=0.15), set()),
        (board(ratio=6 / 36), {"drift h24"}),
        (board(model=0.2), set()),
        (board(model=0.2001), {"decay h24"}),
        (board(model=0.9, rows=119), set()),
        (board(model=0.9, rows=120, ratio=0.5), {"drift h24", "decay h24"}),
    ],
)
def test_a_scoreboard_is_beyond_what_it_passes_and_not_what_it_meets(told: dict[str, Any], beyond: set[str]) -> None:
    """At a limit is within it, and what has too few forecasts or no drift value is not judged."""
    assert set(watch.evaluate(told, RULE).beyond) == beyond


def test_excess_widens_the_limit_on_decay() -> None:
    """With a tenth allowed, HAR's QLIKE may be passed by a tenth."""
    rule = WatchParams(0.15, 168, 120, 0.1, 2, 13, 72)
    assert not watch.evaluate(board(model=0.2199), rule).beyond and watch.evaluate(board(model=0.2201), rule).beyond


def test_limits_are_those_of_the_alerts(params: Params) -> None:
    """What starts a retraining is what the alerts DataDrift and ChampionLosesToHar are about."""
    groups = yaml.safe_load(Path("monitoring/prometheus/rules/alerts.yml").read_text(encoding="utf-8"))["groups"]
    asked = {rule["alert"]: rule["expr"] for group in groups for rule in group["rules"]}
    assert asked["DataDrift"].endswith(f"> {params.watch.drift_ratio:g}")
    window = f'{{window="{params.watch.decay_window_hours}"}}'
    assert asked["ChampionLosesToHar"] == f"live_qlike{window} > live_qlike_har{window}"
    assert params.watch.decay_excess == 0.0
