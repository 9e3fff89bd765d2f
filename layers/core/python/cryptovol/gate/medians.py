"""What stands out against the median of what came before it, quickly."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cryptovol.bars import Floats
from cryptovol.gate.batch import Places


def above_median(values: Floats, *, times: float, window: int) -> tuple[Places, Floats]:
    """Return the places of values larger than `times` the median of the `window` values before them.

    Causal: a value is held against earlier ones only. A value with fewer than a quarter of `window` before it is not
    judged, and none is where the median is 0.

    Parameters
    ----------
    values
        Shape (n,), oldest first, finite, at least 0.

    Returns
    -------
    Places, Floats
        Shape (m,) each: where, and how many times the median the value there is.
    """
    places, ratios = [], []
    # The median of the largest doubles, or a multiple of it, may be infinite; nothing is larger then, as it should be.
    with np.errstate(over="ignore"):
        for place in _candidates(values, times, window):
            median = float(np.median(values[max(0, place - window) : place]))
            if median > 0 and values[place] > times * median:
                places.append(place)
                ratios.append(values[place] / median)
    return np.array(places, dtype=np.intp), np.array(ratios, dtype=np.float64)


def _candidates(values: Floats, times: float, window: int) -> Iterator[int]:
    """Yield the places, in ascending order, at which a value may be above: all that are, and few others.

    The median is computed at every `stride`-th place only, and a little too low: until the next such place fewer than
    `stride` values enter the window and as many leave it, so no later median is below the value that stands `stride`
    ranks under this one.
    """
    least, stride = max(1, window // 4), max(1, window // 8)
    for start in range(least, len(values), stride):
        past = values[max(0, start - window) : start]
        rank = (len(past) - 1) // 2 - (stride - 1)
        bound = times * np.partition(past, rank)[rank] if rank >= 0 else 0.0
        yield from (start + np.flatnonzero(values[start : start + stride] > bound)).tolist()
