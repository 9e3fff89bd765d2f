"""What a market server serves: bars of known pairs, up to the hour in progress."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Protocol

import numpy as np

from cryptovol import bars as bars_module
from cryptovol.bars import Bars
from cryptovol.errors import BarSchemaError, UnknownSymbolError
from cryptovol.market import files, simulated
from cryptovol.params import MarketParams
from cryptovol.ports import Clock, Origin
from cryptovol.times import HOUR, floor_hour


class Market(Protocol):
    """Bars to serve. Real ones: `SimulatedMarket` and `ReplayMarket`."""

    origin: Origin

    def symbols(self) -> list[str]:
        """Return the coins it knows."""

    def bars(self, symbol: str, quote: str) -> Bars:
        """Return the pair's bars, whole, sorted and unique in time; raise `UnknownSymbolError` if it has none."""

    def now(self) -> int:
        """Return the instant, in unix seconds, after which nothing is known yet."""


class SimulatedMarket:
    """The simulated market, as far as the clock has come.

    Parameters
    ----------
    params
        Seed, start and share of missing hours.
    clock
        Returns unix seconds; hours after it do not exist yet.
    """

    def __init__(self, params: MarketParams, *, clock: Clock) -> None:
        self.origin = Origin(simulated.SOURCE, "simulated")
        self._params = params
        self._clock = clock
        self._lock = threading.Lock()
        self._paths: dict[tuple[str, str], tuple[int, Bars]] = {}

    def symbols(self) -> list[str]:
        """Return the coins it knows."""
        return list(simulated.COINS)

    def now(self) -> int:
        """Return the clock's time."""
        return self._clock()

    def bars(self, symbol: str, quote: str) -> Bars:
        """Return the pair's bars up to and with the hour in progress; the path is made once and then extended."""
        wanted = floor_hour(self._clock()) + HOUR
        with self._lock:
            reach, path = self._paths.get((symbol, quote), (0, bars_module.empty()))
            if reach < wanted:
                reach = wanted + simulated.BLOCK * HOUR
                path = simulated.path(self._params, symbol, quote, until=reach)
                self._paths[symbol, quote] = (reach, path)
        return path.take(slice(0, int(np.searchsorted(path.time, wanted))))


class ReplayMarket:
    """A bar file as a market. A file that does not name its pair answers for any pair.

    Parameters
    ----------
    path
        See `files.read`, also for the errors. Rows are sorted; of repeated times the last one in the file counts.
    """

    def __init__(self, path: Path) -> None:
        found = files.read(path)
        if not len(found):
            raise BarSchemaError(f"{path} has a header but no bars")
        if (timeless := int((found.time <= 0).sum())) > 0:
            raise BarSchemaError(
                f"{path}: {timeless} rows have no time. Cure: see them with `cryptovol validate --bars {path}`, and remove them"
            )
        self.origin = Origin(f"replay:{files.stem(path)}", f"replay-{files.stem(path)}")
        self._pairs = {
            (symbol, quote): bars_module.merge(
                bars_module.empty(), found.take((found.symbol == symbol) & (found.quote == quote))
            ).bars
            for symbol, quote in sorted(set(zip(found.symbol.tolist(), found.quote.tolist(), strict=True)))
        }
        self._now = int(np.max(found.time)) + HOUR

    def symbols(self) -> list[str]:
        """Return the coins the file names."""
        return sorted({symbol for symbol, _ in self._pairs if symbol})

    def now(self) -> int:
        """Return the moment the file's last bar closed."""
        return self._now

    def bars(self, symbol: str, quote: str) -> Bars:
        """Return the pair's bars; raise `UnknownSymbolError` if the file names other pairs only."""
        for key in ((symbol, quote), (symbol, ""), ("", "")):
            if key in self._pairs:
                return self._pairs[key]
        known = ", ".join("/".join(pair) for pair in self._pairs)
        raise UnknownSymbolError(f"{self.origin.source} has no bars of {symbol}/{quote}; it has {known}")


def seen_at(bars: Bars, moment: int) -> Bars:
    """Return bars as they stood at `moment` (unix seconds): later hours absent, the hour in progress half formed.

    The bar in progress has gone part of its way from the open, and has only part of its volume, as a live feed shows
    it. A client that keeps it keeps a wrong bar.
    """
    known = bars.take(bars.time <= moment)
    if not len(known) or known.time[-1] + HOUR <= moment:
        return known
    share = 0.1 + 0.8 * (moment - int(known.time[-1])) / HOUR
    last = known.take(slice(-1, None))
    part = {
        **{name: last.open + share * (getattr(last, name) - last.open) for name in ("high", "low", "close")},
        **{name: getattr(last, name) * share for name in ("volume_base", "volume_quote")},
    }
    columns = {name: np.array(column) for name, column in known.columns().items()}
    for name, value in part.items():
        columns[name][-1] = value[0]
    return Bars(**columns)
