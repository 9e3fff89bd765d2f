"""Fakes and made-up bars for tests, ours and those of anyone who writes a stage, a store or a source."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from cryptovol import bars as bars_module
from cryptovol.bars import Bars
from cryptovol.errors import ConflictError, KeyNotFoundError, UnknownSymbolError
from cryptovol.ports import Origin, Stored
from cryptovol.tables import sha256
from cryptovol.times import HOUR, parse_instant

START = parse_instant("2024-01-01T00:00:00Z")


def make_bars(
    n: int, *, seed: int = 0, start: int = START, symbol: str = "BTC", quote: str = "USD", source: str = "made-up"
) -> Bars:
    """Return `n` plausible consecutive hourly bars without a fault, oldest first.

    Volatility clusters and follows the hour of the day, volume follows volatility, and high and low come from a
    path inside each hour. The first bar opens at `start`, so the last one closes at ``start + n * 3600``; each was
    fetched when it closed. Asking for more bars does not change the earlier ones.

    Parameters
    ----------
    n
        Number of bars.
    seed
        Of the random generator; equal seeds, equal bars.
    start
        Unix seconds on a full hour.
    """
    time = start + HOUR * np.arange(n, dtype=np.int64)
    shocks = np.random.default_rng([seed, 1]).standard_normal((n, 9))
    level = np.empty(n)
    state = 0.0
    for i in range(n):
        state = 0.985 * state + 0.09 * shocks[i, 0]
        level[i] = state
    sigma = 0.005 * np.exp(level + 0.25 * np.cos(2 * np.pi * ((time // HOUR) % 24 - 15) / 24))
    steps = sigma[:, None] * shocks[:, 1:9] / np.sqrt(8)
    ends = np.log(30000.0) + np.cumsum(steps.sum(axis=1))
    opens = np.r_[np.log(30000.0), ends[:-1]] if n else ends
    path = opens[:, None] + np.c_[np.zeros(n), np.cumsum(steps, axis=1)]
    prices = np.exp(np.c_[path[:, 0], path.max(axis=1), path.min(axis=1), path[:, -1]])
    volume = 600.0 * (sigma / 0.005) ** 1.2 * np.exp(0.4 * shocks[:, 0])
    made = bars_module.make(
        time, prices, volume_base=volume, volume_quote=volume * prices.mean(axis=1), symbol=symbol, quote=quote,
        source=source, fetched_at=0,
    )  # fmt: skip
    return replace(made, fetched_at=time + HOUR)


class MemoryStore:
    """`ports.Store` in a dictionary; the tag of an object is the sha256 of its bytes. Safe under threads.

    `objects` may be read, and damaged, by a test.
    """

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self._lock = threading.RLock()

    def get(self, key: str) -> Stored:
        """Return the object; raise `KeyNotFoundError` if there is none."""
        with self._lock:
            if key not in self.objects:
                raise KeyNotFoundError(f"nothing is stored under {key}")
            data = self.objects[key]
        return Stored(data, sha256(data))

    def put(self, key: str, data: bytes) -> None:
        """Write the object, replacing any before it."""
        with self._lock:
            self.objects[key] = bytes(data)

    def put_new(self, key: str, data: bytes) -> bool:
        """Write the object if the key is free; return False, and write nothing, if it is taken."""
        with self._lock:
            if key in self.objects:
                return False
            self.objects[key] = bytes(data)
            return True

    def replace(self, key: str, data: bytes, etag: str) -> None:
        """Replace the very version `etag` names; raise `ConflictError` if it is no longer the current one."""
        with self._lock:
            if key not in self.objects or sha256(self.objects[key]) != etag:
                raise ConflictError(f"{key} was changed by another writer; read it again and retry")
            self.objects[key] = bytes(data)

    def exists(self, key: str) -> bool:
        """Return whether something is stored under the key."""
        with self._lock:
            return key in self.objects

    def keys(self, prefix: str) -> Iterator[str]:
        """Yield the keys that begin with `prefix`, in ascending order."""
        with self._lock:
            found = sorted(key for key in self.objects if key.startswith(prefix))
        yield from found


class FixedSource:
    """`ports.BarSource` over bars in memory; `asked` lists every ``(start, end)`` it was asked for.

    Parameters
    ----------
    bars
        Bars of any symbols; may be replaced by a test between two calls.
    market, source
        What `origin` answers; rows are stamped with `source`.
    page_bars
        Rows per page.
    """

    def __init__(self, bars: Bars, *, market: str = "test", source: str = "fixed", page_bars: int = 2000) -> None:
        self.bars = bars
        self.asked: list[tuple[int, int]] = []
        self._origin = Origin(source, market)
        self._page_bars = page_bars

    def origin(self, symbol: str, quote: str) -> Origin:
        """Return the fixed origin; raise `UnknownSymbolError` if no bar is of the pair."""
        if not np.any((self.bars.symbol == symbol) & (self.bars.quote == quote)):
            raise UnknownSymbolError(f"the fixed source has no bars of {symbol}/{quote}")
        return self._origin

    def pages(self, symbol: str, quote: str, *, start: int, end: int) -> Iterator[Bars]:
        """Yield the pair's bars with ``start <= time`` and ``time + 3600 <= end``, stamped as fetched at `end`."""
        self.asked.append((start, end))
        own = self.bars.take((self.bars.symbol == symbol) & (self.bars.quote == quote))
        found = own.closed_by(end)
        found = found.take(found.time >= start).stamped(source=self._origin.source, fetched_at=end)
        for at in range(0, len(found), self._page_bars):
            yield found.take(slice(at, at + self._page_bars))


class FixedMarket:
    """`market.markets.Market` over bars in memory, for a stand-in server in a test.

    Parameters
    ----------
    bars
        Bars of any pairs, each pair's sorted and unique in time; may be replaced by a test between two requests.
    now
        Unix seconds after which nothing is known yet; without it the moment the newest bar closed.
    market, source
        What a declared server says of itself.
    """

    def __init__(self, bars: Bars, *, now: int = 0, market: str = "test", source: str = "fixed") -> None:
        self.bars_held = bars
        self.origin = Origin(source, market)
        self._now = now

    def symbols(self) -> list[str]:
        """Return the coins it has."""
        return sorted(set(self.bars_held.symbol.tolist()))

    def now(self) -> int:
        """Return the instant after which nothing is known yet."""
        return self._now or int(np.max(self.bars_held.time)) + HOUR

    def bars(self, symbol: str, quote: str) -> Bars:
        """Return the pair's bars; raise `UnknownSymbolError` if it has none."""
        held = self.bars_held
        own = held.take((held.symbol == symbol) & (held.quote == quote))
        if not len(own):
            raise UnknownSymbolError(f"the fixed market has no bars of {symbol}/{quote}")
        return own
