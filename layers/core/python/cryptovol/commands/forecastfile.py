"""Forecasts in a CSV file: read whole or refused with the line that is wrong."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from cryptovol.bars import Floats, Ints
from cryptovol.errors import ConfigError, ForecastFileError
from cryptovol.evaluation import LEAST, MOST
from cryptovol.times import HOUR, format_instant

MOST_BYTES = 64 * 2**20  # over a hundred years of hours with four long numbers each
NEEDED = ("time", "prediction")
ENDS = ("lower", "upper")


@dataclass(frozen=True, eq=False)
class ForecastFile:
    """The rows of a file, oldest first.

    Parameters
    ----------
    time
        Shape (m,), unix seconds at which the last closed bar used opens, on full hours, ascending.
    predicted
        Shape (m,), volatility per hour.
    bounds
        Lower and upper end, shape (m,) each, or None where the file has none.
    line
        Shape (m,), each row's line in the file, from 1.
    path
        Of the file.
    """

    time: Ints
    predicted: Floats
    bounds: tuple[Floats, Floats] | None
    line: Ints
    path: Path

    def must_stand_on(self, time: Ints) -> None:
        """Refuse forecasts that stand on a bar that is not there; `time` has the openings of the bars, ascending.

        Raises
        ------
        ForecastFileError
            The message names the first such line and how many there are.
        """
        absent = np.flatnonzero(~np.isin(self.time, time))
        if len(absent):
            row = int(absent[0])
            span = f"{format_instant(int(time[0]))} .. {format_instant(int(time[-1]))}" if len(time) else "none"
            raise ForecastFileError(
                f"{self.path}, line {self.line[row]}: no bar opens at {format_instant(int(self.time[row]))} among those "
                f"that passed the gate ({span}); {len(absent):,} of {len(self.time):,} forecasts have none. Cure: give "
                "the bars the forecasts were made from; `time` is the opening of the last closed bar used"
            )


def read(path: Path) -> ForecastFile:
    """Return the forecasts of a CSV file with the columns time, prediction and, if it likes, lower and upper.

    Times are unix seconds or ISO 8601 (in UTC, unless they carry an offset). Other columns are not looked at.

    Raises
    ------
    ConfigError
        If there is no such file.
    ForecastFileError
        If it is too large or no such table, or a row is no forecast: the message names the line, the column, what it
        holds, and what it should hold.
    """
    rows = _rows(path)
    _, header = next(rows, (0, []))
    names = [name.strip().lower() for name in header]
    columns = _columns(path, names)
    found = [[line, *_numbers(path, line, row, columns, len(names))] for line, row in rows]
    if not found:
        raise ForecastFileError(f"{path} has a header but no forecasts. Cure: give a file with at least one row")
    line, time = (np.array([row[i] for row in found], dtype=np.int64) for i in (0, 1))
    values = np.array([row[2:] for row in found], dtype=np.float64).T
    bounds = (values[1], values[2]) if len(values) == 3 else None
    _ascending(path, line, time)
    return ForecastFile(time, values[0], bounds, line, path)


def _bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise ConfigError(
            f"cannot read {path}: {error.strerror or error}. Cure: name a CSV file of forecasts"
        ) from error
    if len(data) > MOST_BYTES:
        raise ForecastFileError(
            f"{path} has more than {MOST_BYTES // 2**20} MiB. Cure: give the forecasts of one market, one row per hour"
        )
    return data


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows that are not blank, the header first, each with the line on which it ends."""
    data = _bytes(path)
    if not data.strip():
        raise ForecastFileError(f"{path} is empty. Cure: give a CSV file with the columns time,prediction")
    reader = csv.reader(io.TextIOWrapper(io.BytesIO(data), encoding="utf-8-sig", newline=""), strict=True)
    try:
        for row in reader:
            if any(field.strip() for field in row):
                yield reader.line_num, row
    except (UnicodeDecodeError, csv.Error) as error:
        raise ForecastFileError(
            f"{path}, near line {reader.line_num + 1}: not a CSV file: {error}. Cure: save it as comma-separated UTF-8 "
            "text, unpacked"
        ) from error


def _columns(path: Path, names: list[str]) -> dict[str, int]:
    """Return the place of each column that is read."""
    wanted = (*NEEDED, *(ENDS if set(ENDS) & set(names) else ()))
    missing = [name for name in wanted if name not in names]
    twice = [name for name in wanted if names.count(name) > 1]
    if missing or twice:
        fault = f"has no column {missing[0]}" if missing else f"has the column {twice[0]} twice"
        raise ForecastFileError(
            f"{path}, line 1: the header {fault}; it has {', '.join(names)[:300] or 'none'}. Cure: name the columns "
            "time,prediction or time,prediction,lower,upper"
        )
    return {name: names.index(name) for name in wanted}


def _numbers(path: Path, line: int, row: list[str], columns: dict[str, int], wide: int) -> list[float]:
    """Return a row's time, prediction and ends; raise `ForecastFileError` if they are not what they should be."""
    if len(row) != wide:
        raise ForecastFileError(
            f"{path}, line {line}: {len(row)} fields, but the header has {wide}. Cure: mend or remove the line"
        )
    text = {name: row[place].strip() for name, place in columns.items()}
    time = _time(text["time"])
    if time is None:
        raise _wrong(path, line, "time", text["time"], "a time: unix seconds or ISO 8601")
    if time % HOUR:
        raise _wrong(path, line, "time", text["time"], "on the hour: it is the opening of the last closed bar used")
    values = {name: _number(text[name]) for name in columns if name != "time"}
    for name, value in values.items():
        if not math.isfinite(value):
            raise _wrong(path, line, name, text[name], "a finite number")
    if not LEAST <= values["prediction"] <= MOST:
        what = "above 0" if values["prediction"] <= 0 else f"from {LEAST:g} to {MOST:g}"
        raise _wrong(path, line, "prediction", text["prediction"], f"{what}: a standard deviation per hour")
    if "lower" in values and values["lower"] > values["upper"]:
        raise _wrong(path, line, "lower", text["lower"], f"at most upper, which is {text['upper'][:40]}")
    return [time, *values.values()]


def _wrong(path: Path, line: int, column: str, text: str, wanted: str) -> ForecastFileError:
    return ForecastFileError(
        f"{path}, line {line}: {column} is {text[:40]!r}, not {wanted}. Cure: mend or remove the line"
    )


def _number(text: str) -> float:
    """Return the number, NaN for anything else; Python's own ``1_000`` is not a number in a file."""
    try:
        return math.nan if "_" in text else float(text)
    except ValueError:
        return math.nan


def _time(text: str) -> float | None:
    seconds = _number(text)
    if not math.isfinite(seconds):
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            return None
        seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    # Beyond these a time cannot be shown, and no bar is so old or so new.
    return seconds if 0 <= seconds < 1e11 else None


def _ascending(path: Path, line: Ints, time: Ints) -> None:
    wrong = np.flatnonzero(np.diff(time) <= 0)
    if len(wrong):
        before, row = int(wrong[0]), int(wrong[0]) + 1
        again = time[before] == time[row]
        fault = "comes twice" if again else f"comes after {format_instant(int(time[before]))}"
        raise ForecastFileError(
            f"{path}, line {line[row]}: time {format_instant(int(time[row]))} {fault}. Cure: "
            + ("keep one forecast per hour" if again else "sort the rows by time, oldest first")
        )
