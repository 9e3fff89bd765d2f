"""Market sources: which ones there are, and which one the settings ask for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cryptovol.adapters.sources.auto import AutoSource
from cryptovol.adapters.sources.cryptocompare import CryptoCompareSource
from cryptovol.adapters.sources.local import LocalSource
from cryptovol.errors import ConfigError
from cryptovol.market.markets import Market, ReplayMarket, SimulatedMarket
from cryptovol.params import Params
from cryptovol.ports import BarSource, Clock
from cryptovol.settings import CRYPTOCOMPARE, Settings

Factory = Callable[[Settings, Params, Clock], BarSource]


def _cryptocompare(settings: Settings, params: Params, clock: Clock) -> BarSource:
    url = settings.cryptocompare_url or CRYPTOCOMPARE
    return CryptoCompareSource(
        url, key=settings.cryptocompare_key, page_bars=params.ingest.page_bars, clock=clock
    )  # fmt: skip


def _simulated(settings: Settings, params: Params, clock: Clock) -> BarSource:
    return _local(lambda: SimulatedMarket(params.market, clock=clock), "simulated", settings, params, clock)


def _replay(settings: Settings, params: Params, clock: Clock) -> BarSource:
    path = Path(settings.source.removeprefix("replay:"))
    return _local(lambda: ReplayMarket(path), settings.source, settings, params, clock)


def _local(make: Callable[[], Market], name: str, settings: Settings, params: Params, clock: Clock) -> BarSource:
    """Return a made-up market's source: at the set URL, or from a server this process starts for itself."""
    return LocalSource(
        make, name=name, url=settings.cryptocompare_url, page_bars=params.ingest.page_bars, clock=clock
    )  # fmt: skip


# Venues on the network in the order in which `auto` tries them, each with what tells whether it is set up.
VENUES: dict[str, tuple[Factory, Callable[[Settings], bool]]] = {
    "cryptocompare": (_cryptocompare, lambda settings: bool(settings.cryptocompare_key or settings.cryptocompare_url)),
}


def open_source(settings: Settings, params: Params, *, clock: Clock) -> BarSource:
    """Return the source that `CRYPTOVOL_SOURCE` names; nothing is connected to before its first use.

    Parameters
    ----------
    settings
        `source`, `cryptocompare_url` and `cryptocompare_key`.
    params
        Page size, and the simulated market.
    clock
        Returns unix seconds.

    Raises
    ------
    ConfigError
        If the source is not a known one.
    """
    name = settings.source
    if name == "auto":
        ready = {venue: make(settings, params, clock) for venue, (make, is_set) in VENUES.items() if is_set(settings)}
        return AutoSource(ready, last=lambda: _simulated(settings, params, clock))
    if name in VENUES:
        return VENUES[name][0](settings, params, clock)
    if name == "simulated":
        return _simulated(settings, params, clock)
    if name.startswith("replay:"):
        return _replay(settings, params, clock)
    raise ConfigError(f"{name!r} is not a market source; use auto, {', '.join(VENUES)}, simulated or replay:<file>")
