"""From the rows of an answer to columns of numbers; whatever is not a number of the promised kind is refused."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any

import numpy as np

from cryptovol.adapters.sources.answers import shown
from cryptovol.bars import Floats, Ints
from cryptovol.errors import BarSchemaError
from cryptovol.times import HOUR

DECIMAL = frozenset("0123456789.-")
NUMBERS = frozenset((int, float, type(None)))
LATEST = 2**40  # unix seconds; beyond it a time has another unit
Column = Sequence[Any]


def fields(rows: Any, names: Sequence[str], pair: str, where: str) -> list[Column]:
    """Return the named fields of a list of objects, a column each.

    Parameters
    ----------
    pair, where
        For messages: ``BTC/USD`` and the place of the list in the answer.

    Raises
    ------
    BarSchemaError
        If `rows` is no list of objects, or an object lacks a field.
    """
    if not isinstance(rows, list) or not set(map(type, rows)) <= {dict}:
        raise BarSchemaError(f"the answer for {pair} has no list of rows under {where}")
    try:
        columns: list[Column] = list(zip(*map(itemgetter(*names), rows), strict=True))
    except KeyError:
        at, name = next((i, name) for i, row in enumerate(rows) for name in names if name not in row)
        raise BarSchemaError(f"row {at} of {pair}: field {name} is absent") from None
    return columns or [()] * len(names)


def cells(rows: Any, width: int, pair: str, where: str) -> list[Column]:
    """Return the first `width` values of every row of a list of lists, a column each; see `fields`."""
    if not isinstance(rows, list) or not set(map(type, rows)) <= {list}:
        raise BarSchemaError(f"the answer for {pair} has no list of rows {where}")
    at = next((i for i, row in enumerate(rows) if len(row) < width), None)
    if at is not None:
        raise BarSchemaError(f"row {at} of {pair} has {len(rows[at])} values, not {width}")
    columns: list[Column] = list(zip(*rows, strict=False))
    return columns[:width] or [()] * width


def numbers(values: Column, name: str, pair: str) -> Floats:
    """Return JSON numbers, shape (n,); null, and nothing else, is NaN."""
    if not set(map(type, values)) <= NUMBERS:
        raise _odd(values, name, pair, lambda value: type(value) in NUMBERS, "a number")
    try:
        column = np.array(values, dtype=np.float64)
    except OverflowError:
        column = np.array([math.inf])
    return finite(column, name, pair)


def decimals(values: Column, name: str, pair: str) -> Floats:
    """Return numbers written as texts, shape (n,); null, and nothing else, is NaN.

    A text is digits, a point and a minus at most: `float` alone would take ``nan``, ``inf``, ``1_0`` and ``1e3`` too.
    """
    given = [value for value in values if value is not None]
    if not set(map(type, given)) <= {str} or not DECIMAL.issuperset("".join(given)):
        raise _odd(values, name, pair, _is_decimal, "a decimal number in quotes")
    try:
        column = np.array([math.nan if value is None else float(value) for value in values], dtype=np.float64)
    except ValueError:
        raise _odd(values, name, pair, _is_decimal, "a decimal number in quotes") from None
    return finite(column, name, pair)


def _is_decimal(value: Any) -> bool:
    if value is None:
        return True
    if type(value) is not str or not DECIMAL.issuperset(value):
        return False
    try:
        float(value)
    except ValueError:
        return False
    return True


def finite(column: Floats, name: str, pair: str) -> Floats:
    """Return the column; raise `BarSchemaError` if a number in it is beyond what a float can hold."""
    if np.isinf(column).any():
        raise BarSchemaError(f"{pair}: field {name} holds a number too large for a price")
    return column


def hours(values: Column, name: str, pair: str, *, unit: int = 1) -> Ints:
    """Return times as unix seconds, shape (n,).

    Parameters
    ----------
    unit
        How many of the API's units make a second.

    Raises
    ------
    BarSchemaError
        If a time is no number, or not the start of an hour.
    """
    column = numbers(values, name, pair)
    odd = np.flatnonzero(~((column % (HOUR * unit) == 0) & (column >= 0) & (column <= LATEST * unit)))
    if len(odd):
        at = int(odd[0])
        raise BarSchemaError(f"row {at} of {pair}: {name} {shown(values[at])} is not the start of an hour")
    return column.astype(np.int64) // unit


def same(values: Column, wanted: str, name: str, pair: str) -> None:
    """Raise `BarSchemaError` unless a field says the same, wanted, thing in every row."""
    at = next((i for i, value in enumerate(values) if value != wanted), None)
    if at is not None:
        raise BarSchemaError(f"row {at} of {pair}: {name} is {shown(values[at])}, not {wanted!r}")


def _odd(values: Column, name: str, pair: str, good: Callable[[Any], bool], kind: str) -> BarSchemaError:
    """Return the error that names the first value that is not good."""
    at = next(i for i, value in enumerate(values) if not good(value))
    return BarSchemaError(f"row {at} of {pair}: field {name} is {shown(values[at])}, not {kind}")
