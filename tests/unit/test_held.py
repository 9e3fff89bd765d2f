"""Values held at hand: renewed beside the requests, and waited for only where there is none, or nobody asked for long."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from cryptovol import held
from cryptovol.errors import ModelNotFoundError, StoreUnavailableError
from cryptovol.held import GIVE_UP_SECONDS, HOLD_SECONDS, IDLE_SECONDS, LOOKS, Held, Shelf, at_once, in_background
from tests.forecasters import eventually


class Bench:
    """A value that counts its looks, a clock moved by hand, and looks that end when the test says so."""

    def __init__(self) -> None:
        self.now = 1000
        self.looks = 0
        self.fault: Exception | None = None
        self.told: list[str] = []
        self.open = threading.Event()
        self.open.set()
        self.jobs: list[Callable[[], None]] = []

    def clock(self) -> int:
        """Return the time by hand."""
        return self.now

    def read(self, before: int | None) -> int:
        """Return the number of the look, once the test lets it."""
        self.looks += 1
        mine = self.looks
        assert self.open.wait(20)
        if self.fault is not None:
            raise self.fault
        return mine

    def hear(self, error: Exception | None) -> None:
        """Note how a look ended."""
        self.told.append(type(error).__name__ if error else "ok")

    def later(self, job: Callable[[], None]) -> bool:
        """Keep a look until the test runs it."""
        self.jobs.append(job)
        return True

    def held(self, start: held.Start = at_once, first: float = 10.0) -> Held[int]:
        """Return a held value over all this."""
        return Held(self.read, self.clock, told=self.hear, start=start, first=first)


@pytest.fixture
def bench() -> Bench:
    """Return a fresh bench."""
    return Bench()


def test_value_is_looked_up_again_when_it_is_old_enough(bench: Bench) -> None:
    """Within the hold nothing is read; at its end, and when the clock was set back, it is."""
    value = bench.held()
    assert [value.get(), value.get()] == [1, 1]
    bench.now += HOLD_SECONDS - 1
    assert value.get() == 1
    bench.now += 1
    assert value.get() == 2
    bench.now -= 500
    assert value.get() == 3


def test_request_with_a_value_does_not_wait_for_a_store_that_hangs(bench: Bench) -> None:
    """While a look hangs, requests get the value there is, and no second look begins."""
    value = bench.held(in_background)
    assert value.get() == 1
    bench.open.clear()
    try:
        for _ in range(50):
            bench.now += HOLD_SECONDS - 4
            started = time.monotonic()
            assert value.get() == 1
            assert time.monotonic() - started < 5  # of 20 that the look hangs
        assert bench.looks == 2
    finally:
        bench.open.set()
    assert eventually(lambda: value.get() == 2)


def test_request_after_an_idle_time_waits_for_the_new_value(bench: Bench) -> None:
    """After a function's sleep the first request gets what is stored now, where the store answers at all."""
    value = bench.held(in_background)
    for turn in range(1, 30):
        assert value.get() == turn
        bench.now += IDLE_SECONDS


