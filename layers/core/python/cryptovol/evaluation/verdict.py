"""Who wins, in one sentence that is as plain about a loss as about a win."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cryptovol.evaluation.scored import MODEL

SIGNIFICANT = 0.05  # two-sided p below which two forecasts are told apart
LABELS = {"model": "the model", "har": "HAR", "garch": "GARCH", "ewma": "EWMA", "persistence": "persistence"}

Test = Mapping[str, float] | None


def outcome(test: Test) -> str:
    """Return ``better`` or ``worse`` where the test tells the model from the other, else ``undecided``."""
    if test is None or test["p"] >= SIGNIFICANT or test["statistic"] == 0:
        return "undecided"
    return "better" if test["statistic"] < 0 else "worse"


def verdict(scores: Mapping[str, Mapping[str, float]], tests: Mapping[str, Mapping[str, Test]]) -> dict[str, Any]:
    """Return the model's standing against the best baseline, which is the one with the smallest QLIKE.

    Parameters
    ----------
    scores
        By model, see `cryptovol.scores.summary`.
    tests
        By baseline the tests on ``qlike`` and ``squared_error``; negative where the model loses less.

    Returns
    -------
    dict
        ``outcome`` (``better``, ``worse``, ``undecided``, or ``alone`` without a baseline), ``against`` (the baseline's
        name or None) and ``sentence``.
    """
    own = scores[MODEL]["qlike"]
    others = {name: errors["qlike"] for name, errors in scores.items() if name != MODEL}
    if not others:
        return {"outcome": "alone", "against": None, "sentence": f"No baseline stands beside it: QLIKE {own:.4f}."}
    best = min(others, key=lambda name: others[name])
    test = tests[best]["qlike"]
    found, label = outcome(test), LABELS.get(best, best)
    opening = {
        "better": f"The model beats {label}, the best baseline:",
        "worse": f"The model loses to {label}:",
        "undecided": f"The model and {label}, the best baseline, cannot be told apart:",
    }[found]
    sentence = f"{opening} QLIKE {own:.4f} against {others[best]:.4f}, {_apart(own, others[best])} ({told(test)})."
    return {"outcome": found, "against": best, "sentence": sentence + _on_squares(tests[best], found)}


def _apart(own: float, other: float) -> str:
    if other <= 0 or own == other:
        return "equal" if own == other else "higher"
    share = own / other - 1.0
    return f"{abs(share):.1%} {'lower' if share < 0 else 'higher'}".replace("%", " %")


def told(test: Test) -> str:
    """Return a test in words, for instance ``Diebold–Mariano −6.30, p < 0.001``."""
    if test is None:
        return "too few hours for a test"
    p = "p < 0.001" if test["p"] < 0.001 else f"p {test['p']:.3f}"
    return f"Diebold–Mariano {test['statistic']:+.2f}, {p}".replace("-", "−")


def _on_squares(tests: Mapping[str, Test], found: str) -> str:
    """Return a second sentence where squared error tells another story than QLIKE."""
    square = outcome(tests["squared_error"])
    if square == found:
        return ""
    told_apart = {"better": "it is better", "worse": "it is worse", "undecided": "they cannot be told apart"}[square]
    return f" On squared error {told_apart} ({told(tests['squared_error'])})."
