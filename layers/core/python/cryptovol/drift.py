"""Has the data left what the model was trained on? Bounds for one row, and a detector for a window of rows.

Volatility features are levels of one slow factor: in 500 hours each of them moves by about a standard deviation
with no fault at all, so a test of each feature alone alarms always. Given the *other* features a value is narrow;
the detector therefore looks at what of each feature the others do not explain, and takes its alarm limits from
contiguous stretches of the training data, which carry the true autocorrelation. `docs/drift.md` holds it against the
usual tests on real bars.

The clocks (hour of the day and of the week) cannot drift: they are never blamed for what the market does, and the
others are judged given them. One that leaves its circle is faulty, and counts as drifted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cryptovol.bars import Floats
from cryptovol.features import FEATURE_NAMES, TEMPORAL
from cryptovol.tables import Table

WINDOW = 500  # rows an evaluation looks at
LEAST_WINDOWS = 20  # training rows, in windows, below which limits cannot be calibrated
MARGIN = 1.25  # over the largest healthy stretch
EFFECT = 0.25  # least shift, in training standard deviations, that is worth telling
RIDGE = 0.02  # keeps the correlation matrix of near-collinear features invertible
OFF_CIRCLE = 1e-3  # of a clock's sine² + cosine², which is 1 but for rounding, above which it is faulty

CLOCKS = slice(len(FEATURE_NAMES) - len(TEMPORAL), len(FEATURE_NAMES))  # sine and cosine in turn


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
class Verdict:
    """What a window of rows says about each feature.

    Parameters
    ----------
    score
        Shape (36,): the evidence over its limit; above 1 the feature drifted.
    """

    score: Floats

    @property
    def columns(self) -> list[int]:
        """The columns that drifted, in order."""
        return [int(j) for j in np.flatnonzero(self.score > 1.0)]

    @property
    def ratio(self) -> float:
        """Share of the features that drifted, 0 to 1."""
        return len(self.columns) / len(self.score)

    @property
    def names(self) -> list[str]:
        """The names of the features that drifted, in the order of `features.FEATURE_NAMES`."""
        return [FEATURE_NAMES[j] for j in self.columns]

    @property
    def scores(self) -> dict[str, float]:
        """The score of each feature by name, to four decimals."""
        return {name: round(float(score), 4) for name, score in zip(FEATURE_NAMES, self.score, strict=True)}


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

    def judge(self, values: Floats) -> Verdict:
        """Return what the newest `WINDOW` rows say.

        The features are blamed one at a time: the one that explains most is taken, its shift is removed, and the
        rest is looked at again, so that neighbours of a shifted feature are not blamed. A feature drifted if its
        unexplained part passes its limit and its shift is at least `EFFECT`; its score is the lesser of the two.

        Parameters
        ----------
        values
            Shape (n, 36), oldest first, complete rows, ``n >= WINDOW``.

        Raises
        ------
        ValueError
            If there are fewer rows than a window, or one of them lacks a value.
        """
        window = values[-WINDOW:]
        whole = int(np.isfinite(window).all(axis=1).sum())
        if whole < WINDOW:
            raise ValueError(f"drift needs {WINDOW} rows, not {whole}; leave out incomplete ones, or wait for more")
        told = np.zeros(len(self.centre))
        told[CLOCKS] = _off_circle(window[:, CLOCKS])
        mean = ((window - self.centre) / self.scale).mean(axis=0)
        chosen = [int(j) for j in np.flatnonzero(told > 1.0)]
        evidence, shift = self._blame(mean, chosen)
        market = slice(0, CLOCKS.start)
        told[market] = np.where(
            np.isin(np.arange(CLOCKS.start), chosen),
            np.minimum(evidence[market], np.abs(shift[market]) / EFFECT),
            np.minimum(evidence[market], 1.0),
        )
        return Verdict(told)

    def _blame(self, mean: Floats, chosen: list[int]) -> tuple[Floats, Floats]:
        """Add to `chosen` the features that a window's mean blames; return evidence over limit and shift, by feature."""
        diagonal = np.diag(self.precision)
        unexplained = self.precision / diagonal[:, None]
        shift, evidence = self._shift(mean, chosen), np.zeros(len(mean))
        while True:
            rest = mean - shift
            score = np.abs(unexplained @ rest) / self.spread / self.limit
            score[CLOCKS] = 0.0
            free = np.setdiff1d(np.arange(len(mean)), chosen)
            evidence[free] = score[free]
            over = free[score[free] > 1.0]
            if not len(over) or len(chosen) >= len(mean) - 6:
                return evidence, shift
            chosen.append(int(over[np.argmax((self.precision[over] @ rest) ** 2 / diagonal[over])]))
            shift = self._shift(mean, chosen)

    def _shift(self, mean: Floats, chosen: list[int]) -> Floats:
        """Return the shifts of the chosen features that leave the others as they are wont to be; 0 for the others."""
        shift = np.zeros(len(mean))
        if chosen:
            shift[chosen] = np.linalg.solve(self.precision[np.ix_(chosen, chosen)], self.precision[chosen] @ mean)
        return shift

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
    # The newest stretch is always one of them: a champion knows the market that it was trained up to.
    starts = np.unique(np.r_[np.arange(0, len(z) - WINDOW + 1, WINDOW // 4), len(z) - WINDOW])
    means = (sums[starts + WINDOW] - sums[starts]) / WINDOW
    return Reference(centre, scale, precision, spread, np.abs(means).max(axis=0) * MARGIN)


def from_arrays(table: Mapping[str, Any]) -> Reference | None:
    """Return the reference in a table; an empty table is one that could not be calibrated."""
    return Reference(**{name: table[name] for name in Reference.__dataclass_fields__}) if table else None


def _off_circle(clocks: Floats) -> Floats:
    """Return how far each clock column strays from its circle, over `OFF_CIRCLE`; sine and cosine alike."""
    squares = clocks[:, 0::2] ** 2 + clocks[:, 1::2] ** 2
    return np.repeat(np.abs(squares - 1.0).max(axis=0) / OFF_CIRCLE, 2)
