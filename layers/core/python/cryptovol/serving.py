"""What a forecast stands on, kept at hand: the champion's bundle and the features of the newest hours.

Both are looked up again after a few seconds, so a new champion or a new bar is served without a restart, and a
request on the hot path reads nothing from the store. A champion whose bundle is refused changes nothing: the one
before goes on serving, and says why.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cryptovol import bars as bars_module
from cryptovol import champions, features, history, keys, ledger
from cryptovol.bars import Bars, Floats
from cryptovol.bundle import Bundle
from cryptovol.errors import (
    BundleRefusedError,
    KeyNotFoundError,
    LedgerBrokenError,
    ModelNotFoundError,
    NotEnoughBarsError,
    StoreUnavailableError,
)
from cryptovol.features import FEATURE_NAMES, WARMUP
from cryptovol.held import Held
from cryptovol.history import Manifest
from cryptovol.ledger import Champion
from cryptovol.ports import Clock, Store
from cryptovol.times import HOUR, floor_hour

MOMENTS = 64  # hours kept per pair
SPARE_HOURS = 48  # read beyond the warm-up, so that a gap just before it does no harm


@dataclass(frozen=True)
class Served:
    """A champion and its bundle; `refused` says why a newer champion is not served, or is empty."""

    champion: Champion
    bundle: Bundle
    refused: str = ""


class Champions:
    """The champions of one market, each held by pair and horizon."""

    def __init__(self, store: Store, market: str, clock: Clock) -> None:
        self._store = store
        self._market = market
        self._clock = clock
        self._held: dict[tuple[str, int], Held[Served]] = {}

    def get(self, pair: str, horizon: int) -> Served:
        """Return the champion that serves now.

        Raises
        ------
        ModelNotFoundError
            If there has never been a champion.
        BundleRefusedError, LedgerBrokenError
            If the first champion seen, or the pointer to it, is refused; later ones leave the one before in place.
        StoreUnavailableError
            If the store is away and nothing is held.
        """
        key = (pair, horizon)
        if key not in self._held:
            held: Held[Served] = Held(lambda known: self._read(pair, horizon, known), self._clock)
            # A pair without a champion is not remembered: anybody may ask for any name.
            served = held.get()
            self._held.setdefault(key, held)
            return served
        return self._held[key].get()

    def _read(self, pair: str, horizon: int, known: Served | None) -> Served:
        try:
            champion = ledger.champion(self._store, self._market, pair, horizon)
            if champion is None:
                raise ModelNotFoundError(
                    f"there is no champion of {pair} for {horizon} hours in market {self._market}; run the pipeline"
                )
            if known is not None and known.bundle.sha256 == champion.bundle_sha256:
                return Served(champion, known.bundle)
            found = champions.fetch(self._store, self._market, pair, horizon, sha256=champion.bundle_sha256)
            return Served(champion, found)
        except (BundleRefusedError, LedgerBrokenError) as error:
            if known is None:
                raise
            return replace(known, refused=str(error))


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
    return Moment(int(bars.time[-1]) + HOUR, table.values[-1], table.log_return, source)


class Moments:
    """The newest hours of one market's clean bars, each pair's held with its features."""

    def __init__(self, store: Store, market: str, *, coverage: float, clock: Clock) -> None:
        self._store = store
        self._market = market
        self._coverage = coverage
        self._clock = clock
        self._heads: dict[str, Held[Manifest]] = {}
        self._known: dict[tuple[str, str, int], Moment] = {}

    def at(self, symbol: str, quote: str, as_of: int) -> Moment:
        """Return the moment of the newest bar closed at `as_of`, unix seconds.

        Raises
        ------
        NotEnoughBarsError
            If there are no clean bars, or too few.
        """
        head = self._head(keys.series(symbol, quote))
        key = (head.key, head.sha256, floor_hour(as_of))
        if key not in self._known:
            found = moment(
                self._bars(head, symbol, quote, as_of), coverage=self._coverage, source=head.body.get("source", "")
            )
            while len(self._known) >= MOMENTS:
                self._known.pop(next(iter(self._known)), None)
            self._known[key] = found
        return self._known[key]

    def _head(self, pair: str) -> Manifest:
        if pair not in self._heads:
            held: Held[Manifest] = Held(lambda _: self._read_head(pair), self._clock)
            head = held.get()
            self._heads.setdefault(pair, held)
            return head
        return self._heads[pair].get()

    def _read_head(self, pair: str) -> Manifest:
        head = history.load_manifest(self._store, history.head_key(keys.clean(self._market, pair)))
        if head is None or head.last is None:
            raise NotEnoughBarsError(
                f"{pair} has no clean bars, a forecast needs {WARMUP}; run the pipeline", needed=WARMUP, found=0
            )
        return head

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


class DriftRatios:
    """The newest scoreboard's drift of each model, held by pair."""

    def __init__(self, store: Store, market: str, clock: Clock) -> None:
        self._store = store
        self._market = market
        self._clock = clock
        self._boards: dict[str, Held[dict[str, Any]]] = {}

    def ratio(self, pair: str, horizon: int, model: str) -> float | None:
        """Return the share of drifted features, or None where no scoreboard tells it for this model."""
        held = self._boards.setdefault(pair, Held(lambda _: self._read(pair), self._clock))
        try:
            board = held.get().get(str(horizon), {})
        except StoreUnavailableError:
            return None  # a forecast does not depend on it
        drift = board.get("drift") if board.get("model") == model else None
        return float(drift["ratio"]) if drift else None

    def _read(self, pair: str) -> dict[str, Any]:
        try:
            body = json.loads(self._store.get(keys.scoreboard(self._market, pair)).data)
        except KeyNotFoundError:
            return {}
        return dict(body["horizons"])
