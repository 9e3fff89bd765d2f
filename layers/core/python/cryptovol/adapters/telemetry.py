"""Operations telemetry: CloudWatch EMF lines through Powertools, and one JSON log line per event.

Powertools' `Metrics` keeps its values in class-level dictionaries and loses counts under threads, and every one of
its classes prints by itself at the hundredth value. So each blob here is a fresh `EphemeralMetrics` of fewer values,
serialised by us and written in one call.
"""

from __future__ import annotations

import math
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TextIO

from cryptovol.metrics import CONTRACT, NAMESPACE

if TYPE_CHECKING:
    from aws_lambda_powertools import Logger

BLOB_VALUES = 99  # at its 100th value or metric Powertools prints on its own, with later dimensions missing

Labels = tuple[tuple[str, str], ...]


def check(name: str, value: float, labels: Mapping[str, str]) -> Labels:
    """Return the labels in the contract's order.

    Raises
    ------
    ValueError
        If the metric is not in the contract, its labels are others or empty, or the value is not finite or, for a
        counter, negative: all are slips of the caller, never of its data.
    """
    if name not in CONTRACT:
        raise ValueError(f"{name!r} is not in the metric contract; declare it in cryptovol.metrics first")
    metric = CONTRACT[name]
    if set(labels) != set(metric.labels) or not all(value.strip() for value in labels.values()):
        raise ValueError(f"{name} takes the labels {metric.labels}, none of them empty, not {dict(labels)}")
    if not math.isfinite(value) or (metric.kind == "counter" and value < 0):
        raise ValueError(f"{value} is no value for the {metric.kind} {name}")
    return tuple((label, labels[label]) for label in metric.labels)


class EmfMeter:
    """`ports.Meter` that prints one EMF blob per label set at each flush. Safe under threads.

    Parameters
    ----------
    stream
        Where lines go; None is standard output as it is at the flush.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream
        self._pending: dict[Labels, dict[str, list[float]]] = {}
        self._lock = threading.Lock()

    def add(self, name: str, value: float, labels: Mapping[str, str] | None = None) -> None:
        """Record one value; see `check` for what is refused."""
        key = check(name, value, labels or {})
        with self._lock:
            self._pending.setdefault(key, {}).setdefault(name, []).append(float(value))

    def flush(self) -> None:
        """Write what was recorded, each blob as one line in one write; values of other threads may go along."""
        with self._lock:
            pending, self._pending = self._pending, {}
            stream = self._stream or sys.stdout
            for key, values in pending.items():
                for portion in _portions(values):
                    stream.write(_blob(key, portion))
            if pending:
                stream.flush()


def _portions(values: Mapping[str, list[float]]) -> Iterator[list[tuple[str, float]]]:
    """Yield a label set's values in portions that stay below Powertools' own flush."""
    flat = [(name, value) for name, series in values.items() for value in series]
    for at in range(0, len(flat), BLOB_VALUES):
        yield flat[at : at + BLOB_VALUES]


def _blob(labels: Labels, values: Iterable[tuple[str, float]]) -> str:
    import json

    from aws_lambda_powertools.metrics import EphemeralMetrics

    blob = EphemeralMetrics(namespace=NAMESPACE)
    for label, text in labels:
        blob.add_dimension(label, text)
    for name, value in values:
        blob.add_metric(name, CONTRACT[name].unit, value)
    return json.dumps(blob.serialize_metric_set(), separators=(",", ":"), allow_nan=False) + "\n"


class QuietMeter:
    """`ports.Meter` for where nobody collects: checks the contract and forgets."""

    def add(self, name: str, value: float, labels: Mapping[str, str] | None = None) -> None:
        """Refuse what `EmfMeter` would refuse."""
        check(name, value, labels or {})

    def flush(self) -> None:
        """Do nothing: there is nothing to write."""


class MemoryMeter:
    """`ports.Meter` for tests: `values` lists ``(name, value, labels)`` in order. Safe under threads."""

    def __init__(self) -> None:
        self.values: list[tuple[str, float, dict[str, str]]] = []
        self.flushes = 0
        self._lock = threading.Lock()

    def add(self, name: str, value: float, labels: Mapping[str, str] | None = None) -> None:
        """Record one value; see `check` for what is refused."""
        known = check(name, value, labels or {})
        with self._lock:
            self.values.append((name, float(value), dict(known)))

    def flush(self) -> None:
        """Count the flush."""
        with self._lock:
            self.flushes += 1

    def total(self, name: str, **labels: str) -> float:
        """Return the sum of a metric's values whose labels include `labels`."""
        return sum(value for found, value, own in self.values if found == name and labels.items() <= own.items())


def logger(name: str, stream: TextIO | None = None) -> Logger:
    """Return a logger that writes one JSON line per event to standard output.

    Give what identifies the event as keywords: ``log.info("forecast served", request_id=…, run_id=…)``. Bodies and
    keys of requests never belong into it.
    """
    from aws_lambda_powertools import Logger

    return Logger(service=name, stream=stream or sys.stdout, utc=True)


def logs_client() -> Any:
    """Return a CloudWatch Logs client for the cloud the environment names; retries are the sidecar's business."""
    import boto3
    from botocore.config import Config

    return boto3.client("logs", config=Config(connect_timeout=3, read_timeout=20, retries={"max_attempts": 2}))
