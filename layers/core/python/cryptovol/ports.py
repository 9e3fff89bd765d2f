"""What the stages need from outside, as protocols. Adapters fill them; tests fill them with fakes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from cryptovol.bars import Bars

Clock = Callable[[], int]  # unix seconds; the only way a stage learns the time


@dataclass(frozen=True)
class Stored:
    """An object as it was read: its bytes and the tag a conditional write must name."""

    data: bytes
    etag: str


class Store(Protocol):
    """Whole-object storage under slash-separated keys; every write is atomic.

    Real ones: `adapters.files.FileStore`, `adapters.s3.S3Store`, `adapters.s3lean.S3Lean`. All raise
    `StoreUnavailableError` when the storage itself fails.
    """

    def get(self, key: str) -> Stored:
        """Return the object; raise `KeyNotFoundError` if there is none."""

    def put(self, key: str, data: bytes) -> None:
        """Write the object, replacing any before it."""

    def put_new(self, key: str, data: bytes) -> bool:
        """Write the object if the key is free; return False, and write nothing, if it is taken."""

    def replace(self, key: str, data: bytes, etag: str) -> None:
        """Replace the very version `etag` names; raise `ConflictError` if it is no longer the current one."""

    def exists(self, key: str) -> bool:
        """Return whether something is stored under the key."""

    def keys(self, prefix: str) -> Iterator[str]:
        """Yield the keys that begin with `prefix`, in ascending order."""


@dataclass(frozen=True)
class Origin:
    """Where bars come from: the name written into every row, and the market whose history they belong to.

    `market` is ``live`` for real venues, ``simulated``, or ``replay-<file>``. Histories, models and champions of
    different markets never share a key.
    """

    source: str
    market: str


class BarSource(Protocol):
    """A market's hourly bars.

    Real ones: `adapters.sources.venue` over HTTP and, behind the same client, the simulated and replayed
    markets.
    """

    def origin(self, symbol: str, quote: str) -> Origin:
        """Return where the bars come from, asking the source once.

        Raises `UnknownSymbolError` if the source does not know the pair, `SourceUnavailableError` if it does not
        answer.
        """

    def pages(self, symbol: str, quote: str, *, start: int, end: int) -> Iterator[Bars]:
        """Yield closed bars with ``start <= time`` and ``time + 3600 <= end``, oldest page first.

        Rows carry `symbol`, `quote` and `source`; `fetched_at` comes from the source's clock. A source may yield
        one bar just before `start` again (APIs that answer with one row more than asked): the merge counts it as a
        revision or ignores it.
        """


@dataclass(frozen=True)
class TrackedRun:
    """What a tracker knows of a logged run: its id, the registered version, and a link for people."""

    run_id: str
    version: str
    url: str


class Tracker(Protocol):
    """Records training runs. Real ones: `adapters.tracking.MlflowTracker` and `FileTracker`."""

    def log(
        self,
        name: str,
        *,
        params: Mapping[str, Any],
        metrics: Mapping[str, float],
        fold_metrics: Mapping[str, list[float]],
        artifacts: Mapping[str, bytes],
        tags: Mapping[str, str],
    ) -> TrackedRun:
        """Record one run of model `name` and register its version; return what was recorded."""

    def note(
        self,
        name: str,
        *,
        identity: str,
        params: Mapping[str, Any],
        metrics: Mapping[str, float],
        series: Mapping[str, list[float]],
        artifacts: Mapping[str, bytes],
        tags: Mapping[str, str],
    ) -> TrackedRun:
        """Record one run that made no model, once per `identity`; the version of what is returned is empty."""

    def alias(self, name: str, *, version: str, alias: str) -> None:
        """Point the alias ``champion`` or ``challenger`` of model `name` at a version."""


class Journal(Protocol):
    """Keeps what was given away, so that it outlives the process. Real ones: `adapters.spool.Spool` and `Lines`."""

    def record(self, answer: Mapping[str, Any]) -> None:
        """Keep the record of one answer (see `answers.record`) before the answer leaves.

        Never raises: what cannot be kept is counted.
        """

    def entry(self, key: str, body: Mapping[str, Any]) -> bool:
        """Take over writing `body` as JSON under a free key of the store; return False if the caller must write it."""

    def close(self) -> None:
        """Bring what was kept to the store, in the little time that an ending process has."""


class Log(Protocol):
    """Tells events, one line each. Real ones: `adapters.eventlog.EventLog` and `QuietLog`.

    Fields are identifiers and numbers; a body, a key or a secret never is one.
    """

    def info(self, message: str, **fields: str | int | float | bool) -> None:
        """Tell what happened as it should."""

    def error(self, message: str, **fields: str | int | float | bool) -> None:
        """Tell what somebody has to look at."""


class Meter(Protocol):
    """Counts operations. Real ones: `adapters.telemetry.EmfMeter` and `QuietMeter`."""

    def add(self, name: str, value: float, labels: Mapping[str, str] | None = None) -> None:
        """Record one value of a metric named in `cryptovol.metrics.CONTRACT`."""

    def flush(self) -> None:
        """Write what was recorded."""
