"""Forecasts beside what came, and the rows on which all of them can be compared."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cryptovol.bars import Floats, Ints, Mask
from cryptovol.errors import NotEnoughBarsError

MODEL = "model"
LEAST, MOST = 1e-9, 1e6  # per hour; beyond them a loss is no longer a number, and no market is so calm or so wild


@dataclass(frozen=True, eq=False)
class Scored:
    """Forecasts and what came, oldest first, shape (m,) each, volatility per hour.

    Parameters
    ----------
    time
        Opening of the last closed bar each forecast used, unix seconds, ascending.
    realized
        Volatility over the next `horizon` hours; NaN where it is not known yet, or an hour of it has no bar.
    past_mean
        Mean of all targets known when each forecast was made; R² is measured against it.
    forecasts
        By name, ``model`` first; NaN where that one has no forecast.
    bounds
        Ends of the model's interval by level, NaN where it has none; may be empty.
    horizon
        Hours ahead.

    Raises
    ------
    ValueError
        If lengths differ, times do not ascend, ``model`` is not the first forecast, or a forecast is neither NaN nor
        between `LEAST` and `MOST`: left out as if it were missing, it would flatter the one who made it.
    """

    time: Ints
    realized: Floats
    past_mean: Floats
    forecasts: dict[str, Floats]
    bounds: dict[float, tuple[Floats, Floats]]
    horizon: int

    def __post_init__(self) -> None:
        ends = [end for pair in self.bounds.values() for end in pair]
        lengths = {len(each) for each in (self.time, self.realized, self.past_mean, *self.forecasts.values(), *ends)}
        if len(lengths) > 1:
            raise ValueError(f"columns of unequal length: {sorted(lengths)}")
        if next(iter(self.forecasts), "") != MODEL:
            raise ValueError(f"the first forecast must be {MODEL!r}, not one of {', '.join(self.forecasts) or 'none'}")
        if np.any(np.diff(self.time) <= 0):
            raise ValueError("times must ascend")
        for name, forecast in self.forecasts.items():
            wrong = np.flatnonzero(~np.isnan(forecast) & ~((forecast >= LEAST) & (forecast <= MOST)))
            if len(wrong):
                raise ValueError(
                    f"forecast {name} of row {wrong[0]} is {forecast[wrong[0]]}: neither NaN nor from {LEAST:g} to {MOST:g}"
                )

    def __len__(self) -> int:
        return len(self.time)

    def take(self, rows: Mask | Ints) -> Scored:
        """Return the chosen rows."""
        return Scored(
            self.time[rows], self.realized[rows], self.past_mean[rows],
            {name: forecast[rows] for name, forecast in self.forecasts.items()},
            {level: (lower[rows], upper[rows]) for level, (lower, upper) in self.bounds.items()}, self.horizon,
        )  # fmt: skip


def common(scored: Scored) -> tuple[Scored, dict[str, int]]:
    """Return the rows with a realized value and every forecast, and how many were left out by reason.

    A row left out counts under the first reason that holds: ``not_yet_realized`` (newer than every realized value),
    ``target_incomplete`` (an hour of the target has no bar), ``no_past_mean``, ``no_<forecast>``.

    Raises
    ------
    NotEnoughBarsError
        If no row is left.
    """
    known = np.isfinite(scored.realized)
    newest = int(np.max(np.flatnonzero(known), initial=-1))
    absent = {
        "not_yet_realized": np.arange(len(scored)) > newest,
        "target_incomplete": ~known,
        "no_past_mean": ~np.isfinite(scored.past_mean),
        **{f"no_{name}": np.isnan(forecast) for name, forecast in scored.forecasts.items()},
    }
    kept, left_out = np.ones(len(scored), dtype=bool), {}
    for reason, rows in absent.items():
        if count := int((kept & rows).sum()):
            left_out[reason] = count
        kept &= ~rows
    if not kept.any():
        told = ", ".join(f"{reason} {count}" for reason, count in left_out.items()) or "there are none"
        raise NotEnoughBarsError(
            f"nothing to score: none of {len(scored)} forecasts has a realized value and every baseline beside it "
            f"({told}). Cure: give bars that reach {scored.horizon} hours past the first forecast, and far enough back "
            "for the baselines",
            needed=1, found=0,
        )  # fmt: skip
    return scored.take(kept), left_out
