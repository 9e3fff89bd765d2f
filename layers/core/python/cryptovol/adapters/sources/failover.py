"""Several venues as one source: the first that serves, and the next one for whatever it fails to bring."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from cryptovol.adapters.sources.breaker import Breaker
from cryptovol.adapters.sources.refusals import Said, brief, passing, told
from cryptovol.bars import Bars
from cryptovol.errors import AccessError, ConfigError, CryptovolError, SourceUnavailableError, UnknownSymbolError
from cryptovol.ports import BarSource, Clock, Origin
from cryptovol.times import HOUR, format_instant

_log = logging.getLogger(__name__)


@dataclass
class _Stream:
    """How far a pair's pages have come; `at` is the opening time of the next bar wanted."""

    symbol: str
    market: str
    at: int
    end: int
    said: Said
    broke: bool = False
    ended: bool = False
    fresh: bool = False


class FailoverSource:
    """`ports.BarSource` over venues of one market at a time; it never makes bars up.

    Parameters
    ----------
    venues
        Sources by venue, in the order in which they are tried.
    stand_ins
        Quotes that are asked for where a venue has no market in the one wanted; rows keep the quote they came in.
    freshness_hours
        A venue whose newest bar closed longer before the end of what is wanted hands over to the next.
    breaker
        Makes a venue's circuit breaker.
    clock
        Returns unix seconds.
    left
        Returns the seconds left for all requests; with none left no further venue is tried.
    """

    def __init__(
        self,
        venues: Mapping[str, BarSource],
        *,
        stand_ins: Sequence[str] = (),
        freshness_hours: int,
        breaker: Callable[[], Breaker],
        clock: Clock,
        left: Callable[[], float] = lambda: math.inf,
    ) -> None:
        self._venues = venues
        self._stand_ins = tuple(stand_ins)
        self._freshness = freshness_hours * HOUR
        self._breakers = {name: breaker() for name in venues}
        self._clock = clock
        self._left = left
        self._barred: dict[str, AccessError] = {}
        self._chosen: dict[tuple[str, str], tuple[int, str, Said]] = {}

    def origin(self, symbol: str, quote: str) -> Origin:
        """Return the origin at the first venue that serves the pair, all being tried anew.

        Raises
        ------
        CryptovolError
            If none does: of the kind that says most, with what each venue said.
        """
        said: Said = {}
        for place, (name, own) in enumerate(self._asks(quote)):
            origin = self._asked(name, symbol, own, said)
            if origin is not None:
                self._chosen[symbol, quote] = (place, origin.market, said)
                return origin
            if self._left() <= 0:
                break
        raise told(f"{symbol}/{quote}", said)

    def pages(self, symbol: str, quote: str, *, start: int, end: int) -> Iterator[Bars]:
        """Yield closed bars, each hour once, oldest page first; see `ports.BarSource`.

        What a venue does not bring, because it breaks off, is stale, or does not go back that far, the next one of the
        same market is asked for, from the hour after the last bar on.

        Raises
        ------
        CryptovolError
            If a venue broke off and no other went on to the end, or no venue served at all.
        """
        if (symbol, quote) not in self._chosen:
            self.origin(symbol, quote)
        first, market, said = self._chosen[symbol, quote]
        stream = _Stream(symbol, market, start + -start % HOUR, end, dict(said))
        for place, (name, own) in enumerate(self._asks(quote)):
            if place < first:
                continue
            if stream.at + HOUR > end or stream.fresh:
                return
            if place == first or (self._left() > 0 and self._continues(name, own, stream)):
                yield from self._delivered(name, own, stream)
        if stream.at + HOUR > end:
            return
        if not stream.ended or (stream.broke and stream.at + self._freshness < end):
            raise told(f"{symbol}/{quote}", stream.said)

    def _asks(self, quote: str) -> list[tuple[str, str]]:
        """Return venues and quotes in the order in which they are tried: all of them in one quote, then in the next."""
        return [(name, own) for own in dict.fromkeys((quote, *self._stand_ins)) for name in self._venues]

    def _asked(self, name: str, symbol: str, quote: str, said: Said) -> Origin | None:
        """Return the venue's origin, or None with what it said instead."""
        if not passing(said.get(name)):
            return None  # it failed in another quote a moment ago
        refused = self._barred.get(name) or self._left_alone(name)
        if refused is not None:
            said[name] = refused
            return None
        try:
            origin = self._venues[name].origin(symbol, quote)
        except CryptovolError as error:
            self._note(name, error)
            said[name] = error
            return None
        self._breakers[name].answered()
        return origin

    def _left_alone(self, name: str) -> CryptovolError | None:
        if self._breakers[name].admits(self._clock()):
            return None
        return SourceUnavailableError("it failed too often in a row and is left alone for now")

    def _note(self, name: str, error: CryptovolError) -> None:
        """Remember what a venue's error says of its health."""
        level = logging.INFO if isinstance(error, UnknownSymbolError) else logging.WARNING
        _log.log(level, "market source %s: %s", name, brief(error))
        if isinstance(error, AccessError):
            self._barred[name] = error
        if passing(error):
            self._breakers[name].answered()
        elif self._left() > 0:  # else it may have been cut short by us
            self._breakers[name].failed(self._clock())

    def _continues(self, name: str, quote: str, stream: _Stream) -> bool:
        """Return whether a venue can go on where another stopped."""
        origin = self._asked(name, stream.symbol, quote, stream.said)
        if origin is None:
            return False
        if origin.market != stream.market:
            stream.said[name] = ConfigError(f"it serves the market {origin.market!r}, not {stream.market!r}")
            return False
        _log.warning("%s: %s goes on from %s", stream.symbol, name, format_instant(stream.at))
        return True

    def _delivered(self, name: str, quote: str, stream: _Stream) -> Iterator[Bars]:
        """Yield what one venue has of the rest of a stream, and note how it ends."""
        began = stream.at
        try:
            for page in self._venues[name].pages(stream.symbol, quote, start=stream.at, end=stream.end):
                rest = page.take(page.time >= stream.at)
                if len(rest):
                    stream.at = int(rest.time[-1]) + HOUR
                    yield rest
        except CryptovolError as error:
            self._note(name, error)
            stream.said[name] = error
            stream.broke |= not passing(error)
            return
        self._breakers[name].delivered()
        stream.ended = True
        stream.fresh = began < stream.at and stream.at + self._freshness >= stream.end
