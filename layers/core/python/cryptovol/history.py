"""A growing table in the store: monthly parts named by their content, and a manifest written last.

A part never changes once written, so a reader of an old manifest always finds what it names, a crash leaves at
most an unused part behind, and a run that adds six hours writes one small part however long the history is. The
head manifest is replaced only if it is still the one that was read, so of two writers one wins and the other
learns of it. Every state is also kept under its own `as_of`.

What grows with the history is the manifest alone, by one entry of about 140 bytes a month; it is written twice.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from cryptovol import tables
from cryptovol.errors import BarSchemaError, ConflictError, KeyNotFoundError
from cryptovol.keys import compact
from cryptovol.ports import Store
from cryptovol.tables import Table
from cryptovol.times import month_of, parse_instant

Codec = Literal["npz", "csv"]
SUFFIXES: Mapping[Codec, str] = {"npz": "npz", "csv": "csv.gz"}
BAR_KINDS = {
    "time": "i", "open": "f", "high": "f", "low": "f", "close": "f", "volume_base": "f", "volume_quote": "f",
    "symbol": "U", "quote": "U", "source": "U", "fetched_at": "i",
}  # fmt: skip


@dataclass(frozen=True)
class Manifest:
    """One state of a history: `body` as stored, the key it was read from, and its digest and tag."""

    key: str
    body: Mapping[str, Any]
    sha256: str
    etag: str

    @property
    def rows(self) -> int:
        """Rows in all parts."""
        return sum(part["rows"] for part in self.body["parts"])

    @property
    def first(self) -> int | None:
        """The oldest `time`, or None when empty."""
        return self.body["parts"][0]["first"] if self.body["parts"] else None

    @property
    def last(self) -> int | None:
        """The newest `time`, or None when empty."""
        return self.body["parts"][-1]["last"] if self.body["parts"] else None

    @property
    def as_of(self) -> int:
        """The instant the state was written for."""
        return parse_instant(self.body["as_of"])


def head_key(prefix: str) -> str:
    """Return the key of a history's newest manifest."""
    return f"{prefix}/manifest.json"


def state_key(prefix: str, as_of: str) -> str:
    """Return the key under which a history's state of `as_of` is kept for good."""
    return f"{prefix}/states/{compact(as_of)}.json"


def load_manifest(store: Store, key: str) -> Manifest | None:
    """Return the manifest under `key`, or None if there is none; raise `BarSchemaError` if its bytes are none."""
    try:
        stored = store.get(key)
    except KeyNotFoundError:
        return None
    return _manifest(key, stored.data, stored.etag)


def _manifest(key: str, data: bytes, etag: str) -> Manifest:
    """Return a manifest from its bytes, each part with the key that is left out there."""
    prefix = key.removesuffix("/manifest.json") if key.endswith("/manifest.json") else key.rpartition("/states/")[0]
    try:
        body = json.loads(data)
        suffix = body.get("suffix", "")
        parts = [{"key": part_key(prefix, part["month"], part["sha256"], suffix), **part} for part in body["parts"]]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BarSchemaError(f"{key} is no manifest ({error!r}); restore it or ingest again") from error
    return Manifest(key, {**body, "parts": parts}, tables.sha256(data), etag)


def part_key(prefix: str, month: str, sha256: str, suffix: str) -> str:
    """Return the key of one part: where it belongs, and what is in it."""
    return f"{prefix}/{month}.{sha256[:16]}.{suffix}"


def read(store: Store, manifest: Manifest, *, since: int | None = None) -> Table:
    """Return the rows of a state, oldest first; with `since`, only the months from that instant on.

    Raises
    ------
    BarSchemaError
        If a part's bytes no longer have the digest its manifest names.
    """
    first_month = month_of(since) if since is not None else ""
    return read_parts(store, [part for part in manifest.body["parts"] if part["month"] >= first_month])


def read_parts(store: Store, parts: Sequence[Mapping[str, Any]]) -> Table:
    """Return the rows of some parts of a state, in the parts' order; no parts give no columns."""
    tables_read = [_read_part(store, part) for part in parts]
    if not tables_read:
        return {}
    return {name: np.concatenate([table[name] for table in tables_read]) for name in tables_read[0]}


