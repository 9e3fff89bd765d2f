"""Pictures of a search as SVG, drawn like those of a training run: its history, and which numbers matter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cryptovol import plots, tables
from cryptovol.tuning.journal import Trial


def artifacts(name: str, trials: Sequence[Trial], importances: Mapping[str, Any]) -> dict[str, bytes]:
    """Return file names and bytes: the trials as JSON and two drawings; equal trials, equal bytes.

    Parameters
    ----------
    name
        The model's, for the titles.
    importances
        As `search.importances` gives them; without shares there is a sentence in place of the drawing.
    """
    rows = [
        {"trial": t.slot, "params": t.values, "qlike": list(t.qlike), "complete": t.complete, "seconds": t.seconds}
        for t in trials
    ]
    files = {
        "trials.json": tables.encode_json(rows),
        "importance.json": tables.encode_json(dict(importances)),
        "plots/history.svg": _history(name, trials),
    }
    if importances["shares"]:
        files["plots/importance.svg"] = _importance(name, importances)
    return files


def best_so_far(trials: Sequence[Trial]) -> list[float]:
    """Return the lowest QLIKE of the complete trials up to each one; the first trial is always complete."""
    lowest, found = float("inf"), []
    for trial in trials:
        lowest = min(lowest, trial.mean) if trial.complete else lowest
        found.append(lowest)
    return found


def _history(name: str, trials: Sequence[Trial]) -> bytes:
    chart = plots.chart("Line", f"{name}: mean QLIKE of each trial, lower is better")
    chart.x_labels = [str(trial.slot) if trial.slot % 5 == 0 else "" for trial in trials]
    chart.add("best so far", [round(value, 6) for value in best_so_far(trials)])
    own = [round(trial.mean, 6) if trial.complete else None for trial in trials]
    chart.add("trial (none where it was pruned)", own, stroke=False, show_dots=True)
    return plots.svg(chart)


def _importance(name: str, importances: Mapping[str, Any]) -> bytes:
    title = f"{name}: share of each number in how trials differ ({importances['method']})"
    chart = plots.chart("HorizontalBar", title, show_legend=False)
    ordered = sorted(importances["shares"].items(), key=lambda item: (item[1], item[0]))
    chart.x_labels = [label for label, _ in ordered]
    chart.add("share", [round(share, 4) for _, share in ordered])
    return plots.svg(chart)
