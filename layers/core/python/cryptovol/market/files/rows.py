"""The rows of a bar file as numbers, with what else the file says of each: line, table, date, time of capture."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TypeVar

import numpy as np

from cryptovol.bars import NUMBERS, Bars, Floats, Ints, Mask
from cryptovol.market.files.fields import NO_TIME, Misread, dates, numbers, times
from cryptovol.market.files.layout import pair_of
from cryptovol.market.files.rawtext import Piece
from cryptovol.times import HOUR

T = TypeVar("T")
UNKNOWN = -1  # of a fetch time
MOSTLY = 0.9  # of the steps between a table's rows: so many backwards make it newest first


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows in the file's order, each column of shape (n,) but `table`.

    Parameters
    ----------
    time, unit
        Unix seconds of the opening, `NO_TIME` where there is none; how many of the file's units make a second.
    table
        Open, high, low, close, volume_base, volume_quote, shape (n, 6), NaN where the file gives none.
    pair, source
        Places in the lists of `Reader`.
    fetched
        Unix seconds, `UNKNOWN` where the file does not say.
    number, line
        Of the table the row is in, and of its line.
    stated, astray
        What the date column says, in unix seconds or NaN, and whether that is another hour than `time`.
    """

    time: Ints
    unit: Ints
    table: Floats
    pair: Ints
    source: Ints
    fetched: Ints
    number: Ints
    line: Ints
    stated: Floats
    astray: Mask

    def __len__(self) -> int:
        return len(self.time)

    def take(self, rows: Mask | Ints) -> Rows:
        """Return the chosen rows, in the order of `rows`."""
        return Rows(**{each.name: getattr(self, each.name)[rows] for each in fields(self)})

    def newest_first(self) -> Ints:
        """Return the numbers of the tables whose rows go backwards in time, but for a few."""
        step = np.sign(np.diff(self.time))
        step[(self.number[1:] != self.number[:-1]) | (self.time[1:] == NO_TIME) | (self.time[:-1] == NO_TIME)] = 0
        back, forth = (np.bincount(self.number[1:][step == way], minlength=self._tables) for way in (-1, 1))
        return np.flatnonzero((back > 0) & (back >= MOSTLY * (back + forth)))

    def turned(self, tables: Ints) -> Rows:
        """Return the rows with those of the given tables in the opposite order; tables keep their places."""
        place = np.arange(len(self))
        backwards = np.isin(self.number, tables)
        return self.take(np.lexsort((np.where(backwards, -place, place), self.number)))

    @property
    def _tables(self) -> int:
        return int(self.number[-1]) + 1 if len(self) else 0


def concat(parts: Iterable[Rows]) -> Rows:
    """Return the rows of all parts, one after the other."""
    kept = list(parts)
    return Rows(**{each.name: np.concatenate([getattr(part, each.name) for part in kept]) for each in fields(Rows)})


