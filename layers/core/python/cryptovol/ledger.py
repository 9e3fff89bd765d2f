"""Which model serves, since when and why: an append-only ledger per market, pair and horizon.

Each decision is one object under the next number, written only if that number is free, and names the sha256 of the
entry before it; so no decision can be lost, repeated or rewritten unseen. ``champion.json`` repeats what the newest
entry says, for readers that want one small object; a crash between the two writes is repaired by `reconcile`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptovol import keys, tables
from cryptovol.errors import ConflictError, KeyNotFoundError
from cryptovol.ports import Store


@dataclass(frozen=True)
class Champion:
    """The model that serves.

    Parameters
    ----------
    bundle_sha256
        Its bundle's name.
    name, version
        Registered model and version.
    trained_at
        ISO 8601: the end of its training data.
    entry
        Number of the ledger entry that made it champion.
    etag
        Tag of ``champion.json`` as it was read.
    """

    bundle_sha256: str
    name: str
    version: str
    trained_at: str
    entry: int
    etag: str


@dataclass(frozen=True)
class Entry:
    """One decision: its number, digest and body as stored."""

    number: int
    sha256: str
    body: Mapping[str, Any]


def champion(store: Store, market: str, pair: str, horizon: int) -> Champion | None:
    """Return the champion, or None if there has never been one."""
    try:
        stored = store.get(keys.champion(market, pair, horizon))
    except KeyNotFoundError:
        return None
    body = json.loads(stored.data)
    names = ("bundle_sha256", "name", "version", "trained_at", "entry")
    return Champion(**{name: body[name] for name in names}, etag=stored.etag)


def entries(store: Store, market: str, pair: str, horizon: int) -> list[Entry]:
    """Return all decisions, oldest first.

    Raises
    ------
    ConflictError
        If an entry does not name the digest of the one before it: the ledger was tampered with.
    """
    found: list[Entry] = []
    for key in store.keys(keys.ledger(market, pair, horizon)):
        data = store.get(key).data
        body = json.loads(data)
        if body["previous_sha256"] != (found[-1].sha256 if found else ""):
            raise ConflictError(f"{key} does not follow from the entry before it; restore the ledger from its versions")
        found.append(Entry(body["entry"], tables.sha256(data), body))
    return found


def append(
    store: Store,
    market: str,
    pair: str,
    horizon: int,
    *,
    decision: str,
    champion: Mapping[str, Any] | None,
    **more: Any,
) -> Entry:
    """Write the next decision, then the champion it leaves in place.

    Parameters
    ----------
    decision
        ``promoted``, ``rejected`` or ``rolled_back``.
    champion
        ``bundle_sha256, name, version, trained_at`` of the model that serves after the decision, or None.
    more
        What else the entry tells: challenger, reason, scores, lineage.

    Raises
    ------
    ConflictError
        If another writer took the number first; nothing was written.
    """
    past = entries(store, market, pair, horizon)
    number = len(past) + 1
    body = {
        "entry": number,
        "previous_sha256": past[-1].sha256 if past else "",
        "decision": decision,
        "champion": _with_entry(champion, past, number),
        **more,
    }
    data = tables.encode_json(body)
    if not store.put_new(f"{keys.ledger(market, pair, horizon)}{number:08d}.json", data):
        raise ConflictError(f"ledger entry {number} of {market}/{pair}/h{horizon} was taken by another run; run again")
    entry = Entry(number, tables.sha256(data), body)
    _point(store, market, pair, horizon, entry)
    return entry


def _with_entry(champion: Mapping[str, Any] | None, past: list[Entry], number: int) -> dict[str, Any] | None:
    """Return the champion with the number of the entry that put it there."""
    if champion is None:
        return None
    before = past[-1].body["champion"] if past else None
    if before is not None and before["bundle_sha256"] == champion["bundle_sha256"]:
        number = before["entry"]
    return {**champion, "entry": number}


def reconcile(store: Store, market: str, pair: str, horizon: int) -> list[Entry]:
    """Return all decisions after making ``champion.json`` say what the newest one says."""
    past = entries(store, market, pair, horizon)
    if past:
        _point(store, market, pair, horizon, past[-1])
    return past


def _point(store: Store, market: str, pair: str, horizon: int, entry: Entry) -> None:
    if entry.body["champion"] is None:
        return
    key, data = keys.champion(market, pair, horizon), tables.encode_json(entry.body["champion"])
    try:
        if store.get(key).data == data:
            return
    except KeyNotFoundError:
        pass
    store.put(key, data)
