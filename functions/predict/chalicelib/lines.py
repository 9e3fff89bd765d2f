"""One log line per request, with the fields that the project's other log lines have.

Powertools' logger takes about as long as the forecast itself, so the lines of every request are written by hand.
Nothing of a request's body and no header is in them; the caller is a key's name, never the key.
"""

from __future__ import annotations

import time
from functools import lru_cache
from typing import Any

import msgspec

from cryptovol.adapters import telemetry
from cryptovol.settings import LOG_LEVELS


def write(message: str = "request", *, level: str = "INFO", least: str = "INFO", **fields: Any) -> None:
    """Write one JSON line to standard output as it is now, in one call; nothing if `level` is below `least`."""
    if LOG_LEVELS.index(level) < LOG_LEVELS.index(least):
        return
    now = time.time()
    stamp = f"{_second(int(now))},{int(now % 1 * 1000):03d}+0000"
    line = {"level": level, "message": message, "timestamp": stamp, "service": "cryptovol-api", **fields}
    telemetry.write([msgspec.json.encode(line).decode() + "\n"])


@lru_cache(maxsize=1)
def _second(now: int) -> str:
    """Return a second as Powertools writes it; most requests share it with the one before."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(now))
