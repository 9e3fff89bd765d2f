"""The track record: what was forecast for past hours, and what came. No effects.

Two kinds of points, each marked. ``live``: the forecast that was served first at its hour, from the prediction log.
``held-out``: the bundle's own out-of-sample hours, forecast at training by fits on earlier hours only; the model that
serves has since been fitted on them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from cryptovol.bundle import Bundle
from cryptovol.times import HOUR, parse_instant

Point = dict[str, Any]
LIVE, HELD_OUT = "live", "held-out"
DIGITS = 6  # significant ones: a point is looked at, not computed with
WINDOW = ("time", "realized", "predicted", "har")


def live(logged: Iterable[Mapping[str, Any]], realized: Mapping[int, float], *, level: float) -> list[Point]:
    """Return one point per hour from log entries, oldest first.

    Where several models were asked at one hour, the forecast that was served first counts.

    Parameters
    ----------
    logged
        Entries of the prediction log, of one pair and horizon.
    realized
        The target by the open time of the newest bar a forecast could know, unix seconds; NaN or absent if not known
        yet: the point's `realized` is None then.
    level
        Of the interval; entries that were logged without it have None for its ends.
    """
    first: dict[int, Mapping[str, Any]] = {}
    for entry in sorted(logged, key=lambda entry: (entry["as_of"], entry.get("served_at", ""))):
        first.setdefault(parse_instant(entry["as_of"]), entry)
    points = []
    for as_of, entry in first.items():
        known = realized.get(as_of - HOUR, np.nan)
        lower, upper = _ends(entry, level)
        came = float(known) if np.isfinite(known) else None
        points.append(_point(as_of, LIVE, entry["volatility"], lower, upper, came, entry["baselines"].get("har")))
    return points


def _ends(entry: Mapping[str, Any], level: float) -> tuple[float | None, float | None]:
    if entry["interval"]["level"] == level:
        return entry["interval"]["lower"], entry["interval"]["upper"]
    lower, upper = entry.get("intervals", {}).get(str(level), (None, None))
    return lower, upper


def held_out(bundle: Bundle, *, level: float) -> list[Point]:
    """Return one point per out-of-sample hour of a bundle, oldest first; none where it keeps no such hours.

    The intervals are those the bundle serves with: their widths were set on these very hours.
    """
    if any(name not in bundle.window for name in WINDOW):
        return []
    time, realized, predicted, har = (np.asarray(bundle.window[name]) for name in WINDOW)
    lower, upper = bundle.interval(predicted, level)
    rows = zip(time.tolist(), predicted, lower, upper, realized, har, strict=True)
    return [_point(opened + HOUR, HELD_OUT, *numbers) for opened, *numbers in rows]


def joined(held: Iterable[Point], served: Iterable[Point], *, hours: int) -> list[Point]:
    """Return the points of the newest `hours`, oldest first; a served forecast goes before a held-out one."""
    every = {point["as_of"]: point for point in (*held, *served)}
    since = max(every, default=0) - HOUR * hours
    return [every[as_of] for as_of in sorted(every) if as_of > since]


def _point(
    as_of: int,
    kind: str,
    forecast: float,
    lower: float | None,
    upper: float | None,
    realized: float | None,
    har: float | None,
) -> Point:
    numbers = {"forecast": forecast, "lower": lower, "upper": upper, "realized": realized, "har": har}
    return {"as_of": as_of, "kind": kind, **{name: _short(value) for name, value in numbers.items()}}


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.{DIGITS}g}")
