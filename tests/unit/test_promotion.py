"""Promotion: each outcome with planted models, and what must not be compared."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from cryptovol import params, promotion

PARAMS = params.load(Path("params.yaml")).promotion
N = 2160
RNG = np.random.default_rng(12)
REALIZED = np.exp(0.4 * RNG.standard_normal(N)) * 0.005
ALL = slice(None)


def noisy(size):
    """Return a forecast with log errors of a given size."""
    return REALIZED * np.exp(size * RNG.standard_normal(N))


GOOD, FAIR, BAD = noisy(0.1), noisy(0.3), noisy(0.6)


def decide(challenger, har, champion=None, rows=ALL, **more):
    """Return the verdict at 24 hours."""
    rival = None if champion is None else champion[rows]
    return promotion.decide(REALIZED[rows], challenger[rows], har[rows], rival, horizon=24, params=PARAMS, **more)


def spoilt(forecast, value, at=7):
    """Return a copy with one value replaced."""
    copy = forecast.copy()
    copy[at] = value
    return copy


PLANTED = {
    "first": (GOOD, FAIR, None),
    "win": (GOOD, BAD, FAIR),
    "tie": (GOOD, FAIR, GOOD * np.exp(0.001 * RNG.standard_normal(N))),
    "loss": (FAIR, BAD, GOOD),
    "worse_than_har": (BAD, FAIR, None),
    "too_few": (GOOD, FAIR, np.where(np.arange(N) < PARAMS.least_rows - 1, BAD, np.nan)),
    "invalid": (spoilt(GOOD, np.nan), FAIR, None),
}


@pytest.mark.parametrize("outcome", PLANTED)
def test_promotion_names_the_outcome_of_planted_models(outcome):
    """Each planted pair has its word, and the word decides."""
    verdict = decide(*PLANTED[outcome])
    assert verdict.outcome == outcome
    assert verdict.promote is (outcome in ("first", "win", "tie"))


def test_promotion_over_a_champion_that_cannot_be_loaded_says_so():
    """HAR alone is the bar then, and the reason tells why."""
    verdict = decide(GOOD, FAIR, unloadable="the champion cannot serve (torn)")
    assert verdict.outcome == "unopposed" and verdict.promote and "torn" in verdict.reason
    assert not decide(BAD, FAIR, unloadable="the champion cannot serve (torn)").promote


def test_promotion_of_a_model_better_than_the_champion_but_worse_than_har_is_refused():
    """A weak champion is no excuse: HAR is the bar for all."""
    assert decide(FAIR, GOOD, BAD).outcome == "worse_than_har"


@pytest.mark.parametrize(("share", "outcome"), [(1e-6, "worse_than_har"), (0.0, "first"), (-1e-6, "first")])
def test_promotion_draws_the_line_exactly_at_har(share, outcome):
    """A mean QLIKE above HAR's is refused however small the excess; equal to it is enough."""
    flat = np.full(N, 0.005)
    verdict = promotion.decide(flat * 1.5, flat * (1 - share), flat, None, horizon=24, params=PARAMS)
    assert verdict.outcome == outcome


def test_promotion_of_identical_forecasts_is_a_tie_that_the_fresher_model_wins():
    """The very same numbers are a tie with p 1, against the champion and against HAR."""
    verdict = decide(GOOD, GOOD, GOOD)
    assert (verdict.outcome, verdict.promote, verdict.numbers["dm_champion"]["p"]) == ("tie", True, 1.0)


@pytest.mark.parametrize("sign", [-1, 1])
def test_promotion_calls_a_difference_of_rounding_a_tie(sign):
    """A shift in the last bits, however steady, makes nobody better."""
    flat = np.full(N, 0.005)
    verdict = promotion.decide(
        flat * 1.5, flat * (1 + sign * 1e-14), flat, flat, horizon=24, params=PARAMS
    )  # fmt: skip
    assert verdict.outcome == "tie"


@pytest.mark.parametrize(("factor", "outcome"), [(0.8, "loss"), (1.2, "win")])
def test_promotion_judges_a_steady_difference_without_variance(factor, outcome):
    """Losses that differ by the same amount in every hour are no tie, though the test has no variance."""
    flat = np.full(N, 0.004)
    verdict = promotion.decide(flat * 1.5, flat * factor, flat * 0.5, flat, horizon=24, params=PARAMS)
    assert verdict.outcome == outcome


def test_promotion_compares_with_the_champion_on_common_hours_only():
    """A champion absent from the hours where the challenger is good is compared elsewhere, and the numbers say so."""
    half = np.arange(N) < N // 2
    challenger, champion = np.where(half, FAIR, GOOD), np.where(half, GOOD, np.nan)
    verdict = decide(challenger, BAD, champion)
    common = verdict.numbers["common"]
    assert verdict.outcome == "loss" and common["rows"] == N // 2
    assert common["qlike"]["challenger"] > verdict.numbers["qlike"]["challenger"] > common["qlike"]["champion"]


def test_a_tie_waits_for_live_hours_only_where_that_is_asked_for():
    """With `shadow_ties` a tie is undecided and promotes nothing; every other outcome stays what it is."""
    waiting = replace(PARAMS, shadow_ties=True)
    for outcome in PLANTED:
        verdict = decide(*PLANTED[outcome])
        assert promotion.awaited(verdict, PARAMS) == verdict
        found = promotion.awaited(verdict, waiting)
        assert found.outcome == ("undecided" if outcome == "tie" else outcome)
        assert found.promote is (verdict.promote and outcome != "tie") and found.numbers == verdict.numbers