def _read_part(store: Store, part: Mapping[str, Any]) -> Table:
    data = store.get(part["key"]).data
    if tables.sha256(data) != part["sha256"]:
        raise BarSchemaError(f"{part['key']} does not have the sha256 its manifest names; restore it or re-ingest")
    return tables.decode_npz(data) if part["key"].endswith(".npz") else tables.decode_csv(data, BAR_KINDS)


def write_parts(
    store: Store, prefix: str, table: Table, *, codec: Codec, head: Manifest | None = None
) -> list[dict[str, Any]]:
    """Write a table's months as parts and return their entries, oldest first.

    Parts that `head` already names are not sent again; a part that exists is never overwritten.
    """
    if not len(table["time"]):
        return []
    starts = _month_starts(table["time"])
    bounds = [*np.flatnonzero(np.r_[True, starts[1:] != starts[:-1]]).tolist(), len(starts)]
    known = {part["key"] for part in head.body["parts"]} if head else set()
    entries = []
    for start, stop in zip(bounds[:-1], bounds[1:], strict=True):
        rows = {name: column[start:stop] for name, column in table.items()}
        entries.append(_write_part(store, prefix, rows, month_of(int(starts[start])), codec, known))
    return entries


def _month_starts(time: Any) -> Any:
    """Return each row's month start as unix seconds."""
    return time.astype("datetime64[s]").astype("datetime64[M]").astype("datetime64[s]").astype(np.int64)


def _write_part(store: Store, prefix: str, rows: Table, month: str, codec: Codec, known: set[str]) -> dict[str, Any]:
    data = tables.encode_npz(rows) if codec == "npz" else tables.encode_csv(rows)
    digest = tables.sha256(data)
    key = part_key(prefix, month, digest, SUFFIXES[codec])
    if key not in known:
        store.put_new(key, data)
    times = rows["time"]
    return {
        "month": month, "key": key, "rows": len(times), "first": int(times[0]), "last": int(times[-1]), "sha256": digest,
    }  # fmt: skip


def commit(
    store: Store,
    prefix: str,
    parts: list[dict[str, Any]],
    *,
    as_of: str,
    meta: Mapping[str, Any],
    head: Manifest | None,
) -> Manifest:
    """Write a state's manifest under its own `as_of`, then make it the head if it is the newest.

    Parameters
    ----------
    head
        The head that was read before; the write is conditional on it.

    Raises
    ------
    ConflictError
        If another writer changed the head meanwhile. Nothing is lost: read again and merge again.
    """
    data = _encoded(prefix, parts, as_of, meta)
    key = state_key(prefix, as_of)
    if head is None or head.as_of <= parse_instant(as_of):
        _write_head(store, head_key(prefix), data, head)
    store.put(key, data)
    return _manifest(key, data, "")


def advance(
    store: Store,
    prefix: str,
    parts: list[dict[str, Any]],
    *,
    as_of: str,
    meta: Mapping[str, Any],
    head: Manifest | None,
) -> Manifest:
    """Make a state the head without keeping it under its own `as_of`, and return the new head.

    For the steps of a long change: what they wrote is found again after a kill, and their states litter nothing.

    Raises
    ------
    ConflictError
        If another writer changed the head meanwhile.
    """
    data = _encoded(prefix, parts, as_of, meta)
    _write_head(store, head_key(prefix), data, head)
    found = load_manifest(store, head_key(prefix))
    if found is None or found.sha256 != tables.sha256(data):
        raise ConflictError(f"{head_key(prefix)} was changed by another writer; read it and merge again")
    return found


def _encoded(prefix: str, parts: Sequence[Mapping[str, Any]], as_of: str, meta: Mapping[str, Any]) -> bytes:
    """Return a manifest's bytes; a part's key is left out, for it follows from the rest."""
    suffix = str(parts[0]["key"]).removeprefix(f"{prefix}/").split(".", 2)[2] if parts else ""
    slim = [{name: value for name, value in part.items() if name != "key"} for part in parts]
    body = {"format": 2, "as_of": as_of, "suffix": suffix, "parts": slim, **meta}
    return (json.dumps(body, sort_keys=True, separators=(",", ":"), allow_nan=False) + "\n").encode()


def _write_head(store: Store, key: str, data: bytes, head: Manifest | None) -> None:
    if head is None:
        if not store.put_new(key, data):
            raise ConflictError(f"{key} was created by another writer; read it and merge again")
    elif tables.sha256(data) != head.sha256:
        store.replace(key, data, head.etag)
