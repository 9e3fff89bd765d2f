"""The champions that serve, kept at hand: looked up again every few seconds beside the requests (see `held`).

So a new champion is served without a restart, and a request reads nothing from the store. A champion whose bundle is
refused changes nothing: the one before goes on serving, and says why.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

from cryptovol import champions, keys, ledger
from cryptovol.bundle import Bundle
from cryptovol.errors import (
    BundleRefusedError,
    KeyNotFoundError,
    LedgerBrokenError,
    ModelNotFoundError,
    StoreUnavailableError,
)
from cryptovol.held import Shelf, Start, in_background, unheard
from cryptovol.ledger import Champion
from cryptovol.ports import Clock, Store
from cryptovol.reach import Reach

DRIFT_SECONDS = 1.0  # how long the first forecast waits for a ratio that it does not depend on


@dataclass(frozen=True)
class Served:
    """A champion and its bundle; `refused` says why a newer champion is not served, or is empty."""

    champion: Champion
    bundle: Bundle
    refused: str = ""


class Champions:
    """The champions of one market, each held by pair and horizon.

    Parameters
    ----------
    reach
        Hears whether the store answers, and of each refused champion once.
    start
        See `held.Held`.
    """

    def __init__(
        self, store: Store, market: str, clock: Clock, *, reach: Reach | None = None, start: Start = in_background
    ) -> None:
        self._store = store
        self._market = market
        self._reach = reach
        self._shelf = Shelf(self._read, clock, told=reach.told if reach else unheard, start=start)

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
        return self._shelf.get((pair, horizon))

    def _read(self, name: tuple[str, int], known: Served | None) -> Served:
        pair, horizon = name
        pointed = ""
        try:
            champion = ledger.champion(self._store, self._market, pair, horizon)
            if champion is None:
                raise ModelNotFoundError(
                    f"there is no champion of {pair} for {horizon} hours in market {self._market}; run the pipeline"
                )
            pointed = champion.bundle_sha256
            if known is not None and known.bundle.sha256 == pointed:
                served = Served(champion, known.bundle)
            else:
                served = Served(champion, _bundle(self._store, self._market, pair, horizon, sha256=pointed))
        except (BundleRefusedError, LedgerBrokenError, ModelNotFoundError) as error:
            if self._reach is not None and not isinstance(error, ModelNotFoundError):
                self._reach.refused(pair, horizon, pointed or str(error))
            if known is None:
                raise
            return replace(known, refused=str(error))
        if self._reach is not None:
            self._reach.accepted(pair, horizon)
        return served


def _bundle(store: Store, market: str, pair: str, horizon: int, *, sha256: str) -> Bundle:
    try:
        return champions.fetch(store, market, pair, horizon, sha256=sha256)
    except (LookupError, ValueError, TypeError, AttributeError) as error:
        # Its hashes agree, so it was written like this: by other code, or by hand.
        raise BundleRefusedError(f"bundle {sha256[:12]} cannot be read ({error!r}); roll back or retrain") from error


class DriftRatios:
    """The newest scoreboard's drift of each model, held by pair; see `Champions` for the parameters."""

    def __init__(
        self, store: Store, market: str, clock: Clock, *, reach: Reach | None = None, start: Start = in_background
    ) -> None:
        self._store = store
        self._market = market
        told = reach.told if reach else unheard
        self._shelf = Shelf(self._read, clock, told=told, start=start, first=DRIFT_SECONDS, wait=0.0)

    def prepare(self, pair: str) -> None:
        """Start to read a pair's scoreboard; see `held.Shelf.prepare`."""
        self._shelf.prepare(pair)

    def ratio(self, pair: str, horizon: int, model: str) -> float | None:
        """Return the share of drifted features, or None where no scoreboard tells it for this model."""
        try:
            return self._shelf.get(pair).get((horizon, model))
        except StoreUnavailableError:
            return None  # a forecast does not depend on it

    def _read(self, pair: str, known: Mapping[tuple[int, str], float] | None) -> Mapping[tuple[int, str], float]:
        """Return the ratios by horizon and model; where the scoreboard cannot be read, those before, or none."""
        try:
            boards = json.loads(self._store.get(keys.scoreboard(self._market, pair)).data)["horizons"]
            told = {(int(h), board["model"]): board["drift"] for h, board in boards.items() if board["drift"]}
            return {name: float(drift["ratio"]) for name, drift in told.items() if 0.0 <= float(drift["ratio"]) <= 1.0}
        except KeyNotFoundError:
            return {}
        except (ValueError, LookupError, TypeError, AttributeError):
            return known or {}
