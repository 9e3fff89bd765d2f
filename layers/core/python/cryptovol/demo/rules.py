"""The project's own alert rules at another speed: what lasts an hour in them lasts as long as a test or a demo has."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from cryptovol.errors import ConfigError

DURATIONS = re.compile(r"(?<=\[)\d+[mh](?=\])|(?<=offset )\d+[mh]\b|(?<=for: )\d+[mh]\b|(?<=group_interval: )\d+[mh]")
MILLISECONDS = {"h": 3_600_000, "m": 60_000}


def compress(text: str, times: float = 60.0) -> str:
    """Return rules or routes whose windows, offsets and waits are so many times shorter; recorded names stay."""
    return DURATIONS.sub(lambda found: _shorter(found[0], times), text)


def _shorter(duration: str, times: float) -> str:
    """Return a duration so many times shorter, in the largest unit that tells it whole."""
    left = round(int(duration[:-1]) * MILLISECONDS[duration[-1]] / times)
    unit, size = next((unit, size) for unit, size in (("m", 60_000), ("s", 1000), ("ms", 1)) if left % size == 0)
    return f"{left // size}{unit}"


def of_group(path: Path, group: str, times: float) -> str:
    """Return one group's alerts from a rules file, compressed, as JSON, which is YAML.

    Alerts that compare a metric with the wall clock (``time()``) are left out: of a made-up time they say nothing.

    Raises
    ------
    ConfigError
        If the file cannot be read or has no such group.
    """
    import yaml

    try:
        found: list[dict[str, Any]] = yaml.safe_load(compress(path.read_text(encoding="utf-8"), times))["groups"]
    except OSError as error:
        raise ConfigError(f"cannot read the alert rules: {error}. Cure: run from the project folder") from error
    chosen = [each for each in found if each["name"] == group]
    if not chosen:
        raise ConfigError(f"{path} has no group {group!r}; it has {', '.join(each['name'] for each in found)}")
    rules = [rule for rule in chosen[0]["rules"] if "time()" not in rule["expr"]]
    return json.dumps({"groups": [{"name": group, "interval": "1s", "rules": rules}]}, indent=1)
