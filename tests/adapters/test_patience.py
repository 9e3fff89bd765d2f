"""Tries and the time budget: what is tried again, after how long, and when no more."""

import logging
from collections.abc import Callable
from typing import Any

import pytest

from cryptovol.adapters.sources.patience import LONGEST_WAIT, Patience
from cryptovol.errors import (
    AccessError,
    BarSchemaError,
    ConfigError,
    CryptovolError,
    RateLimitedError,
    SourceUnavailableError,
)


class Time:
    """A clock that moves when someone sleeps."""

    def __init__(self) -> None:
        self.now = 100.0
        self.waits: list[float] = []

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.waits.append(seconds)
        self.now += seconds


def patience(time: Time, *, tries: int = 4, budget: float | None = None, jitter: float = 0.5) -> Patience:
    """Return patience that does not really wait."""
    return Patience(
        tries=tries, budget=budget, sleep=time.sleep, jitter=lambda: jitter, monotonic=lambda: time.now
    )  # fmt: skip


def failing(time: Time, *errors: CryptovolError, takes: float = 0.0) -> Callable[[], str]:
    """Return a request that fails in turn, each time after so many seconds, and then succeeds."""
    left = list(errors)

    def once() -> str:
        time.now += takes
        if left:
            raise left.pop(0)
        return "bars"

    return once


def down() -> SourceUnavailableError:
    """Return a passing failure."""
    return SourceUnavailableError("it is down. Cure: none")


def test_passing_failures_are_tried_again_later_and_later(caplog: Any) -> None:
    """Waits double; each is logged without the cure, which is for the last error."""
    time = Time()
    with caplog.at_level(logging.WARNING):
        assert patience(time).retried(failing(time, down(), down(), down())) == "bars"
    assert time.waits == [0.5, 1.0, 2.0]
    assert "try 3 of 4: it is down.; next in 2.0 s" in caplog.text and "Cure" not in caplog.text


@pytest.mark.parametrize(("jitter", "wait"), [(0.0, 0.25), (0.999, 0.7495)])
def test_jitter_spreads_the_waits(jitter: float, wait: float) -> None:
    """A wait lies between half and one and a half of its nominal length."""
    time = Time()
    patience(time, jitter=jitter).retried(failing(time, down()))
    assert time.waits == [pytest.approx(wait)]


def test_the_last_try_raises() -> None:
    """A source that stays down is an error after bounded tries, and not after one wait more."""
    time = Time()
    with pytest.raises(SourceUnavailableError, match="it is down"):
        patience(time, tries=2).retried(failing(time, down(), down()))
    assert time.waits == [0.5]


def test_many_tries_never_wait_longer_than_the_longest() -> None:
    """Doubling stops at the longest wait, however many tries there are."""
    time = Time()
    assert patience(time, tries=40, jitter=0.9).retried(failing(time, *(down() for _ in range(39)))) == "bars"
    assert max(time.waits) == LONGEST_WAIT and len(time.waits) == 39


def test_a_wait_that_is_asked_for_is_kept() -> None:
    """A short wait is waited, even with a small one due; a long one is left to the caller at once."""
    time = Time()
    with pytest.raises(RateLimitedError) as error:
        patience(time).retried(failing(time, RateLimitedError("slow", 9.0), RateLimitedError("slow", 3000.0)))
    assert time.waits == [9.0] and error.value.retry_after == 3000.0


@pytest.mark.parametrize("error", [AccessError("no"), BarSchemaError("no"), ConfigError("no")])
def test_what_does_not_pass_is_not_tried_again(error: CryptovolError) -> None:
    """A refusal and broken rows are raised as they come."""
    time = Time()
    with pytest.raises(type(error)):
        patience(time).retried(failing(time, error))
    assert not time.waits


def test_a_wait_beyond_the_budget_is_not_begun() -> None:
    """With less time left than the wait, the failure itself is raised, and no time is lost."""
    time = Time()
    with pytest.raises(SourceUnavailableError, match="it is down"):
        patience(time, budget=10.2).retried(failing(time, down(), down(), takes=9.0))
    assert time.waits == [0.5] and time.now == 118.5


def test_a_used_up_budget_asks_no_more_and_says_what_happens_next() -> None:
    """All requests share the budget; once it is gone nothing is asked, until it begins anew."""
    time = Time()
    shared = patience(time, budget=60.0)
    time.now += 59.0
    assert shared.left() == 1.0 and shared.retried(failing(time)) == "bars"
    time.now += 5.0
    assert shared.left() == 0.0
    with pytest.raises(SourceUnavailableError, match="60 s .* used up. What came is stored, and the next run goes on"):
        shared.retried(failing(time, AccessError("was asked")))
    shared.restart()
    assert shared.left() == 60.0 and shared.retried(failing(time)) == "bars"


def test_without_a_budget_time_has_no_end() -> None:
    """No budget means no limit."""
    assert patience(Time()).left() == float("inf")


@pytest.mark.parametrize("more", [{"tries": 0}, {"budget": 0.0}, {"budget": -1.0}])
def test_impossible_limits_are_usage_errors(more: dict[str, Any]) -> None:
    """Limits under which nothing could be asked name their parameter."""
    with pytest.raises(ConfigError, match=r"sources\.(tries|budget_seconds)"):
        patience(Time(), **more)
