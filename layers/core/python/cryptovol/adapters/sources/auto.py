"""`auto`: the first venue on the network that answers, else the simulated market, and it says which."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Mapping

from cryptovol.bars import Bars
from cryptovol.errors import SourceUnavailableError
from cryptovol.ports import BarSource, Origin

_log = logging.getLogger(__name__)


class AutoSource:
    """`ports.BarSource` that settles on one source at its first use and keeps to it.

    Parameters
    ----------
    venues
        Sources on the network by name, in the order in which they are tried.
    last
        Makes the simulated source; used only when no venue is set up or none can be reached over the network. A
        venue that answers, even with a refusal, is never replaced by made-up bars.
    """

    def __init__(self, venues: Mapping[str, BarSource], *, last: Callable[[], BarSource]) -> None:
        self._venues = venues
        self._last = last
        self._chosen: BarSource | None = None

    def origin(self, symbol: str, quote: str) -> Origin:
        """Return the chosen source's origin."""
        if self._chosen is not None:
            return self._chosen.origin(symbol, quote)
        refused: SourceUnavailableError | None = None
        for name, venue in self._venues.items():
            try:
                origin = venue.origin(symbol, quote)
            except SourceUnavailableError as error:
                # Only a failed connection has an OSError for its cause; everything else is an answer.
                refused = refused if isinstance(error.__cause__, OSError) else error
                _log.warning("market source %s does not answer: %s", name, error)
                continue
            self._chosen = venue
            return origin
        if refused is not None:
            raise refused
        return self._simulated(symbol, quote)

    def pages(self, symbol: str, quote: str, *, start: int, end: int) -> Iterator[Bars]:
        """Yield closed bars of the chosen source; see `ports.BarSource`."""
        if self._chosen is None:
            self.origin(symbol, quote)
        assert self._chosen is not None
        return self._chosen.pages(symbol, quote, start=start, end=end)

    def _simulated(self, symbol: str, quote: str) -> Origin:
        source = self._last()
        origin = source.origin(symbol, quote)
        why = f"none of {', '.join(self._venues)} can be reached" if self._venues else "no market source is set up"
        cure = "set CRYPTOVOL_CRYPTOCOMPARE_KEY for real bars, or CRYPTOVOL_SOURCE to choose"
        print(f"cryptovol: {why}; using the SIMULATED market ({cure})", file=sys.stderr)
        self._chosen = source
        return origin
