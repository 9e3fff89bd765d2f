"""Values kept at hand and looked up again now and then."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from cryptovol.errors import StoreUnavailableError
from cryptovol.ports import Clock

HOLD_SECONDS = 5  # how old a look at the store may be before the next request looks again

T = TypeVar("T")


class Held(Generic[T]):
    """A value read again when it is older than `HOLD_SECONDS`; while the store is away, the old one stays."""

    def __init__(self, read: Callable[[T | None], T], clock: Clock) -> None:
        self._read = read
        self._clock = clock
        self._value: tuple[int, T] | None = None
        self._lock = threading.Lock()

    def get(self) -> T:
        """Return the value; only one caller at a time waits for the store, the others take what there is."""
        known = self._value
        if known is not None and 0 <= self._clock() - known[0] < HOLD_SECONDS:
            return known[1]
        if not self._lock.acquire(blocking=known is None) and known is not None:
            return known[1]
        try:
            return self._renewed()
        finally:
            self._lock.release()

    def _renewed(self) -> T:
        known, now = self._value, self._clock()
        if known is not None and 0 <= now - known[0] < HOLD_SECONDS:
            return known[1]
        try:
            value = self._read(known[1] if known else None)
        except StoreUnavailableError:
            if known is None:
                raise
            value = known[1]
        self._value = (now, value)
        return value
