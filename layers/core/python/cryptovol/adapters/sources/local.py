"""The simulated and replayed markets, reached through the CryptoCompare client like a live one."""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from cryptovol.adapters.sources.histohour import Histohour
from cryptovol.adapters.sources.venue import VenueSource
from cryptovol.bars import Bars
from cryptovol.errors import ConfigError, UnknownSymbolError
from cryptovol.market.files import stem
from cryptovol.market.markets import Market
from cryptovol.ports import Clock, Origin


class LocalSource:
    """`ports.BarSource` over a made-up market.

    Parameters
    ----------
    make
        Returns the market; called at first use, and only if no URL is set.
    name
        ``simulated`` or ``replay:<file>``.
    url
        A market server that is already there, or None for one of our own, in a thread, until the process ends.
    page_bars, clock
        See `VenueSource`.
    """

    def __init__(
        self, make: Callable[[], Market], *, name: str, url: str | None, page_bars: int, clock: Clock
    ) -> None:  # fmt: skip
        self._make = make
        self._name = name
        self._url = url
        self._page_bars = page_bars
        self._clock = clock
        self._lock = threading.Lock()
        self._client: VenueSource | None = None

    def origin(self, symbol: str, quote: str) -> Origin:
        """Return the market's origin; raise `ConfigError` if the server at the URL serves another market."""
        try:
            found = self._connected().origin(symbol, quote)
        except UnknownSymbolError as error:
            # The client speaks of the venue in whose shape the market answers, which is not whom the user asked.
            raise UnknownSymbolError(
                f"the market {_market(self._name)} has no {symbol}/{quote}. Cure: check symbol and quote"
            ) from error
        wanted = _market(self._name)
        if found.market != wanted:
            raise ConfigError(
                f"CRYPTOVOL_SOURCE is {self._name}, but the server at {self._url} serves the market {found.market!r}, "
                f"not {wanted!r}. Cure: unset CRYPTOVOL_CRYPTOCOMPARE_URL or start the server with the same source"
            )
        return found

    def pages(self, symbol: str, quote: str, *, start: int, end: int) -> Iterator[Bars]:
        """Yield closed bars; see `ports.BarSource`."""
        return self._connected().pages(symbol, quote, start=start, end=end)

    def _connected(self) -> VenueSource:
        with self._lock:
            if self._client is None:
                url = self._url or self._served()
                self._client = VenueSource(Histohour(), url=url, page_bars=self._page_bars, clock=self._clock)
            return self._client

    def _served(self) -> str:
        from cryptovol.market.server import serve

        server = serve(self._make(), clock=self._clock).start()
        atexit.register(server.stop)
        return server.url


def _market(name: str) -> str:
    kind, _, path = name.partition(":")
    return f"replay-{stem(Path(path))}" if kind == "replay" else kind
