"""The circuit breaker, walked through at random beside a plain account of what it should do."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from cryptovol.adapters.sources.breaker import Breaker

SECONDS = 60


def opened(failures: int = 3) -> Breaker:
    """Return a breaker that opened at 0."""
    breaker = Breaker(failures=failures, seconds=SECONDS)
    for _ in range(failures):
        breaker.failed(0)
    return breaker


def test_breaker_opens_at_the_last_of_so_many_failures_in_a_row():
    """One failure fewer keeps it closed; a delivery in between begins the count anew."""
    breaker = Breaker(failures=3, seconds=SECONDS)
    for _ in range(2):
        breaker.failed(0)
        breaker.failed(0)
        assert breaker.state(0) == "closed" and breaker.admits(0)
        breaker.delivered()
    for _ in range(3):
        breaker.failed(0)
    assert breaker.state(0) == "open" and not breaker.admits(0)


def test_half_open_breaker_admits_one_trial():
    """After its time one call goes through; the others wait for what comes of it, but not for ever."""
    breaker = opened()
    assert not breaker.admits(SECONDS - 1)
    assert breaker.admits(SECONDS) and not breaker.admits(SECONDS + 1)
    assert breaker.admits(2 * SECONDS)


def test_a_failed_trial_opens_it_for_the_whole_time_again():
    """The time counts from the trial's failure."""
    breaker = opened()
    assert breaker.admits(SECONDS)
    breaker.failed(SECONDS + 5)
    assert breaker.state(2 * SECONDS + 4) == "open" and breaker.state(2 * SECONDS + 5) == "half open"


def test_an_answered_trial_closes_it_on_probation():
    """The next failure opens it at once; after a delivery it takes the full number."""
    breaker = opened()
    assert breaker.admits(SECONDS)
    breaker.answered()
    assert breaker.state(SECONDS) == "closed"
    breaker.failed(SECONDS)
    assert breaker.state(SECONDS) == "open"
    breaker.delivered()
    breaker.failed(SECONDS)
    assert breaker.state(SECONDS) == "closed"


def test_a_venue_that_answers_but_never_delivers_is_left_alone():
    """Answers between failures do not clear the count: each run would find it sound and lose its time on it."""
    breaker = Breaker(failures=3, seconds=SECONDS)
    for _ in range(3):
        assert breaker.admits(0)
        breaker.answered()
        breaker.failed(0)
    assert breaker.state(0) == "open"


class Walk(RuleBasedStateMachine):
    """Any calls in any order, as failover makes them: an outcome follows an admission."""

    def __init__(self) -> None:
        super().__init__()
        self.breaker = Breaker(failures=3, seconds=SECONDS)
        self.now = 0
        self.since_delivery = 0
        self.last_failure = 0
        self.asking = False

    @rule(seconds=st.integers(0, 2 * SECONDS))
    def wait(self, seconds):
        self.now += seconds

    @precondition(lambda self: not self.asking)
    @rule()
    def ask(self):
        before = self.breaker.state(self.now)
        self.asking = self.breaker.admits(self.now)
        assert self.asking == (before != "open")

    @precondition(lambda self: self.asking)
    @rule()
    def fail(self):
        tried = self.breaker.state(self.now) == "half open"
        self.breaker.failed(self.now)
        self.since_delivery += 1
        self.last_failure = self.now
        self.asking = False
        assert not tried or self.breaker.state(self.now) == "open"

    @precondition(lambda self: self.asking)
    @rule()
    def deliver(self):
        self.breaker.delivered()
        self.since_delivery = 0
        self.asking = False
        assert self.breaker.state(self.now) == "closed"

    @invariant()
    def is_open_only_soon_after_enough_failures(self):
        if self.breaker.state(self.now) == "open":
            assert self.since_delivery >= 3 and self.now < self.last_failure + SECONDS
        if self.breaker.state(self.now) == "closed":
            assert self.since_delivery < 3


TestWalk = Walk.TestCase
TestWalk.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
