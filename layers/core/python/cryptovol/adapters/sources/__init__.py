"""Market sources: which ones there are, and which one the settings ask for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

from cryptovol.adapters.sources.auto import AutoSource, any_answers
from cryptovol.adapters.sources.bounded import BoundedSource
from cryptovol.adapters.sources.breaker import Breaker
from cryptovol.adapters.sources.failover import FailoverSource
from cryptovol.adapters.sources.local import LocalSource
from cryptovol.adapters.sources.patience import Patience
from cryptovol.adapters.sources.transport import Timeouts
from cryptovol.adapters.sources.venue import VenueSource
from cryptovol.adapters.sources.venues import DIALECTS
from cryptovol.errors import ConfigError
from cryptovol.market.markets import Market, ReplayMarket, SimulatedMarket
from cryptovol.params import Params
from cryptovol.ports import BarSource, Clock
from cryptovol.settings import SOURCES, VENUES, Settings, url_setting

KEY_SETTING = "CRYPTOVOL_CRYPTOCOMPARE_KEY"
# A pair that each venue has: whether anybody can be reached must not hang on the pair that is wanted.
_PROBES = {"binance": ("BTC", "USDT")}
# Within `auto.PROBE_SECONDS`, so that a venue that takes a request and says nothing still counts as reached.
_PROBE_TIMEOUTS = Timeouts(connect=2.0, read=3.0, whole=3.0)


def open_source(settings: Settings, params: Params, *, clock: Clock, patience: Patience | None = None) -> BarSource:
    """Return the source that `CRYPTOVOL_SOURCE` names; nothing is connected to before its first use.

    Parameters
    ----------
    settings
        `source`, `urls` and `cryptocompare_key`.
    params
        `sources`, the page size, and the simulated market.
    clock
        Returns unix seconds.
    patience
        Tries of one request and time for all of them, which begins anew with each call of `origin`; without it
        `sources.tries` and no limit.

    Raises
    ------
    ConfigError
        If a source, or a venue in `sources.order`, is not a known one.
    """
    patience = patience or _patience(params)
    name = settings.source
    if name in ("auto", "live"):
        venues = _ready(settings, params, clock, patience)
        source: BarSource = _failover(venues, params, clock, patience)
        if name == "auto":
            reachable = partial(live_answers, settings, params, clock=clock)
            # Nobody answers at the addresses that are set.
            last = partial(_simulated, replace(settings, urls={}), params, clock)
            source = AutoSource(source, names=tuple(venues), reachable=reachable, last=last)
    elif name in VENUES:
        source = _venue(name, settings, params, clock, patience)
    elif name == "simulated":
        source = _simulated(settings, params, clock)
    elif name.startswith("replay:"):
        source = _replay(settings, params, clock)
    else:
        raise ConfigError(f"{name!r} is not a market source; use one of {', '.join(SOURCES)}")
    return BoundedSource(source, patience)


def open_second(
    settings: Settings, params: Params, *, clock: Clock, patience: Patience | None = None
) -> Callable[[str], BarSource | None]:
    """Return what gives, for a venue's name, a source of the other venues, to compare with and to fill gaps from.

    It never makes bars up. There is none, and None is given, where one source was asked for by name, for bars that
    no venue gave, and where no other venue is set up. Its requests count on the first source's time.
    """
    shared = patience or _patience(params)

    @cache
    def second(name: str) -> BarSource | None:
        if settings.source not in ("auto", "live") or name not in VENUES:
            return None
        others = _ready(settings, params, clock, shared)
        others.pop(name, None)
        return _failover(others, params, clock, shared) if others else None

    return second


def live_answers(settings: Settings, params: Params, *, clock: Clock) -> bool:
    """Return whether any venue that is set up can be reached; each is asked once, all at the same time."""
    calls = []
    for name in _names(settings, params):
        venue = _venue(name, settings, params, clock, Patience(tries=1), _PROBE_TIMEOUTS)
        calls.append(partial(venue.origin, *_PROBES.get(name, ("BTC", "USD"))))
    return any_answers(calls)


def missing(venue: str, settings: Settings) -> str:
    """Return what has to be set before `auto` uses a venue, or an empty text if nothing has to."""
    if venue not in DIALECTS or not DIALECTS[venue].takes_key or settings.cryptocompare_key or venue in settings.urls:
        return ""
    return f"set {KEY_SETTING}, or {url_setting(venue)} to a server that wants none"


def _names(settings: Settings, params: Params) -> list[str]:
    """Return the venues that are set up, in the order in which they are tried."""
    for name in params.sources.order:
        if name not in VENUES:
            raise ConfigError(f"params.yaml: sources.order names {name!r}; known: {', '.join(VENUES)}")
    return [name for name in params.sources.order if not missing(name, settings)]


def _ready(settings: Settings, params: Params, clock: Clock, patience: Patience) -> dict[str, BarSource]:
    return {name: _venue(name, settings, params, clock, patience) for name in _names(settings, params)}


def _venue(
    name: str, settings: Settings, params: Params, clock: Clock, patience: Patience, timeouts: Timeouts | None = None
) -> BarSource:
    seconds = params.sources.timeout_seconds
    return VenueSource(
        DIALECTS[name],
        url=settings.urls.get(name),
        key=settings.cryptocompare_key,
        page_bars=params.ingest.page_bars,
        clock=clock,
        patience=patience,
        timeouts=timeouts or Timeouts(read=seconds, whole=3 * seconds),
    )


def _failover(venues: dict[str, BarSource], params: Params, clock: Clock, patience: Patience) -> BarSource:
    own = params.sources
    return FailoverSource(
        venues, stand_ins=own.stand_in_quotes, freshness_hours=params.gate.freshness_hours, clock=clock,
        breaker=lambda: Breaker(failures=own.breaker_failures, seconds=own.breaker_seconds), left=patience.left,
    )  # fmt: skip


def _patience(params: Params) -> Patience:
    return Patience(tries=params.sources.tries)


def _simulated(settings: Settings, params: Params, clock: Clock) -> BarSource:
    return _local(lambda: SimulatedMarket(params.market, clock=clock), "simulated", settings, params, clock)


def _replay(settings: Settings, params: Params, clock: Clock) -> BarSource:
    path = Path(settings.source.removeprefix("replay:"))
    return _local(lambda: ReplayMarket(path), settings.source, settings, params, clock)


def _local(make: Callable[[], Market], name: str, settings: Settings, params: Params, clock: Clock) -> BarSource:
    """Return a made-up market's source: at the set URL, or from a server this process starts for itself."""
    url = settings.urls.get("cryptocompare")
    return LocalSource(make, name=name, url=url, page_bars=params.ingest.page_bars, clock=clock)
