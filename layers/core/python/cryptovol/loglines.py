"""Log lines read back: those of one run or one request, from many files, and the durations they tell.

A line is one JSON object with its newline. Whatever else a log holds (tracebacks, a server's own words, EMF blobs
without an id, a torn last line) is passed over.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeGuard

from cryptovol.cost import API

Line = dict[str, Any]
SHOWN_APART = ("timestamp", "level", "message", "service", "location", "file")
API_SERVICE, FORECASTS = "cryptovol-api", ("/predict", "/forecast/{symbol}")


def parse(raw: bytes) -> Line | None:
    """Return the JSON object in a line that carries a time and a message, or None."""
    if not raw.startswith(b"{"):
        return None
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    if not isinstance(body, dict):
        return None
    return body if all(isinstance(body.get(name), str) for name in ("timestamp", "message")) else None


def about(files: Mapping[str, Iterable[bytes]], name: str, wanted: str) -> list[Line]:
    """Return the lines whose field `name` is `wanted`, of all files, oldest first.

    Parameters
    ----------
    files
        Lines by the file's name, which each found line gets as its `file`.
    name
        ``run_id`` or ``request_id``.
    wanted
        The id, not empty. Lines of one instant stay in the order of their file.
    """
    needle = json.dumps(wanted).encode()
    found = []
    for file, lines in files.items():
        for raw in lines:
            # Most lines are others': looking for the bytes costs a fraction of parsing.
            if needle in raw and (line := parse(raw)) is not None and line.get(name) == wanted:
                found.append({**line, "file": file})
    # Every writer of ours gives UTC in one fixed width, so the text's order is the time's.
    return sorted(found, key=lambda line: str(line["timestamp"]))


def durations(lines: Iterable[bytes]) -> dict[str, list[float]]:
    """Return the seconds of finished stages, and of forecasts that the API answered under `cost.API`, by stage."""
    found: dict[str, list[float]] = {}
    for line in filter(None, map(parse, lines)):
        for stage, seconds in _measured(line):
            found.setdefault(stage, []).append(seconds)
    return found


def _measured(line: Line) -> Iterator[tuple[str, float]]:
    """Yield the stage and the seconds a line tells, if it does."""
    stage, seconds, milliseconds = line.get("stage"), line.get("seconds"), line.get("milliseconds")
    if line.get("outcome") == "done" and isinstance(stage, str) and _is_duration(seconds):
        yield stage, float(seconds)
    served = line.get("endpoint") in FORECASTS and line.get("status") == "200"
    if line.get("service") == API_SERVICE and served and _is_duration(milliseconds):
        yield API, float(milliseconds) / 1000


def _is_duration(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e9


def text(line: Line) -> str:
    """Return a line for people: time, level, file, message, then every further field."""
    more = " ".join(f"{name}={value}" for name, value in line.items() if name not in SHOWN_APART)
    told = f"{line['timestamp']}  {line.get('level', ''):<8}{line.get('file', ''):<34}  {line['message']}"
    return f"{told}  {more}".rstrip()
