"""May the challenger replace the champion? Decided on hours neither was fitted on, by QLIKE and a DM test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cryptovol import scores
from cryptovol.bars import Floats
from cryptovol.params import PromotionParams


@dataclass(frozen=True)
class Verdict:
    """Whether to promote, why, and the numbers it rests on."""

    promote: bool
    reason: str
    numbers: Mapping[str, Any]


def decide(
    realized: Floats,
    challenger: Floats,
    har: Floats,
    champion: Floats | None,
    *,
    horizon: int,
    params: PromotionParams,
    absent: str = "no champion yet",
) -> Verdict:
    """Return the verdict on the same untouched hours for all.

    The challenger must not be worse than HAR in mean QLIKE, nor significantly worse than the champion. Without a
    champion HAR alone is the bar.

    Parameters
    ----------
    realized, challenger, har
        Shape (n,), volatility per hour, oldest first; all forecasts out of sample.
    champion
        Shape (n,) or None; NaN where the champion has no out-of-sample forecast.
    absent
        Why there is no champion, for the reason.
    """
    losses = {"challenger": scores.qlike(realized, challenger), "har": scores.qlike(realized, har)}
    if len(realized) < params.least_rows:
        return Verdict(False, f"only {len(realized)} scored hours, promotion needs {params.least_rows}", {})
    against_har = scores.diebold_mariano(losses["challenger"], losses["har"], horizon=horizon)
    numbers: dict[str, Any] = {
        "rows": len(realized),
        "qlike": {name: float(loss.mean()) for name, loss in losses.items()},
        "dm_har": {"statistic": against_har.statistic, "p": against_har.p},
    }
    if losses["challenger"].mean() > losses["har"].mean():
        return Verdict(False, _sentence("worse than HAR", numbers), numbers)
    if champion is None:
        return Verdict(True, _sentence(f"{absent} and not worse than HAR", numbers), numbers)
    return _against_champion(realized, losses["challenger"], champion, numbers, horizon, params)


def _against_champion(
    realized: Floats,
    loss: Floats,
    champion: Floats,
    numbers: dict[str, Any],
    horizon: int,
    params: PromotionParams,
) -> Verdict:
    both = np.isfinite(champion)
    if both.sum() < params.least_rows:
        return Verdict(True, _sentence(f"only {int(both.sum())} hours in common with the champion", numbers), numbers)
    other = scores.qlike(realized[both], champion[both])
    test = scores.diebold_mariano(loss[both], other, horizon=horizon)
    numbers["qlike"]["champion"] = float(other.mean())
    numbers["dm_champion"] = {"statistic": test.statistic, "p": test.p, "rows": test.rows}
    if test.is_worse(params.dm_level):
        return Verdict(False, _sentence(f"worse than the champion, DM p {test.p:.3g}", numbers), numbers)
    return Verdict(True, _sentence("not worse than the champion nor HAR", numbers), numbers)


def _sentence(what: str, numbers: Mapping[str, Any]) -> str:
    figures = ", ".join(f"{name} {value:.4f}" for name, value in numbers["qlike"].items())
    return f"{what} (QLIKE {figures})"
