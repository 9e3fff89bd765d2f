"""The stages' log: one JSON line per event through Powertools' logger, on standard output as it is at that moment.

Powertools keeps one handler per service name for the process's life, so the stream it is given must not be the one
that happened to be standard output at the first call.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, TextIO, cast

from cryptovol.adapters import telemetry

if TYPE_CHECKING:
    from aws_lambda_powertools import Logger

SERVICE = "cryptovol-stages"
Field = str | int | float | bool


class _Standard:
    """A stream whose every write is one whole line of today's standard output; the logger sends text and newline at once."""

    def write(self, text: str) -> int:
        telemetry.write([text])
        return len(text)

    def flush(self) -> None:
        """Do nothing: each line was flushed."""


class EventLog:
    """`ports.Log` on standard output.

    Parameters
    ----------
    level
        The least that is written: ``DEBUG``, ``INFO``, ``WARNING`` or ``ERROR``.
    """

    def __init__(self, level: str = "INFO") -> None:
        self._level = level

    @cached_property
    def _logger(self) -> Logger:
        from aws_lambda_powertools import Logger

        found = Logger(service=SERVICE, stream=cast(TextIO, _Standard()), utc=True)
        found.setLevel(self._level)
        return found

    def info(self, message: str, **fields: Field) -> None:
        """Write one line of level INFO."""
        self._logger.info(message, extra=fields, stacklevel=3)

    def error(self, message: str, **fields: Field) -> None:
        """Write one line of level ERROR."""
        self._logger.error(message, extra=fields, stacklevel=3)


class QuietLog:
    """`ports.Log` for where standard output belongs to a person: a stage that works on files."""

    def info(self, message: str, **fields: Field) -> None:
        """Write nothing."""

    def error(self, message: str, **fields: Field) -> None:
        """Write nothing; the verb tells its error itself."""
