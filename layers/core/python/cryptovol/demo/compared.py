"""The champion before and the champion after, on hours that neither has seen."""

from __future__ import annotations

from typing import Any

import numpy as np

from cryptovol import history, keys, scores
from cryptovol.bundle import Bundle
from cryptovol.demo.loop import HORIZON, MARKET, PAIR, Loop
from cryptovol.errors import DataError
from cryptovol.times import HOUR, format_instant


def on_later_hours(loop: Loop, old: Bundle, new: Bundle, *, since: int) -> dict[str, Any]:
    """Return both models' forecasts of every hour from `since` (unix seconds) on whose outcome is known.

    Returns
    -------
    dict
        ``time`` (when each forecast could be made, ISO 8601, oldest first), ``realized``, ``old`` and ``new``, per hour,
        and ``qlike`` of both.

    Raises
    ------
    DataError
        If there is no such hour.
    """
    manifest = history.load_manifest(loop.ports.store, history.head_key(keys.features(MARKET, PAIR)))
    if manifest is None:
        raise DataError(f"no feature table of {PAIR}; run featurize first")
    table = history.read(loop.ports.store, manifest, since=since)
    realized, known = table[f"target_{HORIZON}"], table["time"] + HOUR > since
    rows = known & np.isfinite(realized) & np.isfinite(table["values"]).all(axis=1)
    if not rows.any():
        raise DataError(f"no hour since {format_instant(since)} has an outcome yet")
    told = {name: model.predict(table["values"][rows]) for name, model in (("old", old), ("new", new))}
    return {
        "time": [format_instant(int(at) + HOUR) for at in table["time"][rows]],
        "realized": realized[rows].tolist(),
        **{name: values.tolist() for name, values in told.items()},
        "qlike": {name: float(scores.qlike(realized[rows], values).mean()) for name, values in told.items()},
    }
