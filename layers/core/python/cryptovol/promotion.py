"""May the challenger replace the champion? Decided on hours neither was fitted on, by QLIKE and a DM test."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cryptovol import scores
from cryptovol.bars import Floats
from cryptovol.params import PromotionParams

# Each outcome's word, whether it promotes, and what it means.
OUTCOMES: Mapping[str, tuple[bool, str]] = {
    "first": (True, "no champion yet, and not worse than HAR"),
    "unopposed": (True, "the champion cannot be loaded, and not worse than HAR"),
    "win": (True, "significantly better than the champion, and not worse than HAR"),
    "tie": (True, "no significant difference to the champion, and not worse than HAR: the fresher model serves"),
    "loss": (False, "significantly worse than the champion"),
    "worse_than_har": (False, "mean QLIKE above HAR's"),
    "suspicious": (False, "suspiciously good: look for a leak first"),
    "export_differs": (False, "the bundle's arrays do not forecast what XGBoost's own trees do"),
    "too_few": (False, "too few scored hours, or too few in common with the champion"),
    "invalid": (False, "a realized value or a forecast is missing or is no positive number"),
    "undecided": (False, "a tie, and `promotion.shadow_ties` is set: it shadows the champion"),
    "shadow_win": (True, "as a shadow, on live hours, significantly better than the champion"),
    "shadow_tie": (True, "as a shadow, on live hours, no significant difference to the champion"),
    "shadow_loss": (False, "as a shadow, on live hours, significantly worse than the champion"),
    "shadow_worse_than_har": (False, "as a shadow, on live hours, mean QLIKE above HAR's"),
    "shadow_invalid": (False, "as a shadow, a live forecast or its outcome is no positive number"),
    "shadow_expired": (False, "as a shadow, older than a model may serve before enough live hours were known"),
}

EXPORT_LIMIT = 1e-6  # largest relative difference of a forecast by the bundle's arrays and by XGBoost itself
SAME = 1e-9  # mean losses that differ by no more than this share are equal: the rest is rounding


@dataclass(frozen=True)
class Verdict:
    """What came of the comparison.

    Parameters
    ----------
    outcome
        One of `OUTCOMES`.
    reason
        One sentence with the numbers.
    numbers
        ``rows``; ``qlike`` of challenger and har, and ``dm_har``, on all scored hours; ``common`` with ``rows`` and
        ``qlike`` of challenger, har and champion on the hours that all have, and ``dm_champion`` on these;
        ``export_difference``, see `exported`. What was not computed is left out.
    """

    outcome: str
    reason: str
    numbers: Mapping[str, Any]

    @property
    def promote(self) -> bool:
        """Whether the challenger becomes champion."""
        return OUTCOMES[self.outcome][0]


def decide(
    realized: Floats,
    challenger: Floats,
    har: Floats,
    champion: Floats | None,
    *,
    horizon: int,
    params: PromotionParams,
    unloadable: str = "",
) -> Verdict:
    """Return the verdict on the same untouched hours for all.

    The challenger must not be worse than HAR in mean QLIKE, nor significantly worse than the champion. Without a
    champion HAR alone is the bar. A difference to the champion that is not significant at ``params.dm_level`` is a
    tie, and so are identical forecasts; a tie goes to the challenger, which knows newer bars.

    Parameters
    ----------
    realized, challenger, har
        Shape (n,), volatility per hour, oldest first; all forecasts out of sample.
    champion
        Shape (n,) or None; NaN where the champion has no out-of-sample forecast.
    unloadable
        Why there is a champion and yet no forecast of it, for the reason.
    """
    forecasts = {"challenger": challenger, "har": har} | ({} if champion is None else {"champion": champion})
    flaw = _flaw(realized, forecasts)
    if flaw:
        return Verdict("invalid", flaw, {})
    rows = len(realized)
    if rows < params.least_rows:
        return Verdict("too_few", f"only {rows} scored hours, promotion needs {params.least_rows}", {"rows": rows})
    loss, bar = scores.qlike(realized, challenger), scores.qlike(realized, har)
    test = scores.diebold_mariano(loss, bar, horizon=horizon)
    means = {"challenger": float(loss.mean()), "har": float(bar.mean())}
    numbers = {"rows": rows, "qlike": means, "dm_har": {"statistic": test.statistic, "p": test.p}}
    # Significantly worse than HAR is worse in the mean, too: the test's statistic has the sign of the mean difference.
    if means["challenger"] > means["har"] * (1.0 + SAME):
        return Verdict("worse_than_har", f"worse than HAR ({_figures(means)}, DM p {test.p:.3g})", numbers)
    if champion is None:
        absent, outcome = (unloadable, "unopposed") if unloadable else ("no champion yet", "first")
        return Verdict(outcome, f"{absent} and not worse than HAR ({_figures(means)})", numbers)
    losses = {"challenger": loss, "har": bar}
    return _against_champion(realized, champion, losses, numbers, horizon, params)


def exported(verdict: Verdict, difference: float) -> Verdict:
    """Return the verdict with the difference among its numbers, turned into a refusal if that is past `EXPORT_LIMIT`.

    Parameters
    ----------
    difference
        Largest relative difference of a forecast by the bundle's arrays and by the trees they were exported from; NaN
        and infinity, where one of them is no number, are past every limit.
    """
    numbers = {**verdict.numbers, "export_difference": difference if math.isfinite(difference) else None}
    if verdict.promote and not difference <= EXPORT_LIMIT:
        told = f"the bundle's forecasts differ from XGBoost's own by up to {difference:.2g} of them"
        cure = f"{EXPORT_LIMIT:g} is allowed; look at the export in forest.py or for a new XGBoost"
        return Verdict("export_differs", f"{told}, {cure}; else {verdict.reason}", numbers)
    return Verdict(verdict.outcome, verdict.reason, numbers)


def awaited(verdict: Verdict, params: PromotionParams) -> Verdict:
    """Return the verdict, a tie turned into `undecided` where live hours are to settle ties."""
    if verdict.outcome != "tie" or not params.shadow_ties:
        return verdict
    return Verdict("undecided", f"{verdict.reason}; live hours decide", verdict.numbers)


def _flaw(realized: Floats, forecasts: Mapping[str, Floats]) -> str:
    """Return what makes the comparison meaningless, naming whose fault it is, or an empty text."""
    for name, values in forecasts.items():
        if len(values) != len(realized):
            return f"{name} has {len(values)} forecasts for {len(realized)} hours; nothing was compared"
    bad = {"realized": ~(np.isfinite(realized) & (realized >= 0))}
    bad |= {name: ~(np.isfinite(values) & (values > 0)) for name, values in forecasts.items()}
    if "champion" in bad:
        bad["champion"] &= ~np.isnan(forecasts["champion"])  # NaN: it has no out-of-sample forecast for that hour
    for name, rows in bad.items():
        if rows.any():
            what = f"{name} is missing, infinite or not positive at {int(rows.sum())} of {len(realized)} hours"
            cure = "roll back to a sound model" if name == "champion" else "look at the training's data"
            return f"{what}, first at row {int(np.flatnonzero(rows)[0])}; nothing was compared; {cure}"
    return ""


def _against_champion(
    realized: Floats,
    champion: Floats,
    losses: Mapping[str, Floats],
    numbers: dict[str, Any],
    horizon: int,
    params: PromotionParams,
) -> Verdict:
    """Return the verdict of a challenger that HAR did not stop; `losses` are on all scored hours."""
    both = np.isfinite(champion)
    rows = int(both.sum())
    if rows < params.least_rows:
        # Without this a run far back in time would replace a champion that it shares no hour with.
        why = f"only {rows} hours in common with the champion, promotion needs {params.least_rows}"
        return Verdict("too_few", f"{why}; train at a later as_of", {**numbers, "common": {"rows": rows}})
    common = {name: loss[both] for name, loss in losses.items()}
    common["champion"] = scores.qlike(realized[both], champion[both])
    means = {name: float(loss.mean()) for name, loss in common.items()}
    test = scores.diebold_mariano(common["challenger"], common["champion"], horizon=horizon)
    numbers = {
        **numbers, "common": {"rows": rows, "qlike": means}, "dm_champion": {"statistic": test.statistic, "p": test.p},
    }  # fmt: skip
    outcome = _outcome(means, test, params.dm_level)
    words = {"win": "better than the champion", "tie": "as good as the champion", "loss": "worse than the champion"}
    told = f"{words[outcome]} on {rows} common hours ({_figures(means)}, DM p {test.p:.3g})"
    return Verdict(outcome, told if outcome == "loss" else f"{told} and not worse than HAR", numbers)


def _outcome(means: Mapping[str, float], test: scores.Comparison, level: float) -> str:
    """Return win, tie or loss.

    Losses that differ by one and the same amount at every hour have no variance: the test cannot judge them and calls
    them equal, but nothing is less equal than that. Losses that differ by rounding alone can be significant to it.
    """
    difference = means["challenger"] - means["champion"]
    if abs(difference) <= SAME * means["champion"] or (test.statistic != 0.0 and test.p >= level):
        return "tie"
    return "loss" if difference > 0 else "win"


def _figures(means: Mapping[str, float]) -> str:
    return "QLIKE " + ", ".join(f"{name} {value:.4f}" for name, value in means.items())
