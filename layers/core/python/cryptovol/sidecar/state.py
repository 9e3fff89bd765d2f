"""Series and source positions in one SQLite file, changed only together.

Nothing is kept in memory that a commit has not made true: a portion of lines becomes additions, the additions and
the new position are one transaction, and readers see rows, never intentions.
"""

from __future__ import annotations

import json
import sqlite3
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptovol.errors import ConfigError, ConflictError, StoreUnavailableError
from cryptovol.metrics import CONTRACT, Metric
from cryptovol.sidecar import emf

VERSION = 1
LABEL_SETS = 200  # per metric; more go to OVERFLOW
OVERFLOW = "__overflow__"

# What the sidecar says of itself, beside the contract's metrics.
OWN: dict[str, Metric] = {
    "emf_lines_total": Metric("counter", ("result",), "Count", "Log lines read, by what they held."),
    "emf_series_rejected_total": Metric("counter", ("metric",), "Count", "Points moved to the overflow label set."),
    "emf_source_bytes": Metric("gauge", ("source",), "None", "Position in a log file."),
    "emf_ingest_lag_seconds": Metric("gauge", (), "Seconds", "Age of the newest event at the moment it was committed."),
    "emf_last_event_timestamp_seconds": Metric("gauge", (), "Seconds", "Unix time of the newest event committed."),
}
EXPOSED = {**CONTRACT, **OWN}

_SCHEMA = """
CREATE TABLE IF NOT EXISTS series (
  name TEXT NOT NULL, labels TEXT NOT NULL, part TEXT NOT NULL, value REAL NOT NULL, stamp INTEGER NOT NULL,
  PRIMARY KEY (name, labels, part)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS source (id TEXT PRIMARY KEY, position TEXT NOT NULL) WITHOUT ROWID;
"""
_ADD = """INSERT INTO series VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET value = value + excluded.value"""
_NEWEST = """INSERT INTO series VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE
SET value = excluded.value, stamp = excluded.stamp WHERE excluded.stamp >= stamp"""

Key = tuple[str, str, str]  # name, labels as a JSON list, part: "" or, of a histogram, "sum" or a bucket's edge


@dataclass(frozen=True)
class Portion:
    """Complete lines of one source, and its position before (None at the very start) and after them.

    Parameters
    ----------
    oversized
        Lines left out because they were longer than any EMF line may be.
    bytes_read
        How far a file has been read, or None for a source that is not a file.
    """

    source: str
    before: str | None
    after: str
    lines: list[bytes]
    oversized: int = 0
    bytes_read: int | None = None


class Batch:
    """Additions and newest values of one portion, before they are committed."""

    def __init__(self, known: dict[str, set[str]], now_ms: int) -> None:
        self.sums: defaultdict[Key, float] = defaultdict(float)
        self.newest: dict[Key, tuple[int, float]] = {}
        self.fresh: dict[str, set[str]] = {}
        self._known = known
        self._keys: dict[tuple[str, tuple[str, ...]], tuple[Key, ...]] = {}
        self._now = now_ms
        self._last = 0

    def lines(self, lines: Iterable[bytes], oversized: int) -> None:
        """Take a portion's lines."""
        results: Counter[str] = Counter(invalid=oversized)
        for line in lines:
            parsed = emf.parse(line)
            results[parsed.result] += 1
            for point in parsed.points:
                self._point(point)
        for result, count in results.items():
            if count:
                self._add("emf_lines_total", (result,), "", count)
        if self._last:
            self.gauge("emf_last_event_timestamp_seconds", (), self._last / 1e3)
            self.gauge("emf_ingest_lag_seconds", (), (self._now - self._last) / 1e3)

    def gauge(self, name: str, labels: tuple[str, ...], value: float) -> None:
        """Set one of the sidecar's own gauges."""
        self.newest[(name, json.dumps(labels), "")] = (self._now, value)

    def _point(self, point: emf.Point) -> None:
        keys = self._keys.get((point.name, point.labels)) or self._admitted(point.name, point.labels)
        kind, buckets = CONTRACT[point.name].kind, CONTRACT[point.name].buckets
        # An event from the future would hold a gauge still until then.
        stamp = min(max(point.stamp, 0), self._now)
        if stamp > self._last:
            self._last = stamp
        if kind == "gauge":
            if stamp >= self.newest.get(keys[0], (0, 0.0))[0]:
                self.newest[keys[0]] = (stamp, point.values[-1])
        else:
            self.sums[keys[0]] += sum(point.values)
        if kind == "histogram":
            for value in point.values:
                self.sums[keys[1 + bisect_left(buckets, value)]] += 1

    def _add(self, name: str, labels: tuple[str, ...], part: str, value: float) -> None:
        self.sums[(name, json.dumps(labels), part)] += value

    def _admitted(self, name: str, labels: tuple[str, ...]) -> tuple[Key, ...]:
        """Return the keys of a series' value or sum and of its buckets; past the cap, those of the overflow series."""
        text = json.dumps(labels)
        known, fresh = self._known.setdefault(name, set()), self.fresh.setdefault(name, set())
        if text not in known and text not in fresh:
            if len(known) + len(fresh) >= LABEL_SETS:
                self._add("emf_series_rejected_total", (name,), "", 1)
                return _keys(name, json.dumps([OVERFLOW] * len(labels)))
            fresh.add(text)
        keys = self._keys[name, labels] = _keys(name, text)
        return keys


