"""Drift tests as they are commonly written, each fitted to the same training rows as ours. No effects.

A test takes a window of rows, shape (500, 36), and says of each feature whether it drifted. Distributions are
compared on 50 bins, of equal count in the training rows but for clocks, which take few values.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cryptovol import drift
from cryptovol.bars import Floats, Mask

Test = Callable[[Floats], Mask]

BINS = 50
DECILE = 5  # of those bins
COMMON = drift.WINDOW // 4  # rows between two stretches that limits are taken from


def fitted(training: Floats) -> dict[str, Test]:
    """Return every test by its name in the table, ours last but one.

    Parameters
    ----------
    training
        Shape (n, 36), oldest first, complete rows, enough for `drift.fit_reference`.
    """
    edges = np.quantile(training, np.arange(1, BINS) / BINS, axis=0)
    stretches = [training[i : i + drift.WINDOW] for i in range(0, len(training) - drift.WINDOW + 1, COMMON)]
    bins = Bins(edges, shares(edges, training))
    found = [shares(edges, stretch) for stretch in stretches]
    reference = drift.fit_reference(training)
    assert reference is not None
    calibrated = _calibrated(bins, found)

    def ours(window: Floats) -> Mask:
        return reference.judge(window).score > 1.0

    return {
        **_fixed(training, bins),
        "Jensen–Shannon, mean + 3 sd of training chunks": _chunks(bins, found),
        "KS, 1.25 × largest in training": calibrated,
        "unexplained part, not attributed": _unexplained(reference),
        "ours: attributed": ours,
        "ours or calibrated KS": lambda window: ours(window) | calibrated(window),
    }


def shares(edges: Floats, window: Floats) -> Floats:
    """Return the share of a window's rows in each bin, shape (50, 36)."""
    columns = range(window.shape[1])
    counts = [np.bincount(np.searchsorted(edges[:, j], window[:, j]), minlength=BINS) for j in columns]
    return np.stack(counts, axis=1) / len(window)


@dataclass(frozen=True, eq=False)
class Bins:
    """The bins' inner edges, shape (49, 36), the training rows' share in each, shape (50, 36), and distances to it."""

    edges: Floats
    due: Floats

    def ks(self, window: Floats) -> Floats:
        """Return the largest distance of the cumulated shares, per feature."""
        return self.ks_of(shares(self.edges, window))

    def ks_of(self, found: Floats) -> Floats:
        """Return the same, from the shares."""
        largest: Floats = np.abs(np.cumsum(found - self.due, axis=0)).max(axis=0)
        return largest

    def psi(self, window: Floats) -> Floats:
        """Return the population stability index on deciles; an empty one counts as 1e-4, as is usual."""
        found, due = (
            np.maximum(each.reshape(-1, DECILE, each.shape[1]).sum(axis=1), 1e-4)
            for each in (shares(self.edges, window), self.due)
        )
        index: Floats = ((found - due) * np.log(found / due)).sum(axis=0)
        return index

    def js(self, window: Floats) -> Floats:
        """Return the Jensen–Shannon distance, base 2."""
        return self.js_of(shares(self.edges, window))

    def js_of(self, found: Floats) -> Floats:
        """Return the same, from the shares."""
        middle = 0.5 * (found + self.due)
        with np.errstate(divide="ignore", invalid="ignore"):
            halves = [np.where(x > 0, x * np.log2(x / middle), 0.0).sum(axis=0) for x in (found, self.due)]
        distance: Floats = np.sqrt(0.5 * (halves[0] + halves[1]))
        return distance


def _fixed(training: Floats, bins: Bins) -> dict[str, Test]:
    """Return the tests whose limits are textbook numbers."""
    n, m = len(training), drift.WINDOW
    due = np.quantile(training, (np.arange(m) + 0.5) / m, axis=0)
    scale = training.std(axis=0)

    def ks(level: float) -> Test:
        limit = np.sqrt(-np.log(level / 2) / 2) * np.sqrt((n + m) / (n * m))  # asymptotic, rows independent
        return lambda window: bins.ks(window) > limit

    return {
        "KS, p < 0.05": ks(0.05),
        "KS, p < 0.05 / 36": ks(0.05 / 36),
        "PSI > 0.2": lambda window: bins.psi(window) > 0.2,
        "Wasserstein > 0.1 sd": lambda window: np.abs(np.sort(window, axis=0) - due).mean(axis=0) / scale > 0.1,
    }


def _chunks(bins: Bins, every: list[Floats]) -> Test:
    """Return the test with limits from whole chunks of training rows, as nannyml takes them."""
    found = np.array([bins.js_of(each) for each in every[:: drift.WINDOW // COMMON]])
    limit = found.mean(axis=0) + 3.0 * found.std(axis=0)
    return lambda window: bins.js(window) > limit


def _calibrated(bins: Bins, every: list[Floats]) -> Test:
    limit = drift.MARGIN * np.max([bins.ks_of(each) for each in every], axis=0)
    return lambda window: bins.ks(window) > limit


def _unexplained(reference: drift.Reference) -> Test:
    weights = reference.precision / np.diag(reference.precision)[:, None]

    def test(window: Floats) -> Mask:
        mean = ((window - reference.centre) / reference.scale).mean(axis=0)
        over: Mask = np.abs(weights @ mean) / reference.spread / reference.limit > 1.0
        return over

    return test