def test_promotion_on_too_few_hours_is_refused():
    """Below the least number of hours, scored or in common, nothing is promoted; at it, something may be."""
    least = PARAMS.least_rows
    verdict = decide(GOOD, FAIR, rows=slice(0, least - 1))
    assert verdict.outcome == "too_few" and str(least) in verdict.reason
    assert decide(GOOD, FAIR, rows=slice(0, least)).outcome == "first"
    assert decide(GOOD, FAIR, np.where(np.arange(N) < least, BAD, np.nan)).outcome == "win"
    assert decide(GOOD, FAIR, np.full(N, np.nan)).outcome == "too_few"


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0, -0.004])
@pytest.mark.parametrize("name", ["challenger", "har"])
def test_promotion_refuses_an_impossible_forecast_by_name(name, value):
    """No comparison is made with a forecast that is no positive number, and the reason names whose it is."""
    forecasts = {"challenger": GOOD, "har": FAIR}
    verdict = decide(**{**forecasts, name: spoilt(forecasts[name], value)})
    assert verdict.outcome == "invalid" and verdict.reason.startswith(name) and "row 7" in verdict.reason


@pytest.mark.parametrize("value", [np.inf, 0.0, -0.004])
def test_promotion_refuses_an_impossible_forecast_of_the_champion(value):
    """A champion that forecasts nonsense is told by name, with the cure."""
    verdict = decide(GOOD, FAIR, spoilt(BAD, value))
    assert verdict.outcome == "invalid" and verdict.reason.startswith("champion") and "roll back" in verdict.reason


def test_promotion_refuses_forecasts_of_other_hours_and_unknown_targets():
    """Another number of rows, or a target that is not known, is refused and not broadcast."""
    verdict = promotion.decide(REALIZED, GOOD, FAIR[:-1], None, horizon=24, params=PARAMS)
    assert verdict.outcome == "invalid" and "har has 2159" in verdict.reason
    verdict = promotion.decide(spoilt(REALIZED, np.nan), GOOD, FAIR, None, horizon=24, params=PARAMS)
    assert verdict.outcome == "invalid" and verdict.reason.startswith("realized")


def test_promotion_counts_a_flat_stretch_and_does_not_refuse_it():
    """A realized volatility of zero is possible and scored at the floor."""
    verdict = promotion.decide(spoilt(REALIZED, 0.0), GOOD, FAIR, None, horizon=24, params=PARAMS)
    assert verdict.outcome == "first"


@budget(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), *(st.floats(0.0, 0.7) for _ in range(3)))
def test_promotion_never_promotes_what_is_worse(seed, own, har, champion):
    """Whatever the errors: promoted means mean QLIKE at most HAR's, and no significant loss to the champion."""
    rng = np.random.default_rng(seed)
    made = [REALIZED * np.exp(size * rng.standard_normal(N)) for size in (own, har, champion)]
    verdict = decide(*made)
    numbers = verdict.numbers
    if verdict.promote:
        assert numbers["qlike"]["challenger"] <= numbers["qlike"]["har"] * (1 + promotion.SAME)
        assert numbers["dm_har"]["statistic"] <= 0 or numbers["dm_har"]["p"] > PARAMS.dm_level
        assert numbers["dm_champion"]["statistic"] <= 0 or numbers["dm_champion"]["p"] >= PARAMS.dm_level
    else:
        assert verdict.outcome in ("worse_than_har", "loss")


def test_promotion_level_decides_what_is_a_tie():
    """The same small difference is a loss at a lax level and a tie at a strict one."""
    rival = REALIZED * np.exp(0.28 * RNG.standard_normal(N))
    outcomes = {
        level: promotion.decide(
            REALIZED, FAIR, BAD, rival, horizon=24, params=replace(PARAMS, dm_level=level)
        ).outcome
        for level in (1e-12, 0.999)
    }  # fmt: skip
    assert outcomes == {1e-12: "tie", 0.999: "loss"}


@pytest.mark.parametrize("difference", [1.001e-6, 0.5, np.inf, np.nan])
def test_export_past_the_limit_turns_a_win_into_a_refusal(difference):
    """More than a millionth, or no number at all, and nothing is promoted; what the forecasts were worth is still told."""
    told = promotion.exported(promotion.Verdict("win", "better", {"rows": 5}), difference)
    assert (told.outcome, told.promote) == ("export_differs", False)
    assert "1e-06 is allowed" in told.reason and told.reason.endswith("else better")
    assert told.numbers == {"rows": 5, "export_difference": difference if np.isfinite(difference) else None}


@pytest.mark.parametrize(("outcome", "difference"), [("win", 1e-6), ("first", 0.0), ("loss", 0.5), ("too_few", np.nan)])
def test_export_within_the_limit_or_of_a_loser_leaves_the_verdict(outcome, difference):
    """At the limit is within it; a challenger that loses anyway keeps its own reason."""
    told = promotion.exported(promotion.Verdict(outcome, "because", {}), difference)
    assert (told.outcome, told.reason) == (outcome, "because") and "export_difference" in told.numbers


def test_promotion_docs_list_every_outcome():
    """The table in docs/models.md has each outcome with its meaning, and no other."""
    text = Path("docs/models.md").read_text(encoding="utf-8")
    rows = {f"| `{word}` | {'yes' if yes else 'no'} | {what} |" for word, (yes, what) in promotion.OUTCOMES.items()}
    assert rows == {line for line in text.splitlines() if line.startswith("| `") and line.count("|") == 4}