class Reader:
    """Turns pieces of a file into rows; `pairs` and `sources` list what the rows refer to.

    Parameters
    ----------
    path
        For messages.
    symbol, quote
        Taken where the file does not say.
    source
        Likewise.
    """

    def __init__(self, path: Path, *, symbol: str, quote: str, source: str) -> None:
        self.pairs: list[tuple[str, str]] = []
        self.sources: list[str] = []
        self.unnamed = 0  # rows whose pair the file does not give in full
        self._path = path
        self._given = (symbol, quote)
        self._source = source

    def rows(self, piece: Piece) -> Rows:
        """Return a piece's rows; raise `BarSchemaError` with line and column if a field is no number or time."""
        n, places = len(piece.lines), piece.layout.places
        blank = np.full(n, np.nan)
        with self._named(piece, "time"):
            time, unit = times(piece.fields[places["time"]])
        table = [self._numbers(piece, name) if name in places else blank for name in NUMBERS]
        stated, exact = blank, 1
        if "date" in places:
            hours = piece.fields[places["hour"]] if "hour" in places else None
            stated, exact = dates(piece.fields[places["date"]], hours)
        known = (time != NO_TIME) & ~np.isnan(stated)
        return Rows(
            time=time, unit=unit, table=np.stack(table, axis=1), pair=self._pair(piece), source=self._sources_of(piece),
            fetched=self._fetched(piece), number=np.full(n, piece.table), line=np.array(piece.lines, dtype=np.int64),
            stated=stated, astray=known & (stated != time // exact * exact),
        )  # fmt: skip

    def bars(self, rows: Rows) -> Bars:
        """Return rows as bars; a row whose fetch time is unknown counts as fetched when its hour had ended."""
        pairs = np.array(self.pairs or [("", "")], dtype=np.str_)
        sources = np.array(self.sources or [""], dtype=np.str_)
        return Bars(
            time=rows.time,
            **dict(zip(NUMBERS, np.ascontiguousarray(rows.table.T), strict=True)),
            symbol=pairs[rows.pair, 0],
            quote=pairs[rows.pair, 1],
            source=sources[rows.source],
            fetched_at=np.where(rows.fetched == UNKNOWN, rows.time + HOUR, rows.fetched),
        )

    @contextmanager
    def _named(self, piece: Piece, name: str) -> Iterator[None]:
        try:
            yield
        except Misread as error:
            column = piece.layout.names[piece.layout.places[name]]
            raise error.named(f"{self._path}, line {piece.lines[error.row]}", column) from None

    def _numbers(self, piece: Piece, name: str) -> Floats:
        with self._named(piece, name):
            return numbers(piece.fields[piece.layout.places[name]])

    def _fetched(self, piece: Piece) -> Ints:
        """Return when each row was fetched: as its own column says, else when the capture was made."""
        if "fetched_at" not in piece.layout.places:
            return np.full(len(piece.lines), UNKNOWN if piece.captured is None else piece.captured, dtype=np.int64)
        with self._named(piece, "fetched_at"):
            found, _ = times(piece.fields[piece.layout.places["fetched_at"]])
        return np.where(found == NO_TIME, UNKNOWN, found)

    def _pair(self, piece: Piece) -> Ints:
        """Return each row's place in `pairs`, and count the rows whose pair had to be taken from the caller."""
        n, places = len(piece.lines), piece.layout.places
        symbols = piece.fields[places["symbol"]] if "symbol" in places else ("",) * n
        quotes = piece.fields[places["quote"]] if "quote" in places else ("",) * n
        if len(set(symbols)) == len(set(quotes)) == 1:
            code, filled = self._code(symbols[0], quotes[0], piece.layout.pair)
            self.unnamed += n * filled
            return np.full(n, code)
        codes = {text: self._code(*text, piece.layout.pair) for text in set(zip(symbols, quotes, strict=True))}
        found = [codes[text] for text in zip(symbols, quotes, strict=True)]
        self.unnamed += sum(filled for _, filled in found)
        return np.array([code for code, _ in found], dtype=np.int64)

    def _code(self, symbol: str, quote: str, volumes: tuple[str, str]) -> tuple[int, bool]:
        """Return the place of the pair that these texts name, and whether part of it is not in the file."""
        expected, money = self._given
        coin, counter = pair_of(symbol, symbol=expected, quote=money)
        said = (coin or volumes[0], quote.strip().upper() or counter or volumes[1])
        return _place(self.pairs, (said[0] or expected, said[1] or money)), not all(said)

    def _sources_of(self, piece: Piece) -> Ints:
        place = piece.layout.places.get("source")
        if place is None:
            return np.full(len(piece.lines), _place(self.sources, self._source))
        codes = {text: _place(self.sources, text.strip() or self._source) for text in set(piece.fields[place])}
        return np.array([codes[text] for text in piece.fields[place]], dtype=np.int64)


def _place(known: list[T], value: T) -> int:
    """Return the value's place in the list, to which it is added if it is new."""
    if value not in known:
        known.append(value)
    return known.index(value)
