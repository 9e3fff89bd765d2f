"""One log line → points of declared metrics. Lines come from programs we do not control, so nothing is trusted."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

from cryptovol.metrics import CONTRACT, NAMESPACE, Metric

Result = Literal["applied", "unlabelled", "foreign", "invalid", "other"]

# What a unit measures and how many of it make one of the contract's (seconds, plain numbers).
UNITS = {
    "Seconds": ("time", 1.0), "Milliseconds": ("time", 1e3), "Microseconds": ("time", 1e6),
    "Count": ("number", 1.0), "None": ("number", 1.0), "Percent": ("number", 1e2),
}  # fmt: skip
MARK = b"_aws"
WRAPPERS = ("message", "log", "msg")  # where log shippers put a line they wrap in JSON of their own
ATTEMPTS = 16  # places in one line where a blob is looked for; a line of open braces must not cost quadratic time
LABEL_LENGTH = 200
LARGEST = 1e15  # sums of larger values lose single counts, and two of them may overflow
_BLOB = re.compile(r'\{\s*"_aws"')


@dataclass(frozen=True)
class Point:
    """Values of one metric with one label set, in the contract's unit; `stamp` is the event's unix milliseconds."""

    name: str
    labels: tuple[str, ...]
    values: tuple[float, ...]
    stamp: int


@dataclass(frozen=True)
class Line:
    """What a line held.

    Parameters
    ----------
    result
        ``applied``; ``unlabelled``: applied, with a declared label missing; ``foreign``: EMF without a metric of
        ours; ``invalid``: meant to be EMF and is not; ``other``: not EMF.
    points
        What is to be counted.
    """

    result: Result
    points: tuple[Point, ...]


def parse(line: bytes) -> Line:
    """Return the points of one line, without its newline.

    A line may have a prefix, be wrapped in another JSON object's ``message``, or hold several blobs that a careless
    writer glued together. Each metric of a blob is counted once, whatever dimension sets it declares.
    """
    if MARK not in line:
        return Line("other", ())
    points: list[Point] = []
    worst: Result = "other"
    try:
        for blob in _blobs(line.decode()):
            found = _points(blob)
            points += found
            worst = _worse(worst, _result(found))
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        worst = "invalid"
    return Line(worst, tuple(points))


def _worse(left: Result, right: Result) -> Result:
    order: tuple[Result, ...] = ("other", "foreign", "applied", "unlabelled", "invalid")
    return max(left, right, key=order.index)


def _result(points: list[Point]) -> Result:
    if not points:
        return "foreign"
    return "applied" if all(all(point.labels) for point in points) else "unlabelled"


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def _blobs(text: str, *, nested: bool = False) -> Iterator[Mapping[str, Any]]:
    """Yield the EMF blobs of a line; raise `ValueError` where something meant to be one cannot be read."""
    at = text.find("{")
    failed = 0
    if at < 0:
        raise ValueError("no JSON object in the line")
    while at >= 0:
        try:
            value, end = _DECODER.raw_decode(text, at)
        except ValueError:
            failed += 1
            again = _BLOB.search(text, at + 1)
            if again is None or failed > ATTEMPTS:
                raise
            at = again.start()
            continue
        yield from _unwrapped(value, nested)
        at = text.find("{", end)


def _unwrapped(value: Mapping[str, Any], nested: bool) -> Iterator[Mapping[str, Any]]:
    if "_aws" in value:
        yield value
        return
    for name in WRAPPERS:
        inner = value.get(name)
        if isinstance(inner, str) and "_aws" in inner and not nested:
            yield from _blobs(inner, nested=True)


def _points(blob: Mapping[str, Any]) -> list[Point]:
    stamp = int(blob["_aws"]["Timestamp"])
    found: dict[str, Point] = {}
    for directive in blob["_aws"]["CloudWatchMetrics"]:
        if directive["Namespace"] != NAMESPACE:
            continue
        for entry in directive["Metrics"]:
            name = entry["Name"]
            if name in CONTRACT and name not in found:
                metric = CONTRACT[name]
                values = _values(blob[name], entry.get("Unit", metric.unit), metric)
                found[name] = Point(name, tuple(_label(blob.get(label)) for label in metric.labels), values, stamp)
    return list(found.values())


def _label(value: Any) -> str:
    if value is None or isinstance(value, dict | list):
        return ""
    # JSON can escape half of a surrogate pair, which no exposition could encode.
    return str(value)[:LABEL_LENGTH].encode(errors="replace").decode()


def _values(raw: Any, unit: str, metric: Metric) -> tuple[float, ...]:
    kind, per = UNITS[unit]
    if kind != UNITS[metric.unit][0]:
        raise ValueError(f"{unit} cannot become {metric.unit}")
    given = raw if isinstance(raw, list) else [raw]
    if not given or any(isinstance(value, bool) or not isinstance(value, int | float) for value in given):
        raise ValueError("a value is not a number")
    values = tuple(float(value) / per for value in given)
    if max(map(abs, values)) > LARGEST or (metric.kind == "counter" and min(values) < 0):
        raise ValueError("a value is beyond any sense, or a counter would fall")
    return values
