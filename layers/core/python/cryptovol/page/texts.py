"""How numbers and names are written on the page."""

from __future__ import annotations

from html import escape
from typing import Any

NAMES = {"model": "Model", "har": "HAR", "garch": "GARCH(1,1)", "ewma": "EWMA(0.94)", "persistence": "Persistence"}
MINUS, NONE = "−", "–"


def name(model: str) -> str:
    """Return a forecast's name, escaped."""
    return escape(NAMES.get(model, model))


def number(value: float | None, form: str) -> str:
    """Return a number with a true minus sign, or a dash where there is none."""
    return NONE if value is None else format(value, form).replace("-", MINUS)


def percent(value: float | None, digits: int = 1) -> str:
    """Return a share in percent."""
    return NONE if value is None else number(100 * value, f".{digits}f") + " %"


def day(instant: str) -> str:
    """Return the date of an ISO 8601 instant, escaped."""
    return escape(instant[:10])


def flat(value: Any, path: str = "") -> list[tuple[str, str]]:
    """Return nested facts as pairs of a dotted name and a text; neither is escaped."""
    if isinstance(value, dict):
        return [pair for key, each in value.items() for pair in flat(each, f"{path}.{key}" if path else str(key))]
    if isinstance(value, list | tuple):
        return [(path, ", ".join(str(each) for each in value))]
    return [(path, NONE if value is None else str(value))]
