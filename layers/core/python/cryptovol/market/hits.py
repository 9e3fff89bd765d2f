"""What a fault is, and which requests it hits."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cryptovol.bars import Bars, Ints, Mask
from cryptovol.market.shapes.shape import Asked, Moment, Row, Shape
from cryptovol.market.wires import Reply, Wire, send_whole


@dataclass(frozen=True)
class Fault:
    """Something a venue does wrong; each step of an answer may be spoilt, and those that are not stay as they are.

    Parameters
    ----------
    name, about
        Its name on the command line, and one line for a person.
    times
        How many requests it hits; None for all.
    after
        How many requests pass before.
    everywhere
        Whether it hits every request; by default only those for bars.
    pause
        Seconds: between two bytes of a drip, and what `Retry-After` says.
    moment
        Changes what is known when.
    named
        Changes the pair that the answer names.
    bars
        Changes the bars of a page, which are oldest first.
    rows
        Changes the venue's rows; the place of the close in a row comes with them.
    reply
        Changes the answer's status, headers and bytes.
    send
        Sends it.
    """

    name: str
    about: str
    times: int | None = None
    after: int = 0
    everywhere: bool = False
    pause: float = 1.0
    moment: Callable[[Moment], Moment] = lambda moment: moment
    named: Callable[[Asked], Asked] = lambda asked: asked
    bars: Callable[[Bars, Hit], Bars] = lambda bars, hit: bars
    rows: Callable[[list[Row], str | int], list[Row]] = lambda rows, close: rows
    reply: Callable[[Reply, Shape, Hit], Reply] = lambda reply, shape, hit: reply
    send: Callable[[Wire, Reply, float], None] = send_whole


@dataclass(frozen=True)
class Hit:
    """One request that a fault hits: the how-manieth, from 0, the server's clock in unix seconds, and for which pair."""

    fault: Fault
    number: int
    clock: int
    plan: Plan
    pair: tuple[str, str] = ("", "")


class Plan:
    """Counts the requests to a server, decides which ones its fault hits, and remembers what they were told."""

    def __init__(self, fault: Fault | None) -> None:
        self._fault = fault
        self._lock = threading.Lock()
        self._passed = 0
        self._told: dict[tuple[str, str], Ints] = {}

    def hit(self, clock: int, *, for_bars: bool) -> Hit | None:
        """Return how the next request is hit, or None if it is spared."""
        fault = self._fault
        if fault is None or not (for_bars or fault.everywhere):
            return None
        with self._lock:
            number = self._passed - fault.after
            self._passed += 1
        if number < 0 or (fault.times is not None and number >= fault.times):
            return None
        return Hit(fault, number, clock, self)

    def first_told(self, pair: tuple[str, str], time: Ints) -> Mask:
        """Return which hours of a pair were never told before; from now on all of them are."""
        with self._lock:
            told = self._told.get(pair, np.empty(0, dtype=np.int64))
            self._told[pair] = np.union1d(told, time)
        return ~np.isin(time, told)
