"""Whether intervals hold what they promise: over all rows, over time, and in their worst month."""

from __future__ import annotations

from typing import Any

import numpy as np

from cryptovol.bars import Floats, Ints, Mask
from cryptovol.evaluation.scored import Scored
from cryptovol.times import HOUR, format_instant

MONTH = 720  # consecutive scored hours


def name_of(level: float) -> str:
    """Return a level as a key of JSON, for instance ``0.9``."""
    return f"{level:g}"


def last_of_each(group: Ints) -> Ints:
    """Return the places at which a run of equal values of `group`, ascending, ends."""
    return np.flatnonzero(np.diff(group, append=np.iinfo(np.int64).max)).astype(np.int64)


def with_interval(rows: Scored) -> Mask:
    """Return, per row, whether every level's interval is there: all levels are judged on the same rows."""
    whole = np.full(len(rows), bool(rows.bounds))
    for lower, upper in rows.bounds.values():
        whole &= np.isfinite(lower) & np.isfinite(upper)
    return whole


def inside(rows: Scored, level: float) -> Floats:
    """Return, per row, 1 where the interval of `level` held the realized value and 0 where not, NaN without one."""
    lower, upper = rows.bounds[level]
    hit = (rows.realized >= lower) & (rows.realized <= upper)
    return np.where(with_interval(rows), hit.astype(np.float64), np.nan)


def intervals(rows: Scored) -> dict[str, Any]:
    """Return how the intervals held.

    Returns
    -------
    dict
        ``interval_rows``: rows with intervals of all levels;
        ``coverage``: share of them inside, by level;
        ``interval``: by level the shares ``below`` and ``above`` it, and its ``mean_width`` per hour;
        ``worst_30d``: by level the lowest ``coverage`` over 720 consecutive scored hours and their ``first`` and
        ``last``, None where there are fewer;
        ``coverage_over_time``: ``{time, levels}``, the coverage of the 720 scored hours up to the last of each day.
    """
    kept = rows.take(with_interval(rows))
    names = {level: name_of(level) for level in sorted(rows.bounds)} if len(kept) else {}
    hits = {level: inside(kept, level) for level in names}
    rolling = {level: _rolling(hit) for level, hit in hits.items()}
    ends = kept.time[MONTH - 1 :]
    days = last_of_each(ends // (24 * HOUR))
    return {
        "interval_rows": len(kept),
        "coverage": {name: float(hits[level].mean()) for level, name in names.items()},
        "interval": {name: _ends(kept, level) for level, name in names.items()},
        "worst_30d": {name: _worst(kept.time, rolling[level]) for level, name in names.items()},
        "coverage_over_time": {
            "time": [format_instant(at) for at in ends[days].tolist()],
            "levels": {name: rolling[level][days].tolist() for level, name in names.items()},
        },
    }


def _rolling(hit: Floats) -> Floats:
    """Return the mean of each `MONTH` consecutive values; exact, because the values are whole numbers."""
    total: Floats = np.concatenate([[0.0], np.cumsum(hit)])
    return np.asarray((total[MONTH:] - total[:-MONTH]) / MONTH, dtype=np.float64)


def _worst(time: Ints, rolling: Floats) -> dict[str, Any] | None:
    if not len(rolling):
        return None
    at = int(np.argmin(rolling))
    first, last = (format_instant(int(time[row])) for row in (at, at + MONTH - 1))
    return {"coverage": float(rolling[at]), "first": first, "last": last}


def _ends(rows: Scored, level: float) -> dict[str, float]:
    lower, upper = rows.bounds[level]
    return {
        "below": float(np.mean(rows.realized < lower)),
        "above": float(np.mean(rows.realized > upper)),
        "mean_width": float(np.mean(upper - lower)),
    }
