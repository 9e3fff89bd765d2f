"""How much each feature moved one forecast: Shapley values that add up to it, exact, in numpy alone.

The line's part of a feature is its weight times its distance from the mean of the training rows. The trees' part is
path-dependent TreeSHAP: features not yet known are left to the training rows, as their weights at each node (`cover`)
tell. TreeSHAP is done for all leaves at once. Along the path to a leaf each feature leaves one interval, in which the row
lies (o = 1) or not (o = 0), and one share z of the training rows that would have gone on. The leaf pays its value v times
the product of o over the known features and of z over the others; feature i's Shapley value of that game is

    v (o_i - z_i) ∫ Π_{j≠i} (z_j (1 - u) + o_j u) du,   u from 0 to 1,

because the Shapley weight of k known among m - 1 others is ∫ u^k (1-u)^(m-1-k) du. The integrand is a polynomial, so
that Gauss–Legendre quadrature with half as many points as a path has features is exact.

References
----------
Lundberg, Erion and Lee (2018), Consistent Individualized Feature Attribution for Tree Ensembles.
Lundberg et al. (2020), From local explanations to global understanding with explainable AI for trees.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cryptovol.bars import Floats
from cryptovol.forest import Forest, Narrow
from cryptovol.model import Model


@dataclass(frozen=True, eq=False)
class Explanation:
    """A forecast taken apart, in units of log volatility: ``base + contributions.sum()`` is the forecast's logarithm.

    Parameters
    ----------
    base
        The logarithm of what the model forecasts where it knows no feature.
    contributions
        Shape (36,), in the order of `features.FEATURE_NAMES`.
    """

    base: float
    contributions: Floats


@dataclass(frozen=True, eq=False)
class Paths:
    """The paths to all leaves of a forest, each feature merged into one place; places x leaves.

    Parameters
    ----------
    feature
        Column; 0 in a place not used.
    lower, upper
        float32; the path is followed where ``lower <= float32(x) < upper``. -inf and NaN, which nothing is as large
        as, where there is no such end, and in a place not used.
    share
        Of the training rows at the splits on this feature, those that followed the path; 1 in a place not used.
    value
        Shape (leaves,), what a leaf adds.
    points, weights
        Of the quadrature on [0, 1].
    """

    feature: NDArray[np.intp]
    lower: Narrow
    upper: Narrow
    share: Floats
    value: Floats
    points: Floats
    weights: Floats

    @property
    def base(self) -> float:
        """What the forest says where it knows no feature: the leaves' mean over the training rows."""
        return float((self.share.prod(axis=0) * self.value).sum())

    def contributions(self, x: Floats) -> Floats:
        """Return what each feature adds to `base` at one row; both of shape (features,)."""
        told = x.astype(np.float32).take(self.feature)
        inside = ((told >= self.lower) & ~(told >= self.upper)).astype(np.float64)
        others = np.zeros_like(self.share)
        for u, weight in zip(self.points, self.weights, strict=True):
            others += weight * _products_of_others(self.share * (1.0 - u) + inside * u)
        each = (inside - self.share) * others * self.value
        return np.bincount(self.feature.ravel(), weights=each.ravel(), minlength=len(x)).astype(np.float64, copy=False)


def _products_of_others(factors: Floats) -> Floats:
    """Return, for each row of factors, the product of all other rows, without dividing: a factor may be zero."""
    made = np.ones_like(factors)
    for order in (range(len(factors)), range(len(factors) - 1, -1, -1)):
        running = np.ones(factors.shape[1])
        for place in order:
            made[place] *= running
            running = running * factors[place]
    return made


def paths(forest: Forest) -> Paths:
    """Return the paths of a forest, found level by level for all trees at once."""
    at, found = _start(forest), []
    for _ in range(forest.depth):
        leaf = forest.walk.left[at.node] == at.node
        found.append(at.only(leaf))
        at = at.only(~leaf).down(forest)
    ends = _Reached.joined([*found, at])
    used = max(int((ends.feature >= 0).sum(axis=1).max()), 1)
    feature, lower, upper, share = (
        np.ascontiguousarray(each[:, :used].T)
        for each in (np.maximum(ends.feature, 0), ends.lower, ends.upper, ends.share)
    )
    points, weights = np.polynomial.legendre.leggauss((used + 1) // 2)
    value = forest.walk.value[ends.node]
    return Paths(feature, lower, upper, share, value, (points + 1.0) / 2.0, weights / 2.0)


@dataclass(frozen=True, eq=False)
class _Reached:
    """Nodes, and the paths to them: nodes x places; a place not used yet has feature -1."""

    node: NDArray[np.intp]
    feature: NDArray[np.intp]
    lower: Narrow
    upper: Narrow
    share: Floats

    @classmethod
    def joined(cls, parts: Sequence[_Reached]) -> _Reached:
        names = cls.__dataclass_fields__
        return cls(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})

    def only(self, rows: NDArray[np.bool_]) -> _Reached:
        return _Reached(self.node[rows], self.feature[rows], self.lower[rows], self.upper[rows], self.share[rows])

    def down(self, forest: Forest) -> _Reached:
        """Return the children of all nodes, which must be splits, the left ones first."""
        feature, threshold = forest.walk.feature[self.node], forest.walk.threshold[self.node]
        rows, same = np.arange(len(self.node)), self.feature == feature[:, None]
        place = np.where(same.any(axis=1), same.argmax(axis=1), (self.feature >= 0).sum(axis=1))
        sides = []
        for side, end, nearer in ((0, "upper", np.fmin), (1, "lower", np.maximum)):
            child = forest.walk.left[self.node] + side
            went = replace(self.only(np.ones(len(rows), dtype=bool)), node=child)
            went.feature[rows, place] = feature
            went.share[rows, place] *= _shares(forest, self.node, child)
            getattr(went, end)[rows, place] = nearer(getattr(went, end)[rows, place], threshold)
            sides.append(went)
        return _Reached.joined(sides)


def _start(forest: Forest) -> _Reached:
    """Return the roots, with a place for every split that a path may have."""
    trees, nodes = forest.left.shape
    shape = (trees, max(forest.depth, 1))
    lowest, highest = np.full(shape, -np.inf, dtype=np.float32), np.full(shape, np.nan, dtype=np.float32)
    return _Reached(np.arange(trees) * nodes, np.full(shape, -1), lowest, highest, np.ones(shape))


def _shares(forest: Forest, node: NDArray[np.intp], child: NDArray[np.intp]) -> Floats:
    """Return which share of the training rows went on to a child; a half where none came by and nobody knows."""
    cover = forest.cover.ravel().astype(np.float64)
    known = cover[node] > 0
    share: Floats = np.where(known, cover[child] / np.where(known, cover[node], 1.0), 0.5)
    return share


def explain(model: Model, ways: Paths, row: Floats) -> Explanation:
    """Return what each feature adds to the logarithm of one forecast.

    The model adds in logarithms, before `Level` bends them into a level. The bend is straight between two cut-offs; there
    each part counts by its slope. Where a cut-off lies between base and forecast, each counts by the mean slope from the
    one to the other, so that the sum is kept.

    Parameters
    ----------
    model
        The model that forecasts.
    ways
        `paths` of its forest.
    row
        Shape (36,), without NaN.

    Returns
    -------
    Explanation
        ``base + contributions.sum()`` is ``ln(model.predict(row))`` up to rounding.
    """
    z = model.standardise(row)
    parts = z * model.weights + ways.contributions(z) / model.members
    base = model.intercept + ways.base / model.members
    stretch = model.level.stretch(base, base + float(parts.sum()))
    return Explanation(model.level.log(base), parts * stretch)
