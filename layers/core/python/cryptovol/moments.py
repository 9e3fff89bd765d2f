"""The newest hours of clean bars and the features at the last of them, kept at hand for forecasts."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from cryptovol import bars as bars_module
from cryptovol import features, history, keys
from cryptovol.bars import Bars, Floats
from cryptovol.errors import CryptovolError, NotEnoughBarsError, StoreUnavailableError
from cryptovol.features import FEATURE_NAMES, WARMUP
from cryptovol.held import Held, Shelf, Start, Told, in_background, unheard
from cryptovol.history import Manifest
from cryptovol.ports import Clock, Store
from cryptovol.times import HOUR, floor_hour

PAST = 64  # hours looked back at that are kept
SPARE_HOURS = 48  # read beyond the warm-up, so that a gap just before it does no harm


@dataclass(frozen=True, eq=False)
class Moment:
    """What was known when the bar that closed at `as_of` (unix seconds) closed.

    Parameters
    ----------
    values
        Shape (36,), complete.
    log_return
        Shape (m,), newest last, at least the warm-up.
    source
        Where the bars came from, or an empty text.
    """

    as_of: int
    values: Floats
    log_return: Floats
    source: str


def moment(bars: Bars, *, coverage: float, source: str) -> Moment:
    """Return the features at the newest of the bars.

    Parameters
    ----------
    bars
        Of one pair, oldest first.

    Raises
    ------
    NotEnoughBarsError
        If the longest window is not filled, for want of history or because of gaps.
    BarSchemaError
        If bars are unsorted, repeated or off the hour.
    """
    n = len(bars)
    table = features.build(bars.last_hours(WARMUP), coverage=coverage)
    if not n:
        raise NotEnoughBarsError(f"a forecast needs {WARMUP} hours of bars, found none", needed=WARMUP, found=0)
    missing = [FEATURE_NAMES[j] for j in np.flatnonzero(~np.isfinite(table.values[-1]))]
    if missing:
        found = int(((bars.time > bars.time[-1] - WARMUP * HOUR) & np.isfinite(bars.close)).sum())
        raise NotEnoughBarsError(
            f"a forecast needs {WARMUP} hours of bars without large gaps, found {found} of them; {len(missing)} features,"
            f" first {missing[0]}, have no value; give or ingest more history",
            needed=WARMUP,
            found=found,
        )
    # A copy: the row alone is kept, not the table it is a view of.
    return Moment(int(bars.time[-1]) + HOUR, table.values[-1].copy(), table.log_return, source)


@dataclass(frozen=True)
class _Newest:
    """A state of clean bars and the moment of its newest bar; with an `error`, the moment of a state before, or none."""

    head: Manifest
    moment: Moment | None
    error: CryptovolError | None = None

    @property
    def end(self) -> int:
        """When the newest bar closed."""
        return (self.head.last or 0) + HOUR


class Moments:
    """The newest hours of one market's clean bars, each pair's held with its features.

    Parameters
    ----------
    coverage
        See `features.build`.
    told, start
        See `held.Held`.
    """

    def __init__(
        self, store: Store, market: str, *, coverage: float, clock: Clock, told: Told = unheard,
        start: Start = in_background,
    ) -> None:  # fmt: skip
        self._store = store
        self._market = market
        self._coverage = coverage
        self._clock = clock
        self._told = told
        self._start = start
        self._newest = Shelf(self._read, clock, told=told, start=start)
        self._past: dict[tuple[str, str, int], Moment] = {}

    def prepare(self, symbol: str, quote: str) -> None:
        """Start to read what a pair's first forecast needs; see `held.Shelf.prepare`."""
        self._newest.prepare((symbol, quote))

    def at(self, symbol: str, quote: str, as_of: int) -> Moment:
        """Return the moment of the newest bar closed at `as_of`, unix seconds.

        The newest bar's is at hand; an earlier one is read from the store, and waited for like a first value.

        Raises
        ------
        NotEnoughBarsError
            If there are no clean bars, or too few.
        BarSchemaError
            If the stored bars, or the manifest that names them, are not what was written.
        StoreUnavailableError
            If the store is away and nothing is held.
        """
        newest = self._newest.get((symbol, quote))
        if as_of < newest.end:
            return self._look_back(newest.head, symbol, quote, as_of)
        if newest.moment is None:
            assert newest.error is not None, "what has no moment has a reason"
            raise newest.error
        return newest.moment

    def _look_back(self, head: Manifest, symbol: str, quote: str, as_of: int) -> Moment:
        key = (head.key, head.sha256, floor_hour(as_of))
        if key not in self._past:
            look: Held[Moment] = Held(
                lambda _: self._moment(head, symbol, quote, as_of), self._clock, told=self._told, start=self._start
            )
            found = look.get()
            while len(self._past) >= PAST:
                self._past.pop(next(iter(self._past)), None)
            self._past[key] = found
            return found
        return self._past[key]

    def _read(self, name: tuple[str, str], known: _Newest | None) -> _Newest:
        symbol, quote = name
        try:
            head = self._head(keys.series(symbol, quote))
            if known is not None and known.head.sha256 == head.sha256 and known.error is None:
                return known
        except StoreUnavailableError:
            raise
        except CryptovolError as error:
            if known is None:
                raise
            return replace(known, error=error)
        try:
            return _Newest(head, self._moment(head, symbol, quote, (head.last or 0) + HOUR))
        except StoreUnavailableError:
            raise
        except CryptovolError as error:
            return _Newest(head, known.moment if known else None, error)

    def _head(self, pair: str) -> Manifest:
        head = history.load_manifest(self._store, history.head_key(keys.clean(self._market, pair)))
        if head is None or head.last is None:
            raise NotEnoughBarsError(
                f"{pair} has no clean bars, a forecast needs {WARMUP}; run the pipeline", needed=WARMUP, found=0
            )
        return head

    def _moment(self, head: Manifest, symbol: str, quote: str, as_of: int) -> Moment:
        bars = self._bars(head, symbol, quote, as_of)
        return moment(bars, coverage=self._coverage, source=head.body.get("source", ""))

    def _bars(self, head: Manifest, symbol: str, quote: str, as_of: int) -> Bars:
        """Return the stretch of bars that a forecast at `as_of` needs, and read no other month."""
        parts = [part for part in head.body["parts"] if part["first"] + HOUR <= as_of]
        if not parts:
            return bars_module.empty()
        end = min(as_of, parts[-1]["last"] + HOUR)
        since = end - HOUR * (WARMUP + SPARE_HOURS)
        table = history.read(self._store, replace(head, body={**head.body, "parts": parts}), since=since)
        prices = np.column_stack([table[name] for name in bars_module.PRICES])
        volumes = {name: table[name] for name in ("volume_base", "volume_quote")}
        found = bars_module.make(
            table["time"], prices, **volumes, symbol=symbol, quote=quote, source="", fetched_at=0
        )  # fmt: skip
        return found.between(since, end).closed_by(as_of)
