"""The scoreboard as a table at a terminal."""

from __future__ import annotations

from typing import Any

from cryptovol.commands import boardtable

FOUR = {"model": 0.2, "har": 0.25, "ewma": 0.15, "persistence": 0.4}
ROW: dict[str, Any] = {
    "model": "m24", "hours": 24, "rows": 20, "qlike": FOUR, "rmse": {name: value / 100 for name, value in FOUR.items()},
    "bias": 1.03, "baseline_bias": {}, "coverage": 0.85,
}  # fmt: skip


def test_table_has_a_row_per_model_and_window_in_columns() -> None:
    """Scores stand beside the baselines', a test where there is one; all rows are aligned under one head."""
    tested = {**ROW, "hours": 720, "dm": {"har": {"statistic": -2.5, "p": 0.0124}}}
    head, day, month = boardtable.lines({"live": [ROW, tested]})
    assert day.split()[:9] == ["m24", "24", "h", "20", "0.2000", "0.2500", "0.1500", "0.4000", "0.002000"]
    assert "0.002500   1.03   85.0%   too few hours for a test" in day
    assert "30 d" in month and month.endswith("DM -2.50, p 0.012")
    assert head.index("against HAR") == day.index("too few") == month.index("DM")


def test_table_without_matured_forecasts_says_so() -> None:
    """Before the first outcome there is a sentence and no empty table."""
    (line,) = boardtable.lines({"live": []})
    assert "no served forecast has matured" in line
