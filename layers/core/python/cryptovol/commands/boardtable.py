"""The scoreboard as a table for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

BASELINES = ("har", "ewma", "persistence")


def lines(result: Mapping[str, Any]) -> list[str]:
    """Return the table of a score stage's result: a row per model and window that has matured forecasts."""
    rows = result["live"]
    if not rows:
        return ["  no served forecast has matured yet: one does when its hours are over and have bars"]
    wide = max(len("model"), *(len(row["model"]) for row in rows))
    head = f"  {'model':<{wide}}{'window':>8}{'rows':>6}{'QLIKE':>9}"
    head += "".join(f"{name[:7]:>9}" for name in BASELINES)
    return [
        head + f"{'RMSE':>10}{'of HAR':>10}{'bias':>7}{'held':>8}   against HAR",
        *(_row(row, wide) for row in rows),
    ]


def _row(row: Mapping[str, Any], wide: int) -> str:
    qlike, test = row["qlike"], row.get("dm", {}).get("har")
    told = f"DM {test['statistic']:+.2f}, p {test['p']:.3f}" if test else "too few hours for a test"
    span = f"{row['hours']} h" if row["hours"] <= 48 else f"{row['hours'] / 24:g} d"
    shown = "".join(f"{qlike[name]:>9.4f}" if name in qlike else f"{'-':>9}" for name in BASELINES)
    return (
        f"  {row['model']:<{wide}}{span:>8}{row['rows']:>6}{qlike['model']:>9.4f}{shown}{row['rmse']['model']:>10.6f}"
        f"{row['rmse']['har']:>10.6f}{row['bias']:>7.2f}{row['coverage']:>8.1%}   {told}"
    )
