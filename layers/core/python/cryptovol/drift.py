"""Has the data left what the model was trained on? Bounds for one row, and a detector for a window of rows.

Volatility features are levels of one slow factor: in 500 hours each of them moves by about a standard deviation
with no fault at all, so a test of each feature alone alarms always. Given the *other* features a value is narrow;
the detector therefore looks at what of each feature the others do not explain, and takes its alarm limits from
contiguous stretches of the training data, which carry the true autocorrelation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cryptovol.bars import Floats
from cryptovol.tables import Table

WINDOW = 500  # rows an evaluation looks at
LEAST_WINDOWS = 20  # training rows, in windows, below which limits cannot be calibrated
MARGIN = 1.25  # over the largest healthy stretch
EFFECT = 0.25  # least shift, in training standard deviations, that is worth telling
RIDGE = 0.02  # keeps the correlation matrix of near-collinear features invertible


@dataclass(frozen=True, eq=False)
class Bounds:
    """Per feature the range outside which a value counts as out of distribution; shape (36,) each."""

    lower: Floats
    upper: Floats

    def outside(self, row: Floats) -> list[int]:
        """Return the columns of one row, shape (36,), that lie outside or are missing."""
        return [int(j) for j in np.flatnonzero(~((row >= self.lower) & (row <= self.upper)))]


def fit_bounds(values: Floats) -> Bounds:
    """Return the 1st to 99th percentile of each feature, widened by half its width on either side.

    Features are strongly autocorrelated: plain percentiles or even the extremes flag whole stretches of healthy
    data, these bounds hardly any.

    Parameters
    ----------
    values
        Shape (n, 36), the training rows.
    """
    low, high = np.quantile(values, (0.01, 0.99), axis=0)
    margin = 0.5 * (high - low) + 1e-9
    return Bounds(low - margin, high + margin)


@dataclass(frozen=True, eq=False)
class Reference:
    """What healthy stretches of training data look like.

    Parameters
    ----------
    centre, scale
        Shape (36,), of the training rows.
    precision
        Shape (36, 36): inverse of the regularised correlation matrix.
    spread
        Shape (36,): standard deviation of each feature's unexplained part.
    limit
        Shape (36,): alarm limit of the mean unexplained part over a window.
    """

    centre: Floats
    scale: Floats
    precision: Floats
    spread: Floats
    limit: Floats

    def drifted(self, values: Floats) -> list[int]:
        """Return the columns that drifted in the newest `WINDOW` rows.

        The columns are attributed one at a time: the one that explains most is taken, its shift is removed, and the
        rest is looked at again, so that neighbours of a shifted feature are not blamed.

        Parameters
        ----------
        values
            Shape (n, 36), oldest first, ``n >= WINDOW``.

        Raises
        ------
        ValueError
            If there are fewer rows than a window.
        """
        if len(values) < WINDOW:
            raise ValueError(f"drift needs {WINDOW} rows, not {len(values)}")
        mean = ((values[-WINDOW:] - self.centre) / self.scale).mean(axis=0)
        unexplained = self.precision / np.diag(self.precision)[:, None]
        chosen: list[int] = []
        rest, shift = mean.copy(), np.empty(0)
        while len(chosen) < len(mean) - 6:
            score = np.abs(unexplained @ rest) / self.spread / self.limit
            score[chosen] = 0.0
            if not (score > 1.0).any():
                break
            gain = np.where(score > 1.0, (self.precision @ rest) ** 2 / np.diag(self.precision), 0.0)
            chosen.append(int(np.argmax(gain)))
            shift = np.linalg.solve(self.precision[np.ix_(chosen, chosen)], self.precision[chosen] @ mean)
            rest = mean.copy()
            rest[chosen] -= shift
        return sorted(j for j, size in zip(chosen, shift, strict=True) if abs(size) >= EFFECT)

    def arrays(self) -> Table:
        """Return the reference as a table for `tables.encode_npz`."""
        return {name: getattr(self, name) for name in ("centre", "scale", "precision", "spread", "limit")}


def fit_reference(values: Floats) -> Reference | None:
    """Return the detector fitted to training rows, or None if they are too few to calibrate its limits.

    Parameters
    ----------
    values
        Shape (n, 36), oldest first, complete rows.
    """
    if len(values) < LEAST_WINDOWS * WINDOW:
        return None
    centre, scale = values.mean(axis=0), np.maximum(values.std(axis=0), 1e-12)
    z = (values - centre) / scale
    precision = np.linalg.inv(z.T @ z / len(z) + RIDGE * np.eye(z.shape[1]))
    residual = z @ (precision / np.diag(precision)[:, None]).T
    spread = residual.std(axis=0)
    sums = np.vstack([np.zeros(z.shape[1]), np.cumsum(residual / spread, axis=0)])
    starts = np.arange(0, len(z) - WINDOW + 1, WINDOW // 4)
    means = (sums[starts + WINDOW] - sums[starts]) / WINDOW
    return Reference(centre, scale, precision, spread, np.abs(means).max(axis=0) * MARGIN)


def from_arrays(table: Mapping[str, Any]) -> Reference | None:
    """Return the reference in a table; an empty table is one that could not be calibrated."""
    return Reference(**{name: table[name] for name in Reference.__dataclass_fields__}) if table else None
