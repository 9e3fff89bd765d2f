"""What the demo has to tell: events in their order, each with its time, its source and its evidence."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptovol.times import format_instant


@dataclass(frozen=True)
class Event:
    """One thing that happened.

    Parameters
    ----------
    seconds
        Of wall time since the demo began.
    market
        The market's time, ISO 8601.
    source
        Who says so: ``ledger``, ``Prometheus``, ``scoreboard``, ``store``, ``demo``.
    title
        One sentence.
    evidence
        What the source said, as it said it.
    """

    seconds: float
    market: str
    source: str
    title: str
    evidence: Mapping[str, Any]


@dataclass
class Story:
    """The events so far; each is passed on to `tell` as it comes.

    Parameters
    ----------
    wall
        Returns unix seconds.
    now
        Returns the market's unix seconds.
    """

    wall: Callable[[], float]
    now: Callable[[], int]
    tell: Callable[[Event], None] = lambda event: None
    events: list[Event] = field(default_factory=list)
    began: float = 0.0

    def __post_init__(self) -> None:
        self.began = self.wall()

    @property
    def seconds(self) -> float:
        """Wall seconds since the beginning."""
        return self.wall() - self.began

    def add(self, source: str, title: str, evidence: Mapping[str, Any] | None = None) -> None:
        """Put down what happened now."""
        event = Event(round(self.seconds, 1), format_instant(self.now()), source, title, dict(evidence or {}))
        self.events.append(event)
        self.tell(event)
