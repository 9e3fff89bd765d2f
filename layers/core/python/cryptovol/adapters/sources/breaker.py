"""A circuit breaker: a venue that failed so many times in a row is left alone for a while, then tried once."""

from __future__ import annotations

from typing import Literal

State = Literal["closed", "open", "half open"]


class Breaker:
    """Whether a venue may be asked. It has no clock of its own: every method that needs the time is told it.

    ::

        closed ─── `failures` failures in a row ──> open ─── `seconds` later ──> half open
          ^                                          ^                             │   │
          │                                          └─────── the trial fails ─────┘   │
          └───────────────────────── the trial is answered ───────────────────────────-┘

    Only a delivery clears the count: a venue that answers and then breaks off, again and again, is left alone too.
    After an answered trial one more failure opens the breaker.

    Parameters
    ----------
    failures
        Failures in a row that open it, at least 1.
    seconds
        How long it stays open, and how long a trial of unknown outcome keeps others away.
    """

    def __init__(self, *, failures: int, seconds: int) -> None:
        self._most = failures
        self._seconds = seconds
        self._in_row = 0
        self._opened: int | None = None
        self._trial: int | None = None

    def state(self, now: int) -> State:
        """Return the state at `now`, unix seconds."""
        if self._opened is None:
            return "closed"
        return "open" if now < self._opened + self._seconds else "half open"

    def admits(self, now: int) -> bool:
        """Return whether the venue may be asked at `now`; half open, the first to ask takes the one trial."""
        state = self.state(now)
        if state != "half open":
            return state == "closed"
        if self._trial is not None and now < self._trial + self._seconds:
            return False
        self._trial = now
        return True

    def failed(self, now: int) -> None:
        """Count a failure at `now`."""
        self._in_row += 1
        if self._opened is not None or self._in_row >= self._most:
            self._opened, self._trial = now, None

    def answered(self) -> None:
        """Close it if it was not, on probation."""
        if self._opened is not None:
            self._opened = self._trial = None
            self._in_row = self._most - 1

    def delivered(self) -> None:
        """Close it and forget all failures: bars came, to the end."""
        self._opened = self._trial = None
        self._in_row = 0
