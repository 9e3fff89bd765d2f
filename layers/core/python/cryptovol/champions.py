"""A champion's bundle, loaded only if it is what the ledger holds it for; and the registry's aliases for people.

A model of one market, pair or horizon can serve no other: each has keys of its own, and `fetch` holds what a bundle
says of itself against the key it lies under.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from cryptovol import bundle, keys, tables
from cryptovol.bundle import Bundle
from cryptovol.errors import BundleRefusedError, KeyNotFoundError
from cryptovol.ledger import Entry
from cryptovol.ports import Store, Tracker


def fetch(store: Store, market: str, pair: str, horizon: int, *, sha256: str) -> Bundle:
    """Return a bundle of one ledger: the one way to load a model that serves or is compared.

    Raises
    ------
    BundleRefusedError
        If it does not load, or is of another market, pair or horizon than the key it is stored under.
    """
    found = bundle.fetch(store, keys.bundle(market, pair, horizon, sha256=sha256), sha256)
    check_identity(found.header, market, pair, horizon, sha256=sha256)
    return found


def describe(store: Store, market: str, pair: str, horizon: int, *, sha256: str) -> tuple[Any, Any]:
    """Return a bundle's header and scores, also where today's code could not serve it any more.

    Raises
    ------
    BundleRefusedError
        If one of them is missing or does not have its sha256.
    """
    where = keys.bundle(market, pair, horizon, sha256=sha256)

    def read(name: str, digest: str) -> Any:
        try:
            data = store.get(f"{where}/{name}").data
        except KeyNotFoundError as error:
            raise BundleRefusedError(
                f"bundle {sha256[:12]}: {name} is missing; see `cryptovol models verify`"
            ) from error
        if tables.sha256(data) != digest:
            raise BundleRefusedError(
                f"bundle {sha256[:12]}: {name} is not the file it was; see `cryptovol models verify`"
            )
        return json.loads(data)

    manifest = read(bundle.MANIFEST, sha256)
    return manifest["header"], read("scores.json", manifest["files"]["scores.json"])


def check_identity(header: Mapping[str, Any], market: str, pair: str, horizon: int, *, sha256: str) -> None:
    """Raise `BundleRefusedError` unless a bundle's header names this market, pair and horizon.

    A bundle says in its own hashed header what it was trained on, so that a copy under another market's keys, made by
    hand or by a fault, cannot serve there.
    """
    own = (header["market"], keys.series(header["symbol"], header["quote"]), int(header["horizon"]))
    if own != (market, pair, horizon):
        is_of, wanted = (f"{market}/{pair}/h{horizon}" for market, pair, horizon in (own, (market, pair, horizon)))
        raise BundleRefusedError(f"bundle {sha256[:12]} is of {is_of}, not of {wanted}; roll back or retrain")


def set_aliases(tracker: Tracker, store: Store, market: str, pair: str, horizon: int, *, entry: Entry) -> None:
    """Point the registry's aliases where the newest entry says, unless it is known that they already do.

    The note is written last: a run killed before it sets them again.
    """
    key, note = keys.aliases(market, pair, horizon), tables.encode_json({"entry_sha256": entry.sha256})
    if store.exists(key) and store.get(key).data == note:
        return
    for alias in ("challenger", "champion"):
        model = entry.body.get(alias)
        if model is not None:
            tracker.alias(model["name"], version=model["version"], alias=alias)
    store.put(key, note)
