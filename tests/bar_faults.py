"""Faults to put into faultless bars: each returns a change, a function from bars to bars."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from cryptovol.bars import PRICES, Bars

Change = Callable[[Bars], Bars]


def assign(name: str, rows: Any, value: Any) -> Change:
    """Return a change of one column at some rows."""

    def change(bars: Bars) -> Bars:
        column = getattr(bars, name).copy()
        if column.dtype.kind == "U":
            column = column.astype("<U20")
        column[rows] = value
        return replace(bars, **{name: column})

    return change


def drop(rows: Any) -> Change:
    """Return a change that leaves rows out."""
    return lambda bars: bars.take(np.delete(np.arange(len(bars)), rows))


def repeat(row: int) -> Change:
    """Return a change that gives a row twice."""
    return lambda bars: bars.take(np.insert(np.arange(len(bars)), row, row))


def swap(row: int) -> Change:
    """Return a change that puts a row behind the next one."""

    def change(bars: Bars) -> Bars:
        order = np.arange(len(bars))
        order[[row, row + 1]] = order[[row + 1, row]]
        return bars.take(order)

    return change


def freeze(first: int, hours: int) -> Change:
    """Return a change that holds all prices at one close for some hours."""

    def change(bars: Bars) -> Bars:
        level = bars.close[first]
        for name in PRICES:
            bars = assign(name, slice(first, first + hours), level)(bars)
        return bars

    return change


def scale(rows: Any, times: float) -> Change:
    """Return a change that multiplies all four prices of some rows."""

    def change(bars: Bars) -> Bars:
        for name in PRICES:
            bars = assign(name, rows, times * getattr(bars, name)[rows])(bars)
        return bars

    return change


def both(*changes: Change) -> Change:
    """Return changes as one, made in their order."""

    def change(bars: Bars) -> Bars:
        for each in changes:
            bars = each(bars)
        return bars

    return change
