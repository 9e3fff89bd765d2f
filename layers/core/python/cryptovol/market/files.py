"""Bar files to replay: CSV, plain or gzipped, with the column names of CryptoCompare's rows."""

from __future__ import annotations

import csv
import gzip
import io
import math
import re
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cryptovol.bars import PRICES, Bars, Floats, Texts
from cryptovol.errors import BarSchemaError, ConfigError

# Our column: the names a file may use for it.
ALIASES = {
    "time": ("time",),
    **{name: (name,) for name in PRICES},
    "volume_base": ("volumefrom", "volume_base"),
    "volume_quote": ("volumeto", "volume_quote"),
}
NULLS = frozenset(("", "null", "nan", "none", "n/a"))
MILLISECONDS_FROM = 1e11  # as seconds that is the year 5138; as milliseconds it is 1973


def read(path: Path, *, symbol: str = "", quote: str = "") -> Bars:
    """Return the bars of a file as they stand in it: same order, repeats and faults included.

    Parameters
    ----------
    path
        ``.csv`` or ``.csv.gz`` with a header that names time (seconds or milliseconds, of the opening), open, high,
        low, close, volumefrom (or volume_base), volumeto (or volume_quote) and, if it likes, symbol (``BTC-USD``,
        ``BTC/USD`` or ``BTC``). An empty price or volume is NaN.
    symbol, quote
        Taken where the file does not say.

    Returns
    -------
    Bars
        `source` is ``replay:<file stem>`` and `fetched_at` the moment each bar closed.

    Raises
    ------
    ConfigError
        If there is no such file, or it cannot be read.
    BarSchemaError
        If it is not such a table; the message names the file, the column and the line.
    """
    header, fields = _table(path)
    places = {name: _place(path, header, name) for name in ALIASES}
    time = np.array([_number(path, "time", i, field, _seconds) for i, field in enumerate(fields[places["time"]])])
    numbers = {name: _floats(path, name, fields[place]) for name, place in places.items() if name != "time"}
    symbols, quotes = _pairs(fields[header.index("symbol")] if "symbol" in header else (), len(time), symbol, quote)
    opened = time.astype(np.int64)
    return Bars(
        opened, **numbers, symbol=symbols, quote=quotes, source=np.full(len(time), f"replay:{stem(path)}"),
        fetched_at=opened + 3600,
    )  # fmt: skip


def stem(path: Path) -> str:
    """Return the file's name without ``.csv`` and ``.gz``, fit for a storage key."""
    bare = re.sub(r"(\.csv)?(\.gz)?$", "", path.name, flags=re.IGNORECASE)
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", bare).lstrip("_.-")[:100] or "bars"


def _table(path: Path) -> tuple[list[str], list[Sequence[str]]]:
    """Return the header in lower case and the columns of texts."""
    try:
        data = path.read_bytes()
        text = (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode("utf-8-sig")
        rows = [row for row in csv.reader(io.StringIO(text), strict=True) if row]
    except FileNotFoundError:
        raise ConfigError(f"there is no bar file {path}. Cure: check the path given after --bars or replay:") from None
    except (OSError, EOFError, zlib.error) as error:
        raise ConfigError(f"cannot read the bar file {path}: {error}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise BarSchemaError(f"{path} is not a CSV file: {error}") from error
    header = [name.strip().lower() for name in rows[0]] if rows else []
    for line, row in enumerate(rows, start=1):
        if len(row) != len(header):
            raise BarSchemaError(f"{path}, line {line}: {len(row)} fields, but the header has {len(header)}")
    return header, list(zip(*rows[1:], strict=True)) if len(rows) > 1 else [()] * len(header)


def _place(path: Path, header: list[str], name: str) -> int:
    for alias in ALIASES[name]:
        if alias in header:
            return header.index(alias)
    wanted = " or ".join(ALIASES[name])
    raise BarSchemaError(f"{path} has no column {wanted}; it has {', '.join(header) or 'none'}")


def _floats(path: Path, name: str, fields: Sequence[str]) -> Floats:
    try:
        return np.array([float(field) if field else math.nan for field in fields], dtype=np.float64)
    except ValueError:
        numbers = [_number(path, name, i, field, _value) for i, field in enumerate(fields)]
        return np.array(numbers, dtype=np.float64)


def _number(path: Path, name: str, row: int, field: str, read_one: Callable[[str], float]) -> float:
    try:
        return read_one(field.strip())
    except (ValueError, OverflowError):
        raise BarSchemaError(f"{path}, line {row + 2}: column {name} holds {field[:40]!r}, not a number") from None


def _value(field: str) -> float:
    return math.nan if field.lower() in NULLS else float(field)


def _seconds(field: str) -> int:
    number = float(field)
    seconds = number / 1000 if abs(number) >= MILLISECONDS_FROM else number
    if not abs(seconds) < MILLISECONDS_FROM:
        raise ValueError("no time of any calendar")
    return int(seconds)


def _pairs(fields: Sequence[str], n: int, symbol: str, quote: str) -> tuple[Texts, Texts]:
    """Return symbol and quote per row; both may be written as one text."""
    known: dict[str, tuple[str, str]] = {}
    for text in set(fields):
        base, _, counter = re.sub(r"[/_:]", "-", text.strip().upper()).partition("-")
        known[text] = (base or symbol, counter or quote)
    pairs: list[tuple[str, str]] = [known[text] for text in fields] or [(symbol, quote)] * n
    table: Any = np.array(pairs, dtype=np.str_).reshape(n, 2)
    return np.ascontiguousarray(table[:, 0]), np.ascontiguousarray(table[:, 1])
