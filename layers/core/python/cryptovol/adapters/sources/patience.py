"""How long a venue is waited for: few tries, growing waits, and one time budget for all venues together."""

from __future__ import annotations

import logging
import math
import random
import time
from collections.abc import Callable
from typing import TypeVar

from cryptovol.errors import ConfigError, RateLimitedError, SourceUnavailableError

FIRST_WAIT = 0.5  # seconds; doubled at each further try
LONGEST_WAIT = 30.0  # a source that asks for more is left to the caller's own retry

_log = logging.getLogger(__name__)
T = TypeVar("T")


class Patience:
    """Tries again what failed for a passing reason. One object is shared by all venue clients of a process.

    Parameters
    ----------
    tries
        Of one request.
    budget
        Seconds for all requests since the last `restart`, or None for no limit.
    sleep, jitter, monotonic
        Wait so many seconds; a number in [0, 1) that spreads the retries of many clients; a clock in seconds that
        never goes back.

    Raises
    ------
    ConfigError
        If `tries` or `budget` leaves no time for even one request.
    """

    def __init__(
        self,
        *,
        tries: int = 4,
        budget: float | None = None,
        sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[], float] = random.random,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        if tries < 1:
            raise ConfigError(f"sources.tries is {tries}. Cure: allow at least 1")
        if budget is not None and budget <= 0:
            raise ConfigError(f"sources.budget_seconds is {budget:g}. Cure: allow more than 0")
        self._tries = tries
        self._budget = math.inf if budget is None else budget
        self._sleep = sleep
        self._jitter = jitter
        self._monotonic = monotonic
        self.restart()

    def restart(self) -> None:
        """Begin the time budget anew, as each invocation does."""
        self._ends = self._monotonic() + self._budget

    def left(self) -> float:
        """Return the seconds left of the budget, at least 0, infinity without one."""
        return max(0.0, self._ends - self._monotonic())

    def retried(self, once: Callable[[], T]) -> T:
        """Return what `once` returns, after further tries if it raises `SourceUnavailableError`.

        A wait longer than `LONGEST_WAIT` or than what is left of the budget is not begun: the error is raised at once.

        Raises
        ------
        SourceUnavailableError
            What the last try raised, or that the budget is used up.
        """
        for attempt in range(1, self._tries + 1):
            self._check()
            try:
                return once()
            except SourceUnavailableError as error:
                wait = self._wait(attempt, error)
                if attempt == self._tries or wait > min(LONGEST_WAIT, self.left()):
                    raise
                said = str(error).partition(" Cure:")[0]
                _log.warning("try %d of %d: %s; next in %.1f s", attempt, self._tries, said, wait)
            self._sleep(wait)
        raise AssertionError("unreachable: the last try returns or raises")

    def _wait(self, attempt: int, error: SourceUnavailableError) -> float:
        """Return the seconds to wait after a try, counted from 1."""
        wait = min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(attempt - 1, 16) * (0.5 + self._jitter()))
        return max(wait, error.retry_after) if isinstance(error, RateLimitedError) else wait

    def _check(self) -> None:
        if self.left() <= 0:
            raise SourceUnavailableError(
                f"the {self._budget:g} s allowed for market sources are used up. What came is stored, and the next run "
                "goes on from there. Cure: run again, or raise sources.budget_seconds"
            )
