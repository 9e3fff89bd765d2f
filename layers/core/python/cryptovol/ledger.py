"""Which model serves, since when and why: an append-only ledger per market, pair and horizon.

Each decision is one object under the next number, written only if that number is free, and names the sha256 of the
entry before it; so no decision can be lost, repeated or rewritten unseen. ``champion.json`` repeats what the newest
entry says, for readers that want one small object; a crash between the two writes is repaired by `reconcile`.
`audit` walks all of it and says what is wrong.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from cryptovol import keys, tables
from cryptovol.errors import ConflictError, KeyNotFoundError, LedgerBrokenError
from cryptovol.ports import Store

MEND = "see `cryptovol models verify`"


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
    """Return the champion, or None if there has never been one.

    Raises
    ------
    LedgerBrokenError
        If the pointer cannot be read.
    """
    key = keys.champion(market, pair, horizon)
    try:
        stored = store.get(key)
    except KeyNotFoundError:
        return None
    try:
        body = json.loads(stored.data)
        told = {name: str(body[name]) for name in ("bundle_sha256", "name", "version", "trained_at")}
        return Champion(**told, entry=int(body["entry"]), etag=stored.etag)
    except (ValueError, KeyError, TypeError) as error:
        raise LedgerBrokenError(f"{key} names no champion ({error!r}); {MEND}") from error


def one(store: Store, market: str, pair: str, horizon: int, number: int) -> Entry | None:
    """Return one decision without looking at the others, or None if there is none of that number.

    Raises
    ------
    LedgerBrokenError
        If it cannot be read.
    """
    try:
        data = store.get(entry_key(market, pair, horizon, number)).data
    except KeyNotFoundError:
        return None
    try:
        return Entry(number, tables.sha256(data), dict(json.loads(data)))
    except (ValueError, TypeError) as error:
        raise LedgerBrokenError(f"entry {number} of {market}/{pair}/h{horizon} cannot be read; {MEND}") from error


def entry_key(market: str, pair: str, horizon: int, number: int) -> str:
    """Return the key of one decision."""
    return f"{keys.ledger(market, pair, horizon)}{number:08d}.json"


def entries(store: Store, market: str, pair: str, horizon: int) -> list[Entry]:
    """Return all decisions, oldest first.

    Raises
    ------
    LedgerBrokenError
        If an entry cannot be read, is not under its own number, or does not name the digest of the one before it.
    """
    found: list[Entry] = []
    for key in store.keys(keys.ledger(market, pair, horizon)):
        data = store.get(key).data
        fault = fault_of(key, data, found[-1] if found else None)
        if fault:
            raise LedgerBrokenError(f"{key} {fault}; restore the ledger from its versions; {MEND}")
        found.append(Entry(len(found) + 1, tables.sha256(data), json.loads(data)))
    return found


def fault_of(key: str, data: bytes, before: Entry | None) -> str:
    """Return what is wrong with the entry stored next after `before`, or an empty text."""
    try:
        body = json.loads(data)
        number, previous, _, _ = (body[name] for name in ("entry", "previous_sha256", "decision", "champion"))
    except (ValueError, KeyError, TypeError) as error:
        return f"is no ledger entry ({error!r})"
    wanted = before.number + 1 if before else 1
    if number != wanted or not key.endswith(f"/{wanted:08d}.json"):
        return f"holds entry {number} where entry {wanted} belongs"
    if previous != (before.sha256 if before else ""):
        return "does not follow from the entry before it: that one, or this, is not what was written"
    return ""


def append(
    store: Store,
    market: str,
    pair: str,
    horizon: int,
    *,
    decision: str,
    champion: Mapping[str, Any] | None,
    after: int | None = None,
    **more: Any,
) -> Entry:
    """Write the next decision, then the champion it leaves in place.

    Parameters
    ----------
    decision
        ``promoted``, ``rejected`` or ``rolled_back``.
    champion
        ``bundle_sha256, name, version, trained_at`` of the model that serves after the decision, or None.
    after
        Number of the newest entry that the decision was made in sight of, 0 for none; None if it does not matter.
        A decision made before another run's promotion must not undo it.
    more
        What else the entry tells: challenger, reason, scores, lineage.

    Raises
    ------
    ConflictError
        If another writer was first; nothing was written.
    """
    past = entries(store, market, pair, horizon)
    number = len(past) + 1
    if after not in (None, len(past)):
        raise ConflictError(f"{market}/{pair}/h{horizon} has entry {len(past)} since this decision; run again")
    body = {
        "entry": number,
        "previous_sha256": past[-1].sha256 if past else "",
        "decision": decision,
        "champion": _with_entry(champion, past, number),
        **more,
    }
    data = tables.encode_json(body)
    if not store.put_new(entry_key(market, pair, horizon, number), data):
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
    """Return all decisions after making ``champion.json`` say what the newest one says.

    Raises
    ------
    LedgerBrokenError
        If ``champion.json`` was set by an entry that the ledger no longer has. To go on from what is left, remove it.
    """
    key = keys.champion(market, pair, horizon)
    ahead = _entry_named(store, key)  # read before the entries: what it names was written before it
    past = entries(store, market, pair, horizon)
    if ahead > len(past):
        raise LedgerBrokenError(f"{key} was set by entry {ahead}, but the ledger ends with {len(past)}; {MEND}")
    if past:
        _point(store, market, pair, horizon, past[-1])
    return past


def _point(store: Store, market: str, pair: str, horizon: int, entry: Entry) -> None:
    """Make ``champion.json`` say what an entry says, unless a newer entry has set it already."""
    if entry.body["champion"] is None:
        return
    key, data = keys.champion(market, pair, horizon), tables.encode_json(entry.body["champion"])
    while not store.put_new(key, data):
        stored = store.get(key)
        if stored.data == data or _set_by(stored.data) > entry.number:
            return
        with suppress(ConflictError):  # a writer was faster: look again
            store.replace(key, data, stored.etag)


def _entry_named(store: Store, key: str) -> int:
    """Return the entry that set the stored ``champion.json``, 0 where there is none."""
    try:
        return _set_by(store.get(key).data)
    except KeyNotFoundError:
        return 0


def _set_by(data: bytes) -> int:
    """Return the entry that set a ``champion.json``, 0 if it cannot be read: then it is to be written again."""
    try:
        return int(json.loads(data)["entry"])
    except (ValueError, KeyError, TypeError):
        return 0
