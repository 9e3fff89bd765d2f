"""The token bucket: against a slow reference, against its own promise, and under threads."""

from __future__ import annotations

import math
import threading
from fractions import Fraction

import pytest
from chalicelib.limits import MINUTE, SECOND, Limiter
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

RATES = st.integers(1, 7000)
BURSTS = st.integers(1, 12)
# Steps between requests: none, odd nanoseconds, about a token, and long pauses.
STEPS = st.one_of(st.just(0), st.integers(0, 50), st.integers(0, MINUTE), st.integers(0, 3 * MINUTE))
ASKS = st.lists(st.tuples(st.sampled_from("abc"), STEPS), max_size=60)


class Reference:
    """The same bucket in exact fractions, one per caller, never forgotten."""

    def __init__(self, rate: int, burst: int) -> None:
        self.rate = Fraction(rate, MINUTE)
        self.burst = burst
        self.held: dict[str, tuple[Fraction, int]] = {}

    def wait(self, caller: str, now: int) -> int:
        """Return what `Limiter.wait` should."""
        held, at = self.held.get(caller, (Fraction(self.burst), now))
        held = min(Fraction(self.burst), held + (now - at) * self.rate)
        self.held[caller] = (held - 1 if held >= 1 else held, now)
        return 0 if held >= 1 else math.ceil((1 - held) / self.rate / SECOND)


class Time:
    """A clock that a test moves, in nanoseconds."""

    def __init__(self) -> None:
        self.now = 12_345

    def __call__(self) -> int:
        return self.now


@given(RATES, BURSTS, ASKS)
@budget(deadline=None)
def test_limiter_agrees_with_exact_fractions(rate: int, burst: int, asks: list[tuple[str, int]]) -> None:
    """Every answer, admitted or with its wait, is that of a bucket in fractions that forgets nothing."""
    time, reference = Time(), Reference(rate, burst)
    limiter = Limiter(rate, burst, clock=time)
    for caller, step in asks:
        time.now += step
        assert limiter.wait(caller) == reference.wait(caller, time.now)


@given(RATES, BURSTS, ASKS, st.integers(1, 3))
@budget(deadline=None)
def test_no_window_admits_more_than_the_promise(
    rate: int, burst: int, asks: list[tuple[str, int]], callers: int
) -> None:
    """In every window of every caller at most burst + rate × t are admitted, however few buckets are held."""
    time = Time()
    limiter = Limiter(rate, burst, clock=time, callers=callers)
    admitted: dict[str, list[int]] = {}
    for caller, step in asks:
        time.now += step
        if not limiter.wait(caller):
            admitted.setdefault(caller, []).append(time.now)
        assert len(limiter) <= callers + 1
    for at in admitted.values():
        for i, first in enumerate(at):
            for j, last in enumerate(at[i:], start=1):
                assert (j - burst) * MINUTE <= (last - first) * rate


@given(RATES, BURSTS, st.integers(0, 40))
@budget(deadline=None)
def test_who_waits_as_told_is_admitted_and_a_second_earlier_is_not(rate: int, burst: int, spent: int) -> None:
    """Retry-After is the smallest whole number of seconds that is long enough."""
    time = Time()
    limiter = Limiter(rate, burst, clock=time)
    for _ in range(burst + spent):
        wait = limiter.wait("a")
    if not wait:
        wait = limiter.wait("a")
    time.now += (wait - 1) * SECOND
    assert limiter.wait("a") == 1
    time.now += SECOND
    assert limiter.wait("a") == 0


def test_one_caller_does_not_use_up_anothers_rate() -> None:
    """Buckets are apart: who asks too often is refused alone."""
    limiter = Limiter(60, 2, clock=Time())
    assert [limiter.wait("a") for _ in range(3)] == [0, 0, 1]
    assert limiter.wait("b") == 0


def test_memory_stays_bounded_and_full_buckets_are_forgotten() -> None:
    """A flood of addresses holds no more buckets than allowed; once they have filled up again they go."""
    time = Time()
    limiter = Limiter(60, 1, clock=time, callers=100)
    admitted = sum(limiter.wait(f"10.0.{i >> 8}.{i & 255}") == 0 for i in range(5000))
    assert len(limiter) == 101 and admitted == 101  # the newcomers' shared bucket admits one
    time.now += 2 * SECOND
    for _ in range(60):
        limiter.wait("a")
    assert len(limiter) == 1


def test_who_moves_out_of_the_shared_bucket_takes_its_debt_along() -> None:
    """A newcomer that has drawn on the shared bucket does not begin anew when a place becomes free."""
    time = Time()
    limiter = Limiter(60, 2, clock=time, callers=2)
    assert limiter.wait("a") == limiter.wait("c") == 0
    time.now += SECOND * 9 // 10
    assert [limiter.wait("b") for _ in range(3)] == [0, 0, 1]
    time.now += SECOND // 10  # the buckets of a and c are full again and go
    assert limiter.wait("b") == 1


def test_threads_together_get_no_token_too_many() -> None:
    """Sixteen threads at one bucket are admitted exactly as often as it has tokens."""
    limiter = Limiter(1, 500, clock=Time())
    admitted: list[int] = []

    def work() -> None:
        mine = sum(limiter.wait("a") == 0 for _ in range(100))
        admitted.append(mine)

    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(admitted) == 500


@pytest.mark.parametrize(("rate", "burst", "callers"), [(0, 1, 1), (1, 0, 1), (1, 1, 0)])
def test_a_bucket_without_anything_in_it_is_refused(rate: int, burst: int, callers: int) -> None:
    """No limit is the absence of a limiter, never one of zero."""
    with pytest.raises(ValueError, match="at least 1"):
        Limiter(rate, burst, callers=callers)
