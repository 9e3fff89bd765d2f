"""Operations telemetry: CloudWatch EMF lines through Powertools, and one JSON log line per event.

Powertools' `Metrics` keeps its values in class-level dictionaries and loses counts under threads, and every one of
its classes prints by itself at the hundredth value. So each label set with its metrics is described once by a fresh
`EphemeralMetrics` of fewer values, and each blob is that description with its own time and values, written in one call:
2 µs instead of the 35 that Powertools takes to describe it anew.
"""

from __future__ import annotations

import json
import math
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TextIO, cast

from cryptovol.metrics import CONTRACT, NAMESPACE

if TYPE_CHECKING:
    from aws_lambda_powertools import Logger

KEPT = 1024  # label sets whose description is remembered
BLOB_VALUES = 99  # at its 100th value or metric Powertools prints on its own, with later dimensions missing

Labels = tuple[tuple[str, str], ...]

# Python's text streams are not safe under threads: two writes at once lose characters or put in others.
_OUTPUT = threading.Lock()
_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


def check(name: str, value: float, labels: Mapping[str, str]) -> Labels:
    """Return the labels in the contract's order.

    Raises
    ------
    ValueError
        If the metric is not in the contract, its labels are others or empty, or the value is not finite or, for a
        counter, negative: all are slips of the caller, never of its data.
    """
    found = _labelled(name, tuple(labels.items()))
    if not math.isfinite(value) or (value < 0 and CONTRACT[name].kind == "counter"):
        raise ValueError(f"{value} is no value for the {CONTRACT[name].kind} {name}")
    return found


@lru_cache(maxsize=KEPT)
def _labelled(name: str, labels: Labels) -> Labels:
    if name not in CONTRACT:
        raise ValueError(f"{name!r} is not in the metric contract; declare it in cryptovol.metrics first")
    metric, given = CONTRACT[name], dict(labels)
    if set(given) != set(metric.labels) or not all(text.strip() for text in given.values()):
        raise ValueError(f"{name} takes the labels {metric.labels}, none of them empty, not {given}")
    return tuple((label, given[label]) for label in metric.labels)


def write(lines: Sequence[str], stream: TextIO | None = None) -> None:
    """Write whole lines, each in one call, and flush; one thread at a time, whichever of our writers it is in.

    Parameters
    ----------
    lines
        Each with its newline.
    stream
        None is standard output as it is now.
    """
    if not lines:
        return
    with _OUTPUT:
        out = stream or sys.stdout
        for line in lines:
            out.write(line)
        out.flush()


class _Whole:
    """A stream for the logger, whose handler writes text and newline in one call, but knows no lock but its own."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with _OUTPUT:
            return self._stream.write(text)

    def flush(self) -> None:
        with _OUTPUT:
            self._stream.flush()


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
        write([_blob(key, portion) for key, values in pending.items() for portion in _portions(values)], self._stream)


def _portions(values: Mapping[str, list[float]]) -> Iterator[list[tuple[str, float]]]:
    """Yield a label set's values in portions that stay below Powertools' own flush."""
    flat = [(name, value) for name, series in values.items() for value in series]
    for at in range(0, len(flat), BLOB_VALUES):
        yield flat[at : at + BLOB_VALUES]


def _blob(labels: Labels, values: Iterable[tuple[str, float]]) -> str:
    series: dict[str, list[float]] = {}
    for name, value in values:
        series.setdefault(name, []).append(value)
    described, members = _described(labels, tuple(series))
    # A finite float's repr is its JSON.
    written = [f'"{name}":[{",".join(map(repr, numbers))}]' for name, numbers in series.items()]
    return f'{{"_aws":{{"Timestamp":{int(time.time() * 1000)},{described}}},{",".join([*members, *written])}}}\n'


@lru_cache(maxsize=KEPT)
def _described(labels: Labels, names: tuple[str, ...]) -> tuple[str, list[str]]:
    """Return Powertools' description of a blob with these labels and metrics, and its members but for the values."""
    from aws_lambda_powertools.metrics import EphemeralMetrics

    blob = EphemeralMetrics(namespace=NAMESPACE)
    for label, text in labels:
        blob.add_dimension(label, text)
    for name in names:
        blob.add_metric(name, CONTRACT[name].unit, 0.0)
    found: dict[str, Any] = dict(blob.serialize_metric_set())
    described = f'"CloudWatchMetrics":{_encode(found.pop("_aws")["CloudWatchMetrics"])}'
    return described, [f"{_encode(name)}:{_encode(text)}" for name, text in found.items() if name not in names]


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

    return Logger(service=name, stream=cast(TextIO, _Whole(stream or sys.stdout)), utc=True)


def logs_client() -> Any:
    """Return a CloudWatch Logs client for the cloud the environment names; retries are the sidecar's business."""
    import boto3
    from botocore.config import Config

    return boto3.client("logs", config=Config(connect_timeout=3, read_timeout=20, retries={"max_attempts": 2}))
