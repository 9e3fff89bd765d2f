"""Values kept at hand and looked up again beside the requests, so that no request with a value waits for a store.

A look runs in a thread of its own, one at a time per value. A request takes the value there is; only where nobody asked
for `IDLE_SECONDS`, as after a Lambda function's sleep, does it wait for the new one, and then for a moment. A first
look is waited for, up to a limit.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Generic, TypeVar

from cryptovol.errors import StoreUnavailableError
from cryptovol.ports import Clock

HOLD_SECONDS = 5  # how old a look at the store may be before a request has it renewed
IDLE_SECONDS = 20  # how old before a request waits for the renewal
WAIT_SECONDS = 0.5  # for how long it does, counted from the renewal's start: one slow look costs this once in all
FIRST_SECONDS = 10.0  # how long a request waits where there is no value yet
GIVE_UP_SECONDS = 60  # a look that takes longer is no longer counted on, and another one starts
LOOKS = 32  # at once in a process; a store that hangs must not collect threads without end

K = TypeVar("K")
T = TypeVar("T")
Start = Callable[[Callable[[], None]], bool]
Told = Callable[[Exception | None], None]

_ROOM = threading.BoundedSemaphore(LOOKS)


def in_background(job: Callable[[], None]) -> bool:
    """Run a job in a daemon thread; return False, and do nothing, while `LOOKS` of them are running."""
    if not _ROOM.acquire(blocking=False):
        return False

    def run() -> None:
        try:
            job()
        finally:
            _ROOM.release()

    try:
        threading.Thread(target=run, name="cryptovol-look", daemon=True).start()
    except RuntimeError:  # the system gives no more threads
        _ROOM.release()
        return False
    return True


def at_once(job: Callable[[], None]) -> bool:
    """Run a job in the caller's thread: for tests and programs that want the newest value however long it takes."""
    job()
    return True


def unheard(error: Exception | None) -> None:
    """Be told what came of a look, and do nothing."""


class _Look:
    """One look at the store: since when it runs, and what became of it."""

    def __init__(self, number: int, clock: Clock) -> None:
        self.number = number
        self.began = clock()
        self.started = time.monotonic()
        self.done = threading.Event()
        self.error: Exception | None = None
        self.overdue = False

    def wait(self, seconds: float) -> bool:
        """Wait until the look is `seconds` old at most; return whether it is over."""
        return self.done.wait(max(0.0, self.started + seconds - time.monotonic()))


class Held(Generic[T]):
    """A value that is renewed when it is older than `HOLD_SECONDS`; while that fails, the old one stays.

    Parameters
    ----------
    read
        Returns the value; is given the one before, or None.
    clock
        Unix seconds.
    told
        Hears after each look that ended None or the error, and once of a look that is overdue.
    start
        Runs a look: `in_background`, or `at_once`.
    first, wait
        Seconds to wait for the first value, and for a new one after an idle time; None for the module's.
    """

    def __init__(
        self, read: Callable[[T | None], T], clock: Clock, *, told: Told = unheard, start: Start = in_background,
        first: float | None = None, wait: float | None = None,
    ) -> None:  # fmt: skip
        self._read = read
        self._clock = clock
        self._told = told
        self._start = start
        self._first = FIRST_SECONDS if first is None else first
        self._wait = WAIT_SECONDS if wait is None else wait
        self._lock = threading.Lock()
        self._known: tuple[T] | None = None
        self._look: _Look | None = None
        self._ended = 0  # by the clock, the newest look
        self._begun = 0  # looks
        self._number = 0  # of the look that gave the value

    @property
    def empty(self) -> bool:
        """Whether there is neither a value nor a look that may bring one."""
        return self._known is None and self._look is None

    def prepare(self) -> None:
        """Start the first look, if there was none, and wait for nothing."""
        if self._known is None:
            self._running()

    def get(self) -> T:
        """Return the value.

        Raises
        ------
        StoreUnavailableError
            If there is none yet and the store does not give it in time.
        Exception
            If there is none yet, whatever else the look raised.
        """
        known = self._known
        if known is None:
            return self._awaited()
        age = self._clock() - self._ended
        if 0 <= age < HOLD_SECONDS:
            return known[0]
        look = self._running()
        if look is not None and not 0 <= age < IDLE_SECONDS:
            look.wait(self._wait)
        return (self._known or known)[0]

    def _awaited(self) -> T:
        look = self._running()
        if look is None:
            raise StoreUnavailableError(f"{LOOKS} looks at the store are waiting for it already; try again")
        if not look.wait(self._first):
            self._tell_overdue(look)
            raise StoreUnavailableError(f"the store has not answered for {self._first:g} s; try again")
        if self._known is not None:
            return self._known[0]
        assert look.error is not None, "a look that is over gave a value or an error"
        raise look.error

    def _running(self) -> _Look | None:
        """Return the look that is running, after starting it if none is; None if none can be started."""
        with self._lock:
            look = self._look
            if look is not None and 0 <= self._clock() - look.began < GIVE_UP_SECONDS:
                fresh = None
            else:
                self._begun += 1
                look = fresh = self._look = _Look(self._begun, self._clock)
        if fresh is None:
            if not look.done.is_set() and time.monotonic() - look.started > FIRST_SECONDS:
                self._tell_overdue(look)
            return look
        if self._start(partial(self._run, fresh)):
            return fresh
        with self._lock:
            self._look = None
        return None

    def _tell_overdue(self, look: _Look) -> None:
        if not look.overdue:
            look.overdue = True
            self._told(StoreUnavailableError("the store takes longer than it may"))

    def _run(self, look: _Look) -> None:
        known = self._known
        value: tuple[T] | None = None
        try:
            value = (self._read(known[0] if known else None),)
        except Exception as error:  # whatever it is, it belongs to those who wait, not to this thread
            look.error = error
        with self._lock:
            if value is not None and look.number > self._number:
                self._known, self._number = value, look.number
            if self._look is look:
                self._look, self._ended = None, self._clock()
        try:
            self._told(look.error)
        finally:
            look.done.set()


class Shelf(Generic[K, T]):
    """One held value per name; a name whose first look fails is not remembered, for anybody may ask for any.

    Parameters
    ----------
    read
        Returns a name's value; is given the name, and the value before or None.
    clock, told, start, first, wait
        See `Held`.
    """

    def __init__(
        self, read: Callable[[K, T | None], T], clock: Clock, *, told: Told = unheard, start: Start = in_background,
        first: float | None = None, wait: float | None = None,
    ) -> None:  # fmt: skip
        self._read = read
        self._make = partial(Held[T], clock=clock, told=told, start=start, first=first, wait=wait)
        self._held: dict[K, Held[T]] = {}

    def prepare(self, name: K) -> None:
        """Start the first look for a name that is known to be one; see `Held.prepare`."""
        if name not in self._held:
            self._of(name).prepare()

    def get(self, name: K) -> T:
        """Return a name's value; see `Held.get`."""
        held = self._held.get(name) or self._of(name)
        try:
            return held.get()
        except Exception:
            if held.empty:
                self._held.pop(name, None)
            raise

    def _of(self, name: K) -> Held[T]:
        return self._held.setdefault(name, self._make(partial(self._read, name)))
