"""Instants: unix seconds inside, ISO 8601 UTC at the edges."""

from __future__ import annotations

from datetime import UTC, datetime

from cryptovol.errors import ConfigError

HOUR = 3600


def parse_instant(text: str) -> int:
    """Return unix seconds for an ISO 8601 instant.

    Parameters
    ----------
    text
        For instance ``2025-05-01T00:00:00Z``; a text without an offset is taken as UTC.

    Raises
    ------
    ConfigError
        If `text` is not an ISO 8601 instant.
    """
    try:
        moment = datetime.fromisoformat(text)
    except (ValueError, TypeError):
        raise ConfigError(f"{text!r} is not an ISO 8601 instant; write for instance 2025-05-01T00:00:00Z") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp())


def format_instant(seconds: int) -> str:
    """Return the ISO 8601 UTC text of unix seconds, for instance ``2025-05-01T00:00:00Z``."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def month_of(seconds: int) -> str:
    """Return the UTC month of an instant, for instance ``2025-05``."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m")


def floor_hour(seconds: int) -> int:
    """Return the start of the UTC hour that holds an instant."""
    return seconds - seconds % HOUR
