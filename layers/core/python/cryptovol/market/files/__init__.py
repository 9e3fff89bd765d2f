"""Bar files: CSV of any vendor, plain or gzipped, read as it stands, with notes on what it does not say outright."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from cryptovol import bars as bars_module
from cryptovol.bars import Bars
from cryptovol.market.files import rows
from cryptovol.market.files.rawtext import RawText
from cryptovol.market.files.remarks import remarks
from cryptovol.market.files.rows import Reader


@dataclass(frozen=True, eq=False)
class BarFile:
    """A file's bars, and sentences on what a reader should know of them."""

    bars: Bars
    notes: tuple[str, ...]


def read(path: Path, *, symbol: str = "", quote: str = "") -> Bars:
    """Return the bars of a file without the notes; see `load`."""
    return load(path, symbol=symbol, quote=quote).bars


def load(path: Path, *, symbol: str = "", quote: str = "") -> BarFile:
    """Return the bars of a file as they stand in it: repeats and faults included, nothing added, nothing left out.

    Parameters
    ----------
    path
        CSV, plain or gzipped, with a header that names a time of opening, open, high, low, close and a volume in
        coins; `layout.ALIASES` lists the names it may use. Lines above the header are skipped. Times are unix seconds,
        milli-, micro- or nanoseconds, even mixed, or ISO 8601 (in UTC, unless they carry an offset). A symbol may be
        ``BTC``, ``BTC/USDT``, ``BTC-USD`` or ``BTCUSD``. A line ``# capture <unix seconds> <name>`` begins another
        table, fetched at that time. Binance's public dumps may come without a header.
    symbol, quote
        Taken where the file does not say.

    Returns
    -------
    BarFile
        Rows in the file's order, but a table that is newest first is read from its end. An empty or absent number is
        NaN, an absent time 0. `source` is what the file says, else ``replay:<file stem>``; `fetched_at` what the file
        or its capture says, else the moment the bar closed.

    Raises
    ------
    ConfigError
        If there is no such file, it cannot be unpacked, or it is too large.
    BarSchemaError
        If it is no such table; the message names the file, the line and the column.
    """
    text = RawText(path)
    reader = Reader(path, symbol=symbol, quote=quote, source=f"replay:{stem(path)}")
    parts = [reader.rows(piece) for piece in text.pieces()]
    if not parts:
        return BarFile(bars_module.empty(), ("the file has a header but no rows",))
    whole = rows.concat(parts)
    turned = whole.newest_first()
    bars = reader.bars(whole.turned(turned) if len(turned) else whole)
    return BarFile(bars, tuple(remarks(text, whole, bars, turned=turned, unnamed=reader.unnamed)))


def stem(path: Path) -> str:
    """Return the file's name without ``.csv`` and ``.gz``, fit for a storage key."""
    bare = re.sub(r"(\.csv)?(\.gz)?$", "", path.name, flags=re.IGNORECASE)
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", bare).lstrip("_.-")[:100] or "bars"
