"""Fakes of live venues whose outages a test decides, and failover between them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from cryptovol import bars as bars_module
from cryptovol.adapters.sources.breaker import Breaker
from cryptovol.adapters.sources.failover import FailoverSource
from cryptovol.bars import Bars
from cryptovol.errors import CryptovolError, SourceUnavailableError
from cryptovol.ports import BarSource, Origin
from cryptovol.settings import VENUES, url_setting
from cryptovol.testing import START, FixedSource
from cryptovol.times import HOUR, parse_instant

NOW = parse_instant("2026-01-01T10:30:00Z")
# Nobody listens there: no test may depend on whether this machine has a network.
NOWHERE = {url_setting(venue): "http://127.0.0.1:9" for venue in VENUES}
StandIn = Callable[..., str]


class Venue(FixedSource):
    """`ports.BarSource` of a live venue over bars in memory; `asked_for` lists every pair its `origin` was asked for.

    Parameters
    ----------
    name
        Stands in every row's `source`.
    refuses
        What `origin` raises, or None; a test may set it between two calls.
    breaks
        Hours of its bars after which `pages` raises, or None.
    error
        What it then raises.
    early
        Whether it yields the bar before `start` again, as a source may.
    """

    def __init__(
        self, bars: Bars, *, name: str, market: str = "live", page_bars: int = 5, refuses: CryptovolError | None = None,
        breaks: int | None = None, error: CryptovolError | None = None, early: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(bars, market=market, source=name, page_bars=page_bars)
        self.name = name
        self.asked_for: list[tuple[str, str]] = []
        self.refuses = refuses
        self.breaks = breaks
        self.early = early
        self.error = error or SourceUnavailableError("the answer broke off")

    def origin(self, symbol: str, quote: str) -> Origin:
        """Return the origin, or raise what the venue says instead."""
        self.asked_for.append((symbol, quote))
        if self.refuses is not None:
            raise self.refuses
        return super().origin(symbol, quote)

    def pages(self, symbol: str, quote: str, *, start: int, end: int) -> Iterator[Bars]:
        """Yield the pair's bars as far as they come."""
        for page in super().pages(symbol, quote, start=start - HOUR * self.early, end=end):
            came = page if self.breaks is None else until(page, self.breaks, since=int(self.bars.time[0]))
            if len(came):
                yield came
            if len(came) < len(page):
                raise self.error


def in_quote(bars: Bars, quote: str) -> Bars:
    """Return the bars as of another quote currency."""
    return replace(bars, quote=np.full(len(bars), quote))


def until(bars: Bars, hours: int, *, since: int = START) -> Bars:
    """Return the bars of so many hours since an instant."""
    return bars.between(since, since + hours * HOUR)


def failover(*venues: Venue, **more: Any) -> FailoverSource:
    """Return a source over venues in the order given, named as they are; two failures open a breaker for a minute."""
    named: dict[str, BarSource] = {venue.name: venue for venue in venues}
    own = {"freshness_hours": 2, "clock": lambda: 0, "breaker": lambda: Breaker(failures=2, seconds=60), **more}
    return FailoverSource(named, **own)


def fetched(source: BarSource, *, start: int, end: int, quote: str = "USD") -> Bars:
    """Return all pages together."""
    return bars_module.concat(source.pages("BTC", quote, start=start, end=end))


def whose(bars: Bars) -> list[tuple[str, int]]:
    """Return the sources in the order of their first row, each with its number of rows."""
    names, first, counts = np.unique(bars.source, return_index=True, return_counts=True)
    return [(str(names[i]), int(counts[i])) for i in np.argsort(first)]