def test_waiting_after_an_idle_time_ends(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the store hangs, the wait is short, and all requests share it."""
    monkeypatch.setattr(held, "WAIT_SECONDS", 0.2)
    value = bench.held(in_background)
    assert value.get() == 1
    bench.open.clear()
    try:
        bench.now += IDLE_SECONDS
        started = time.monotonic()
        assert [value.get() for _ in range(100)] == [1] * 100
        assert time.monotonic() - started < 10  # a hundred waits would take 20
    finally:
        bench.open.set()


def test_old_value_stays_while_looks_fail_and_they_go_on(bench: Bench) -> None:
    """A failing store is asked again after each hold; the first look that succeeds counts."""
    value = bench.held()
    value.get()
    bench.fault = StoreUnavailableError("away")
    for _ in range(3):
        bench.now += HOLD_SECONDS
        assert [value.get(), value.get()] == [1, 1]
    bench.fault = None
    bench.now += HOLD_SECONDS
    assert value.get() == 5
    assert bench.told == ["ok", *["StoreUnavailableError"] * 3, "ok"]


def test_first_look_that_fails_raises_its_own_error_and_the_next_tries_again(bench: Bench) -> None:
    """Without a value the error is the caller's, and it is not remembered."""
    bench.fault = ModelNotFoundError("none")
    value = bench.held(in_background)
    with pytest.raises(ModelNotFoundError, match="none"):
        value.get()
    assert value.empty
    bench.fault = None
    assert value.get() == 2


def test_first_look_is_waited_for_up_to_a_limit(bench: Bench) -> None:
    """A store that hangs from the start gives an error in time, told once, and the look still brings the value."""
    bench.open.clear()
    value = bench.held(in_background, first=0.05)
    try:
        for _ in range(2):
            with pytest.raises(StoreUnavailableError, match="has not answered for 0.05 s"):
                value.get()
        assert bench.looks == 1 and not value.empty and bench.told == ["StoreUnavailableError"]
    finally:
        bench.open.set()
    assert eventually(lambda: bench.told[-1] == "ok")
    assert value.get() == 1


def test_look_that_takes_too_long_is_replaced_and_never_overwrites_a_newer_one(bench: Bench) -> None:
    """A look frozen with its function for minutes is given up; what it brings in the end is older and ignored."""
    value = bench.held(bench.later, first=0.0)
    with pytest.raises(StoreUnavailableError):
        value.get()
    bench.now += GIVE_UP_SECONDS
    with pytest.raises(StoreUnavailableError):
        value.get()
    frozen, second = bench.jobs
    second()
    assert value.get() == 1
    bench.looks = 99
    frozen()
    assert value.get() == 1


def test_looks_at_once_are_bounded(bench: Bench) -> None:
    """A store that hangs collects so many threads and no more; a request without a value is told."""
    bench.open.clear()
    try:
        others = [bench.held(in_background, first=0.0) for _ in range(LOOKS)]
        for other in others:
            with pytest.raises(StoreUnavailableError):
                other.get()
        with pytest.raises(StoreUnavailableError, match=f"{LOOKS} looks"):
            bench.held(in_background).get()
    finally:
        bench.open.set()
    assert eventually(lambda: bench.told.count("ok") == LOOKS)
    assert sorted(other.get() for other in others) == list(range(1, LOOKS + 1))


def test_shelf_forgets_names_that_nothing_is_found_for(bench: Bench) -> None:
    """Anybody may ask for any name: only those with a value, or a look under way, are kept."""

    def read(name: str, before: int | None) -> int:
        if name != "known":
            raise ModelNotFoundError(name)
        return 7

    shelf = Shelf(read, bench.clock, start=at_once)
    for name in map(str, range(1000)):
        with pytest.raises(ModelNotFoundError):
            shelf.get(name)
    assert shelf.get("known") == 7 and list(shelf._held) == ["known"]


def test_prepared_name_is_looked_up_once_while_the_caller_does_something_else(bench: Bench) -> None:
    """To prepare waits for nothing, not even for a store that hangs, and the value is taken from the same look."""
    bench.open.clear()
    shelf: Shelf[str, int] = Shelf(lambda name, before: bench.read(before), bench.clock, start=in_background)
    shelf.prepare("name")
    bench.open.set()
    assert shelf.get("name") == 1 and bench.looks == 1
    shelf.prepare("name")
    assert bench.looks == 1


def test_threads_share_one_first_look(bench: Bench) -> None:
    """Sixteen threads at a cold start look once and get the same."""
    bench.open.clear()
    value, found = bench.held(in_background), []
    threads = [threading.Thread(target=lambda: found.append(value.get())) for _ in range(16)]
    for thread in threads:
        thread.start()
    bench.open.set()
    for thread in threads:
        thread.join()
    assert found == [1] * 16 and bench.looks == 1
