"""How often one caller may ask: a token bucket per caller, in whole numbers, in bounded memory.

A bucket holds `burst` tokens, a request takes one, and `rate` come back each minute. So no window of t seconds admits
more than ``burst + rate × t / 60`` requests of one caller. Time is whole nanoseconds, and a token is as many parts as a
minute has nanoseconds, so nothing is ever rounded.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

MINUTE = 60_000_000_000  # nanoseconds; and the parts of one token, of which each nanosecond brings back `rate`
SECOND = 1_000_000_000
CALLERS = 10_000  # buckets held at most, about 2 MB
SHARED = ""  # whose bucket is that of all newcomers once there are so many


class Limiter:
    """Token buckets by caller. Safe under threads.

    A bucket that has filled up again says no more than an absent one, and is forgotten. Once `callers` others are in
    use, all newcomers share one bucket: that may refuse some of them early and never admits one too often.

    Parameters
    ----------
    rate
        Requests a minute, at least 1.
    burst
        Requests at once, at least 1.
    clock
        Returns monotonic nanoseconds.
    callers
        How many buckets are held.
    """

    def __init__(
        self, rate: int, burst: int, *, clock: Callable[[], int] = time.monotonic_ns, callers: int = CALLERS
    ) -> None:
        if rate < 1 or burst < 1 or callers < 1:
            raise ValueError(f"rate {rate}, burst {burst} and callers {callers} must each be at least 1")
        self._rate = rate
        self._full = burst * MINUTE
        self._clock = clock
        self._callers = callers
        # By caller: the parts its bucket held, and when; who asked longest ago is first.
        self._buckets: OrderedDict[str, tuple[int, int]] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Return how many buckets are held."""
        return len(self._buckets)

    def wait(self, caller: str) -> int:
        """Take a token and return 0; or, if there is none, take nothing and return how many whole seconds to wait."""
        with self._lock:
            now = self._clock()
            self._forget(now)
            name = caller if caller in self._buckets or len(self._buckets) < self._callers else SHARED
            # Who has no bucket yet may have taken from the shared one, and begins with what that has left.
            held = self._level(self._buckets.get(name) or self._buckets.get(SHARED) or (self._full, now), now)
            admitted = held >= MINUTE
            self._buckets[name] = (held - MINUTE if admitted else held, now)
            self._buckets.move_to_end(name)
        return 0 if admitted else -((held - MINUTE) // (self._rate * SECOND))

    def _level(self, bucket: tuple[int, int], now: int) -> int:
        held, at = bucket
        return min(self._full, held + (now - at) * self._rate)

    def _forget(self, now: int) -> None:
        """Drop up to two of those who asked longest ago, if their buckets are full again: more leave than come."""
        for _ in range(2):
            first = next(iter(self._buckets), None)
            if first is None or self._level(self._buckets[first], now) < self._full:
                return
            del self._buckets[first]
