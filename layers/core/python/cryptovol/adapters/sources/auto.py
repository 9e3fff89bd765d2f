"""`auto`: live venues where one can be reached, else the simulated market, and it says which."""

from __future__ import annotations

import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from cryptovol.adapters.sources.refusals import reached
from cryptovol.bars import Bars
from cryptovol.errors import CryptovolError
from cryptovol.ports import BarSource, Origin

PROBE_SECONDS = 4.0  # to reach one venue of several; a network that is there answers within one


class AutoSource:
    """`ports.BarSource` that settles at its first use on live bars or on made-up ones, and keeps to that.

    Parameters
    ----------
    live
        The venues.
    names
        Their names, for the message.
    reachable
        Returns whether any of them answers, be it with a refusal; called once.
    last
        Makes the simulated source, used only if none does.
    """

    def __init__(
        self, live: BarSource, *, names: Sequence[str], reachable: Callable[[], bool], last: Callable[[], BarSource]
    ) -> None:
        self._live = live
        self._names = names
        self._reachable = reachable
        self._last = last
        self._chosen: BarSource | None = None

    def origin(self, symbol: str, quote: str) -> Origin:
        """Return the chosen source's origin."""
        return self._settled().origin(symbol, quote)

    def pages(self, symbol: str, quote: str, *, start: int, end: int) -> Iterator[Bars]:
        """Yield closed bars of the chosen source; see `ports.BarSource`."""
        return self._settled().pages(symbol, quote, start=start, end=end)

    def _settled(self) -> BarSource:
        if self._chosen is None:
            self._chosen = self._live if self._reachable() else self._simulated()
        return self._chosen

    def _simulated(self) -> BarSource:
        why = f"none of {', '.join(self._names)} can be reached" if self._names else "no market source is set up"
        cure = "check the network for real bars, or set CRYPTOVOL_SOURCE to choose"
        print(f"cryptovol: {why}; using the SIMULATED market ({cure})", file=sys.stderr)
        return self._last()


def any_answers(calls: Sequence[Callable[[], object]], *, seconds: float = PROBE_SECONDS) -> bool:
    """Return whether one of several calls to servers is answered in time, be it with a refusal; all run at once.

    A call that hangs is left behind: a dead network may take minutes to say so.
    """
    answers: queue.SimpleQueue[bool] = queue.SimpleQueue()
    for call in calls:
        threading.Thread(target=lambda call=call: answers.put(_is_answered(call)), name="probe", daemon=True).start()
    deadline = time.monotonic() + seconds
    for _ in calls:
        try:
            if answers.get(timeout=max(0.0, deadline - time.monotonic())):
                return True
        except queue.Empty:
            return False
    return False


def _is_answered(call: Callable[[], object]) -> bool:
    try:
        call()
    except CryptovolError as error:
        return reached(error)
    return True
