"""The texts of a table's columns as numbers, times and pairs. Whatever is not one is named by line and column."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import numpy as np

from cryptovol.bars import Floats, Ints
from cryptovol.errors import BarSchemaError
from cryptovol.times import HOUR

NULLS = frozenset(("", "null", "nan", "none", "n/a"))
NO_TIME = 0  # of a row that gives none; the gate's schema rule takes it out
DAY = 24 * HOUR
LATEST = 1e11  # as seconds that is the year 5138; a larger number counts milli-, micro- or nanoseconds
UNITS = (1e3, 1e6, 1e9)  # of a second


class Misread(Exception):
    """A text that is not what its column holds: the row's place in its piece, the text, and what it should be."""

    def __init__(self, row: int, text: str, wanted: str) -> None:
        super().__init__(row, text, wanted)
        self.row, self.text, self.wanted = row, text, wanted

    def named(self, where: str, column: str) -> BarSchemaError:
        """Return the error to raise; `where` names file and line."""
        return BarSchemaError(
            f"{where}: column {column} holds {self.text[:40]!r}, not {self.wanted}. Cure: mend the field, or leave it "
            "empty if the number is not known"
        )


def numbers(fields: Sequence[str]) -> Floats:
    """Return the column as floats; an empty field or a word for nothing is NaN. Raise `Misread` for the rest."""
    try:
        return np.fromiter(map(float, fields), np.float64, len(fields))
    except ValueError:
        return np.array(_each(fields, _number, "a number"), dtype=np.float64)


def times(fields: Sequence[str]) -> tuple[Ints, Ints]:
    """Return unix seconds, `NO_TIME` where there is none, and how many units make a second in each field.

    Seconds, milli-, micro- and nanoseconds are told apart by their size, field by field; texts are ISO 8601, with an
    offset or in UTC, or ``2017-08-17 04-AM``. Raise `Misread` for anything else.
    """
    try:
        raw = np.fromiter(map(float, fields), np.float64, len(fields))
    except ValueError:
        raw = np.array(_each(fields, _time, "a time"), dtype=np.float64)
    unit = np.ones(len(raw))
    for scale in UNITS:
        unit[np.abs(raw) >= LATEST * scale / 1e3] = scale
    # Half a microsecond is added because nanoseconds do not fit a float exactly.
    seconds = np.floor(raw / unit + 5e-7)
    absent = np.isnan(raw)
    wild = np.flatnonzero(~absent & ~(np.abs(seconds) < LATEST))
    if len(wild):
        raise Misread(int(wild[0]), fields[int(wild[0])], "a time of any calendar")
    return np.where(absent, float(NO_TIME), seconds).astype(np.int64), unit.astype(np.int64)


def dates(fields: Sequence[str], hours: Sequence[str] | None) -> tuple[Floats, int]:
    """Return the date column as unix seconds, NaN where it is no date, and the seconds it is exact to."""
    known: dict[str, float] = {}
    for field in set(fields):
        try:
            known[field] = moment(field.strip())
        except (ValueError, OverflowError):
            known[field] = math.nan
    found = np.array([known[field] for field in fields], dtype=np.float64)
    if hours is not None:
        return found + HOUR * np.array([float(h) if h.strip().isdecimal() else math.nan for h in hours]), HOUR
    return found, 1 if any(len(field.strip()) > len("2017-08-17") for field in known) else DAY


def moment(text: str) -> float:
    """Return unix seconds of ``2020-12-30 00:00:00``, any other ISO 8601 text, or ``2017-08-17 04-AM``."""
    if text[-3:].upper() in ("-AM", "-PM"):
        hour = int(text[11:-3]) % 12 + (12 if text[-2:].upper() == "PM" else 0)
        text = f"{text[:10]}T{hour:02}"
    found = datetime.fromisoformat(text.removesuffix(" UTC"))
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def _each(fields: Sequence[str], read: Callable[[str], float], wanted: str) -> list[float]:
    found = []
    for row, field in enumerate(fields):
        text = field.strip()
        try:
            found.append(math.nan if text.lower() in NULLS else read(text))
        except (ValueError, OverflowError):
            raise Misread(row, field, wanted) from None
    return found


def _number(text: str) -> float:
    return float(text)


def _time(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return moment(text)
