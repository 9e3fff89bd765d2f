"""A bar file's bytes as tables of texts: unpacked up to a limit, cut at capture marks, each under its header."""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NoReturn

from cryptovol.errors import BarSchemaError, ConfigError
from cryptovol.market.files.layout import DUMP, Layout, layout

MOST_BYTES = 256 * 2**20  # unpacked: some three hundred years of hourly bars
PIECE = 1024  # rows turned into numbers at once: few enough to stay in the cache
BANNER = 5  # rows among which the header is looked for
CAPTURE = re.compile(rb"(?m)^#[ \t]*capture[ \t]+(\d{1,12})\b.*")
COMMENT = re.compile(rb"(?m)^#.*")


@dataclass(frozen=True)
class Piece:
    """Some rows of one table of a file.

    Parameters
    ----------
    layout
        Of the table.
    table
        Its number, from 0: a file has one table, or one for every capture.
    captured
        Unix seconds of the capture, or None where the file does not say.
    lines
        Each row's line in the file, from 1.
    fields
        The texts by column of the header, each of length ``len(lines)``.
    """

    layout: Layout
    table: int
    captured: int | None
    lines: Sequence[int]
    fields: list[Sequence[str]]


class RawText:
    """The tables of a file, and what stood around them.

    Parameters
    ----------
    path
        Of the file; ``.gz`` or not is seen from its first bytes.

    Raises
    ------
    ConfigError
        If there is no such file, it cannot be unpacked, or it is larger than `MOST_BYTES` unpacked.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.skipped: list[str] = []  # lines above a header that are none
        self.layouts: list[Layout] = []
        self.dump = False  # a table without a header was read as Binance's public dump
        self._data = _unpacked(path)

    def pieces(self) -> Iterator[Piece]:
        """Yield the rows of all tables in the file's order; raise `BarSchemaError` if they are not tables of bars."""
        marks = list(CAPTURE.finditer(self._data))
        starts = [0, *(mark.end() for mark in marks)]
        ends = [*(mark.start() for mark in marks), len(self._data)]
        line = 0
        for table, (start, end) in enumerate(zip(starts, ends, strict=True)):
            captured = int(marks[table - 1][1]) if table else None
            yield from self._table(self._data[start:end], captured, line)
            line += self._data.count(b"\n", start, end)
        if not self.layouts:
            raise BarSchemaError(f"{self.path} is empty. Cure: give a CSV file with a header and rows of bars")

    def _table(self, data: bytes, captured: int | None, before: int) -> Iterator[Piece]:
        """Yield the pieces of one table that has `before` lines above it."""
        # A comment becomes a blank line, so that the lines below it keep their numbers.
        body = COMMENT.sub(b"", data) if b"#" in data else data
        found: Layout | None = None
        for lines, rows in self._numbered(body, before):
            if found is None:
                found, start = self._header(rows)
                self.layouts.append(found)
                lines, rows = lines[start:], rows[start:]
            if set(map(len, rows)) - {len(found.names)}:
                self._refuse_width(lines, rows, len(found.names))
            if rows:
                yield Piece(found, len(self.layouts) - 1, captured, lines, list(zip(*rows, strict=True)))

    def _numbered(self, body: bytes, before: int) -> Iterator[tuple[Sequence[int], list[list[str]]]]:
        """Yield rows that are not blank, some thousand at a time, each with its line in the file."""
        reader = csv.reader(io.TextIOWrapper(io.BytesIO(body), encoding="utf-8", newline=""), strict=True)
        line = 0
        try:
            while rows := list(islice(reader, PIECE)):
                lines: Sequence[int] = range(before + line + 1, before + line + len(rows) + 1)
                line += len(rows)
                if reader.line_num != line:
                    raise csv.Error("a quoted field runs over the end of its line")
                if not all(rows):
                    lines = [number for number, row in zip(lines, rows, strict=True) if row]
                    rows = [row for row in rows if row]
                if rows:
                    yield lines, rows
        except (UnicodeDecodeError, csv.Error) as error:
            raise BarSchemaError(
                f"{self.path}, near line {before + line + 1}: not a CSV file: {error}. Cure: save it as comma-separated "
                "UTF-8 text; an archive must be unpacked first"
            ) from error

    def _header(self, rows: list[list[str]]) -> tuple[Layout, int]:
        """Return the header among the first rows of a table, and the place of the row below it."""
        layouts = [layout(row) for row in rows[:BANNER]]
        for at, found in enumerate(layouts):
            if not found.missing:
                self.skipped += [",".join(row) for row in rows[:at]]
                return found, at + 1
        if len(rows[0]) == len(DUMP) and all(re.fullmatch(r"[0-9.]+", text) for text in rows[0]):
            self.dump = True
            return layout(DUMP), 0
        best = max(layouts, key=lambda found: len(found.places))
        raise BarSchemaError(
            f"{self.path} has no column {best.missing[0]}; it has {', '.join(best.names)[:300]}. Cure: name the columns "
            "time,open,high,low,close,volumefrom,volumeto, separated by commas"
        )

    def _refuse_width(self, lines: Sequence[int], rows: list[list[str]], wide: int) -> NoReturn:
        line, row = next((line, row) for line, row in zip(lines, rows, strict=True) if len(row) != wide)
        raise BarSchemaError(
            f"{self.path}, line {line}: {len(row)} fields, but the header has {wide}. Cure: mend or remove the line; "
            "is the file cut short?"
        )


def _unpacked(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            data = (gzip.GzipFile(fileobj=file) if packed else file).read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise ConfigError(f"there is no bar file {path}. Cure: check the path given after --bars or replay:") from None
    except (OSError, EOFError, zlib.error) as error:
        raise ConfigError(f"cannot read the bar file {path}: {error}. Cure: fetch it again") from error
    if len(data) > MOST_BYTES:
        raise ConfigError(
            f"{path} is larger than {MOST_BYTES >> 20} MB unpacked, more than centuries of hourly bars. Cure: cut it"
        )
    return data.removeprefix(b"\xef\xbb\xbf")
