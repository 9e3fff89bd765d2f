"""The prediction log of the longest window, kept as one object so that a run reads only the forecasts that are new.

The log itself has one object per forecast, thirty days of two horizons 1,440 of them. What is kept beside the board
is a copy of entries by their keys, and which of them have been counted as matured. The log decides: it is listed each
time, an entry it no longer has is dropped, one that came late is read, and a copy that is missing or damaged is made
again. Entries never change once written, so a copy cannot be out of date. Outcomes are not in it: they are joined
afresh each time, for a source may revise its bars.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cryptovol import keys
from cryptovol.bars import Floats
from cryptovol.errors import DataError, KeyNotFoundError
from cryptovol.features import FEATURE_NAMES
from cryptovol.ports import Store
from cryptovol.times import HOUR, format_instant

Entry = dict[str, Any]
FORMAT = 1
NAMES = ("as_of", "served_at", "horizon_hours", "volatility", "interval", "intervals", "baselines", "model")


@dataclass(frozen=True)
class Logbook:
    """Entries by the log's keys, oldest first; `counted` are the keys that were told as matured.

    `kept` is what the stored copy also holds because a newer run will want it.
    """

    entries: dict[str, Entry]
    counted: frozenset[str]
    kept: dict[str, Entry]

    def features(self, key: str) -> list[float]:
        """Return the 36 features an entry stood on, in the order of `FEATURE_NAMES`; nothing where it has none."""
        return list(self.entries[key].get("features", ()))


def read(store: Store, market: str, pair: str, horizon: int, *, since: int, until: int) -> Logbook:
    """Return the entries made for an hour from `since` to `until`, unix seconds, both included.

    Raises
    ------
    DataError
        If an object of the log is no entry.
    """
    copied, counted = _copy(store, keys.logbook(market, pair, horizon))
    prefix = keys.predictions(market, pair, horizon)
    first = prefix + keys.compact(format_instant(since))
    last = prefix + keys.compact(format_instant(until)) + "~"
    listed = [key for key in _listed(store, prefix, since, until) if first <= key <= last]
    entries = {key: copied[key] if key in copied else _entry(store, key) for key in listed}
    return Logbook(entries, frozenset(counted), {key: entry for key, entry in copied.items() if key > last})


def save(store: Store, market: str, pair: str, horizon: int, *, book: Logbook, counted: frozenset[str]) -> None:
    """Keep the entries, and which were counted; nothing is written where that is what is stored."""
    entries = book.entries | book.kept
    body = {"format": FORMAT, "entries": entries, "counted": sorted(counted & entries.keys())}
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), allow_nan=False)
    data = gzip.compress(text.encode(), compresslevel=6, mtime=0)
    key = keys.logbook(market, pair, horizon)
    try:
        if store.get(key).data == data:
            return
    except KeyNotFoundError:
        pass
    store.put(key, data)


def served_rows(book: Logbook, wanted: Mapping[str, Entry]) -> Floats:
    """Return the features of the wanted entries that have them, shape (n, 36), in the book's order."""
    rows = [book.features(key) for key in book.entries if key in wanted]
    whole = [row for row in rows if len(row) == len(FEATURE_NAMES)]
    return np.array(whole, dtype=np.float64).reshape(-1, len(FEATURE_NAMES))


def _listed(store: Store, prefix: str, since: int, until: int) -> Iterator[str]:
    """Yield the log's keys of the days from `since` to `until`: never the whole log, which only grows."""
    months = {format_instant(at)[:7] for at in (*range(since, until, 24 * HOUR), until)}
    for month in sorted(months):
        yield from store.keys(prefix + month.replace("-", ""))


def _entry(store: Store, key: str) -> Entry:
    try:
        body = json.loads(store.get(key).data)
        entry = {name: body[name] for name in NAMES if name in body}
        if "features" in body:
            entry["features"] = [body["features"][name] for name in FEATURE_NAMES]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{key} is no entry of the prediction log ({error!r}); restore it, or remove it") from error
    return entry


def _copy(store: Store, key: str) -> tuple[dict[str, Entry], set[str]]:
    """Return the copied entries and the keys counted; nothing where there is no copy that can be read."""
    try:
        body = json.loads(gzip.decompress(store.get(key).data))
        return (dict(body["entries"]), set(body["counted"])) if body["format"] == FORMAT else ({}, set())
    except KeyNotFoundError:
        return {}, set()
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError):
        return {}, set()
