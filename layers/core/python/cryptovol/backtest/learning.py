"""What more history buys: the same model fitted on ever longer pasts, scored on the same newest hours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from cryptovol import model, scores
from cryptovol.params import TrainParams
from cryptovol.tables import Table
from cryptovol.training import TrainingTable

SHARES = (0.125, 0.25, 0.5, 1.0)  # of the labelled hours before the scored ones, newest first
LARGEST_TEST = 4320  # hours scored: half a year
Told = Callable[[str, int, int], None]


def curve(table: TrainingTable, params: TrainParams, first: int, told: Told) -> Table:
    """Return, for each length of history, the mean QLIKE on the hours seen and on the newest hours, not seen.

    Parameters
    ----------
    first
        The first row of the replay; the scored hours lie in the newer half of what follows.

    Returns
    -------
    table
        ``hours, qlike_seen, qlike_unseen``, shortest history first; lengths too short to fit are left out.
    """
    labelled = np.flatnonzero(table.labelled())
    test = labelled[labelled >= first][-LARGEST_TEST:]
    test = test[len(test) // 2 :] if len(test) < LARGEST_TEST else test
    known = labelled[labelled + table.horizon < test[0]] if len(test) else labelled[:0]
    found = []
    for number, share in enumerate(SHARES):
        told("learning curve", number, len(SHARES))
        rows = known[len(known) - int(len(known) * share) :]
        if len(rows) >= params.least_rows and len(test):
            found.append((len(rows), *_losses(table, params, rows, test)))
    columns = np.array(found, dtype=np.float64).reshape(len(found), 3)
    return {"hours": columns[:, 0], "qlike_seen": columns[:, 1], "qlike_unseen": columns[:, 2]}


def _losses(table: TrainingTable, params: TrainParams, rows: Any, test: Any) -> tuple[float, float]:
    fitted = model.fit(table.values[rows], table.target[rows], params, horizon=table.horizon)
    seen, unseen = (
        float(scores.qlike(table.target[each], fitted.predict(table.values[each])).mean()) for each in (rows, test)
    )
    return seen, unseen


def rows(found: Mapping[str, Any]) -> list[dict[str, float]]:
    """Return the curve's points, shortest history first."""
    return [
        {"hours": int(hours), "qlike_seen": float(seen), "qlike_unseen": float(unseen)}
        for hours, seen, unseen in zip(found["hours"], found["qlike_seen"], found["qlike_unseen"], strict=True)
    ]
