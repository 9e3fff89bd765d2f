"""Promotion: wins, ties and losses with planted models."""

from pathlib import Path

import numpy as np

from cryptovol import params, promotion

PARAMS = params.load(Path("params.yaml")).promotion
RNG = np.random.default_rng(12)
REALIZED = np.exp(0.4 * RNG.standard_normal(2160)) * 0.005


def noisy(size: float) -> np.ndarray:
    """Return a forecast with log errors of a given size."""
    return REALIZED * np.exp(size * RNG.standard_normal(2160))


GOOD, FAIR, BAD = noisy(0.1), noisy(0.3), noisy(0.6)


ALL = slice(None)


def decide(challenger, har, champion=None, rows=ALL):
    """Return the verdict at 24 hours."""
    rival = None if champion is None else champion[rows]
    return promotion.decide(REALIZED[rows], challenger[rows], har[rows], rival, horizon=24, params=PARAMS)


def test_promotion_without_a_champion_needs_only_to_match_har():
    """The first model that is not worse than HAR is promoted."""
    assert decide(GOOD, FAIR).promote


def test_promotion_of_a_model_worse_than_har_is_refused():
    """Worse than HAR is refused even without a champion, and the numbers are in the reason."""
    verdict = decide(BAD, FAIR)
    assert not verdict.promote and "worse than HAR" in verdict.reason and "QLIKE" in verdict.reason


def test_promotion_of_a_clear_loser_to_the_champion_is_refused():
    """Better than HAR but clearly worse than the champion stays challenger."""
    verdict = decide(FAIR, BAD, GOOD)
    assert not verdict.promote and "worse than the champion" in verdict.reason


def test_promotion_of_an_equal_is_granted():
    """A tie goes to the fresher model."""
    assert decide(GOOD, FAIR, GOOD).promote


def test_promotion_of_a_clear_winner_is_granted():
    """A better model replaces the champion."""
    assert decide(GOOD, BAD, FAIR).promote


def test_promotion_on_too_few_hours_is_refused():
    """Below the least number of hours nothing is promoted."""
    verdict = decide(GOOD, FAIR, rows=slice(0, PARAMS.least_rows - 1))
    assert not verdict.promote and str(PARAMS.least_rows) in verdict.reason
