"""One log line → points of declared metrics. Lines come from programs we do not control, so nothing is trusted."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal, NoReturn

import msgspec

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
PLANS = 1024  # descriptions remembered
LARGEST = 1e15  # sums of larger values lose single counts, and two of them may overflow
_BLOB = re.compile(r'\{\s*"_aws"')


class Point(msgspec.Struct, frozen=True, gc=False):
    """Values of one metric with one label set, in the contract's unit; `stamp` is the event's unix milliseconds."""

    name: str
    labels: tuple[str, ...]
    values: tuple[float, ...]
    stamp: int


class Line(msgspec.Struct, frozen=True, gc=False):
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


class _Header(msgspec.Struct):
    Timestamp: Any
    CloudWatchMetrics: msgspec.Raw


def parse(line: bytes) -> Line:
    """Return the points of one line, without its newline.

    A line may have a prefix, be wrapped in another JSON object's ``message``, or hold several blobs that a careless
    writer glued together. Each metric of a blob is counted once, whatever dimension sets it declares.
    """
    if MARK not in line:
        return _OTHER
    return _alone(line) or _among(line)


def _alone(line: bytes) -> Line | None:
    """Return what a line says that is one blob and nothing else, as nearly all are; None if it is not."""
    try:
        blob = _decode(line)
        points = _points(blob, blob.aws.Timestamp, bytes(blob.aws.CloudWatchMetrics))
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        return None  # what is wrong with it, and whether a part of it can be saved, the slow way finds out
    return Line(_result(points), points)


def _among(line: bytes) -> Line:
    """Return what the blobs of a line say that are wrapped, glued together, or behind something else."""
    points: list[Point] = []
    worst: Result = "other"
    try:
        for value in _blobs(line.decode()):
            described = json.dumps(value["_aws"]["CloudWatchMetrics"]).encode()
            blob = _Blob(None, **{name: value[name] for name in FIELDS if name in value})
            found = _points(blob, value["_aws"]["Timestamp"], described)
            points += found
            worst = _worse(worst, _result(found))
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        worst = "invalid"
    return Line(worst, tuple(points))


def _worse(left: Result, right: Result) -> Result:
    order: tuple[Result, ...] = ("other", "foreign", "applied", "unlabelled", "invalid")
    return max(left, right, key=order.index)


def _result(points: Sequence[Point]) -> Result:
    if not points:
        return "foreign"
    for point in points:
        if "" in point.labels:
            return "unlabelled"
    return "applied"


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")


_OTHER = Line("other", ())
# A blob's members that may concern us, by their names; msgspec passes over all others without making objects.
FIELDS = sorted({*CONTRACT, *(label for metric in CONTRACT.values() for label in metric.labels)})
_Blob: Any = msgspec.defstruct(
    "_Blob", [("aws", _Header), *((name, Any, None) for name in FIELDS)], rename={"aws": "_aws"}, gc=False
)
_decode = msgspec.json.Decoder(_Blob).decode
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


def _points(blob: Any, stamp: Any, described: bytes) -> tuple[Point, ...]:
    when = int(stamp)
    return tuple(
        [
            Point(
                name, tuple([_label(getattr(blob, label)) for label in labels]), _values(getattr(blob, name), *of), when
            )
            for name, labels, *of in _plan(described)
        ]
    )


@lru_cache(maxsize=PLANS)
def _plan(described: bytes) -> tuple[tuple[Any, ...], ...]:
    """Return name, labels, how many make one of the contract's unit, and whether it may fall, of each metric of ours.

    Programs describe the same few blobs again and again, so each description is understood once.
    """
    found: dict[str, tuple[Any, ...]] = {}
    for directive in json.loads(described):
        if directive["Namespace"] != NAMESPACE:
            continue
        for entry in directive["Metrics"]:
            name = entry["Name"]
            if name in CONTRACT and name not in found:
                metric = CONTRACT[name]
                found[name] = (name, metric.labels, _per(entry.get("Unit", metric.unit), metric), metric.kind)
    return tuple(found.values())


def _per(unit: str, metric: Metric) -> float:
    kind, per = UNITS[unit]
    if kind != UNITS[metric.unit][0]:
        raise ValueError(f"{unit} cannot become {metric.unit}")
    return per


def _label(value: Any) -> str:
    if type(value) is str and len(value) <= LABEL_LENGTH and value.isascii():
        return value
    if value is None or isinstance(value, dict | list):
        return ""
    # JSON can escape half of a surrogate pair, which no exposition could encode.
    return str(value)[:LABEL_LENGTH].encode(errors="replace").decode()


def _values(raw: Any, per: float, kind: str) -> tuple[float, ...]:
    given = raw if isinstance(raw, list) else [raw]
    if len(given) == 1 and type(given[0]) is float and 0 <= given[0] <= LARGEST:
        return (given[0] / per,)
    if not given or any(isinstance(value, bool) or not isinstance(value, int | float) for value in given):
        raise ValueError("a value is not a number")
    values = tuple(float(value) / per for value in given)
    if max(map(abs, values)) > LARGEST or (kind == "counter" and min(values) < 0):
        raise ValueError("a value is beyond any sense, or a counter would fall")
    return values