def _keys(name: str, labels: str) -> tuple[Key, ...]:
    metric = CONTRACT[name]
    if metric.kind != "histogram":
        return ((name, labels, ""),)
    return tuple((name, labels, part) for part in ("sum", *map(repr, metric.buckets), "inf"))


class State:
    """The open state file. Used by one thread; readers open the file for themselves.

    `resumed` tells whether it held series when it was opened.

    Raises
    ------
    ConfigError
        If the file is not a state file of this version.
    StoreUnavailableError
        If it cannot be opened or written.
    """

    def __init__(self, path: Path) -> None:
        with self._typed():
            self._db = sqlite3.connect(path, isolation_level=None, timeout=10.0)
            try:
                self._known = self._prepared(path)
            except BaseException:
                self._db.close()
                raise
        self.resumed = bool(self._known)

    def _prepared(self, path: Path) -> dict[str, set[str]]:
        """Make the tables where they are missing and return the label sets there are, by metric."""
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        found = self._db.execute("PRAGMA user_version").fetchone()[0]
        if found not in (0, VERSION):
            raise ConfigError(f"{path} has format {found}, this sidecar writes {VERSION}; move it away to start anew")
        self._db.executescript(_SCHEMA)
        self._db.execute(f"PRAGMA user_version = {VERSION}")
        known: dict[str, set[str]] = {}
        for name, labels in self._db.execute("SELECT DISTINCT name, labels FROM series"):
            if OVERFLOW not in labels:
                known.setdefault(name, set()).add(labels)
        return known

    def close(self) -> None:
        """Close the file; everything committed stays."""
        self._db.close()

    def position(self, source: str) -> str | None:
        """Return the committed position of a source, or None if it was never read."""
        with self._typed():
            row = self._db.execute("SELECT position FROM source WHERE id = ?", (source,)).fetchone()
        return row[0] if row else None

    def apply(self, portion: Portion, now_ms: int) -> None:
        """Commit what a portion's lines say together with the position after them.

        Raises
        ------
        ConflictError
            If another sidecar moved the source meanwhile; nothing was written.
        """
        batch = Batch(self._known, now_ms)
        batch.lines(portion.lines, portion.oversized)
        if portion.bytes_read is not None:
            batch.gauge("emf_source_bytes", (portion.source,), portion.bytes_read)
        with self._typed(), self._transaction():
            self._move(portion)
            self._db.executemany(_ADD, [(*key, value, 0) for key, value in batch.sums.items()])
            self._db.executemany(_NEWEST, [(*key, value, stamp) for key, (stamp, value) in batch.newest.items()])
        for name, fresh in batch.fresh.items():
            self._known[name] |= fresh

    def _move(self, portion: Portion) -> None:
        if portion.before is None:
            moved = self._db.execute("INSERT OR IGNORE INTO source VALUES (?, ?)", (portion.source, portion.after))
        else:
            moved = self._db.execute(
                "UPDATE source SET position = ? WHERE id = ? AND position = ?",
                (portion.after, portion.source, portion.before),
            )
        if moved.rowcount != 1:
            raise ConflictError(f"another sidecar reads {portion.source} into the same state; stop one of them")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    @contextmanager
    def _typed(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise StoreUnavailableError(
                f"the metrics state cannot be used: {error}; free the disk or the file"
            ) from error
        except sqlite3.DatabaseError as error:
            raise ConfigError(f"the metrics state is not one: {error}; move the file away to start anew") from error
