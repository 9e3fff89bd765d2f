"""Faults planted in feature rows, and market moves that are none. Each changes the rows from an hour on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cryptovol.bars import Floats, Ints
from cryptovol.drift import CLOCKS
from cryptovol.features import FEATURE_NAMES

# Rows after the fault began, shape (m, 36); standard deviation in training, shape (36,); the columns; the change.
Fault = Callable[[Floats, Floats, Ints], Floats]

MARKET = CLOCKS.start
LEVELS = [j for j, name in enumerate(FEATURE_NAMES) if name.startswith(("rv", "ewma", "gk_", "parkinson"))]
LEVELS.remove(FEATURE_NAMES.index("gk_cv_24"))


def shift(size: float) -> Fault:
    """Return a fault that adds so many standard deviations."""

    def fault(rows: Floats, scale: Floats, columns: Ints) -> Floats:
        out = rows.copy()
        out[:, columns] += size * scale[columns]
        return out

    return fault


def frozen(rows: Floats, scale: Floats, columns: Ints) -> Floats:
    """Hold the columns at their first value."""
    out = rows.copy()
    out[:, columns] = rows[0, columns]
    return out


def late(rows: Floats, scale: Floats, columns: Ints) -> Floats:
    """Give the columns' values of a day before."""
    out = rows.copy()
    out[24:, columns] = rows[:-24, columns]
    return out


def percent(rows: Floats, scale: Floats, columns: Ints) -> Floats:
    """Give logarithms of volatilities in percent: ln 100 is added."""
    out = rows.copy()
    out[:, columns] += np.log(100.0)
    return out


def louder(rows: Floats, scale: Floats, columns: Ints) -> Floats:
    """Move the market: every volatility times two, at once and in step."""
    out = rows.copy()
    out[:, LEVELS] += np.log(2.0)
    return out


def zone(rows: Floats, scale: Floats, columns: Ints) -> Floats:
    """Set the clocks five hours ahead."""
    out = rows.copy()
    out[:-5, CLOCKS] = rows[5:, CLOCKS]
    return out


# Name in the table: the fault, and how many columns of how many it strikes.
EVERY: dict[str, tuple[Fault, int, int]] = {
    "7 of 36 features + 1 sd": (shift(1.0), 7, len(FEATURE_NAMES)),
    "7 of the 26 that are no clock + 1 sd": (shift(1.0), 7, MARKET),
    "7 of the 26 + 0.5 sd": (shift(0.5), 7, MARKET),
    "12 of the 26 + 1 sd": (shift(1.0), 12, MARKET),
    "1 of the 26 + 1 sd": (shift(1.0), 1, MARKET),
    "1 of the 26 in percent": (percent, 1, MARKET),
    "7 of the 26 frozen": (frozen, 7, MARKET),
    "7 of the 26 a day late": (late, 7, MARKET),
    "clocks five hours ahead": (zone, 7, MARKET),
    "market twice as volatile (no fault)": (louder, 7, MARKET),
}
