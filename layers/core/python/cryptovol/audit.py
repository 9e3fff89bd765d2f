"""What is wrong with a ledger, its champion and their bundles: every fault, with where it is.

The chain tells an entry that was edited, put in, moved or taken out from between others. Entries taken off the end leave
a sound, shorter chain; only something outside it can tell: ``champion.json`` and ``aliases.json`` beside it, or an
anchor kept elsewhere (the tag ``ledger_previous`` of a tracked run, a ledger in a DVC revision).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cryptovol import bundle, champions, keys, ledger, tables
from cryptovol.errors import BundleRefusedError, KeyNotFoundError
from cryptovol.ledger import Entry
from cryptovol.ports import Store


@dataclass(frozen=True)
class Fault:
    """One thing that is not as it was written: the key, and what is wrong with it."""

    where: str
    what: str


@dataclass(frozen=True)
class Audit:
    """What was walked, and what is wrong: entries that hold, bundles looked at, the newest entry's digest, faults."""

    entries: int
    bundles: int
    head_sha256: str
    faults: tuple[Fault, ...]


def verify(store: Store, market: str, pair: str, horizon: int, *, anchor: str = "") -> Audit:
    """Walk the chain of decisions, the pointers beside it, and each champion's bundle.

    Parameters
    ----------
    anchor
        sha256 of an entry as it was once seen; a chain that does not have it was shortened or written anew.
    """
    chain, faults = _chain(store, market, pair, horizon)
    named = {entry.sha256 for entry in chain}
    if anchor and anchor not in named:
        where = keys.ledger(market, pair, horizon)
        faults.append(Fault(where, f"no entry has the sha256 {anchor}: the ledger was shortened or written anew"))
    if not faults:
        # A broken chain ends at its first fault; pointers can only be held against a whole one.
        faults += _pointer(store, market, pair, horizon, chain)
        faults += _aliases(store, market, pair, horizon, named)
    models = _champions(chain)
    for model in models:
        faults += bundle_faults(store, market, pair, horizon, model=model)
    return Audit(len(chain), len(models), chain[-1].sha256 if chain else "", tuple(faults))


def _chain(store: Store, market: str, pair: str, horizon: int) -> tuple[list[Entry], list[Fault]]:
    """Return the entries up to the first fault, and that fault."""
    chain: list[Entry] = []
    for key in store.keys(keys.ledger(market, pair, horizon)):
        data = store.get(key).data
        what = ledger.fault_of(key, data, chain[-1] if chain else None)
        if what:
            return chain, [Fault(key, what)]
        chain.append(Entry(len(chain) + 1, tables.sha256(data), json.loads(data)))
    return chain, []


def _pointer(store: Store, market: str, pair: str, horizon: int, chain: list[Entry]) -> Iterator[Fault]:
    key = keys.champion(market, pair, horizon)
    wanted = chain[-1].body["champion"] if chain else None
    try:
        stored = store.get(key).data
    except KeyNotFoundError:
        if wanted is not None:
            yield Fault(key, f"is missing; entry {len(chain)} says that {wanted['bundle_sha256'][:12]} serves")
        return
    if wanted is not None and stored == tables.encode_json(wanted):
        return
    try:
        number = int(json.loads(stored)["entry"])
    except (ValueError, KeyError, TypeError):
        yield Fault(key, "names no champion")
        return
    if number > len(chain):
        yield Fault(
            key, f"was set by entry {number}, but the ledger ends with {len(chain)}: newer entries were removed"
        )
    else:
        yield Fault(key, f"is not what entry {len(chain)} says; the next training, or a rollback, mends it")


def _aliases(store: Store, market: str, pair: str, horizon: int, named: set[str]) -> Iterator[Fault]:
    key = keys.aliases(market, pair, horizon)
    try:
        noted = json.loads(store.get(key).data)["entry_sha256"]
    except KeyNotFoundError:
        return
    except (ValueError, KeyError, TypeError):
        yield Fault(key, "cannot be read")
        return
    if noted not in named:
        yield Fault(
            key, f"was set by an entry {str(noted)[:12]} that the ledger does not have: it was removed or replaced"
        )


def _champions(chain: list[Entry]) -> list[Mapping[str, Any]]:
    """Return each model that ever served, once, oldest first."""
    served = {e.body["champion"]["bundle_sha256"]: e.body["champion"] for e in chain if e.body["champion"]}
    return list(served.values())


def bundle_faults(store: Store, market: str, pair: str, horizon: int, *, model: Mapping[str, Any]) -> list[Fault]:
    """Return what is wrong with a bundle's files, by sha256, and with what it says of itself.

    Whether today's code can serve it is not asked: an old bundle may be whole and yet of older feature code.
    """
    sha256 = str(model["bundle_sha256"])
    where = keys.bundle(market, pair, horizon, sha256=sha256)
    manifest_key = f"{where}/{bundle.MANIFEST}"
    what = _digest_fault(store, manifest_key, sha256)
    if what:
        return [Fault(manifest_key, what)]
    manifest = json.loads(store.get(manifest_key).data)
    found = {f"{where}/{name}": digest for name, digest in manifest["files"].items()}
    faults = [Fault(key, what) for key, digest in found.items() if (what := _digest_fault(store, key, digest))]
    header = manifest["header"]
    try:
        champions.check_identity(header, market, pair, horizon, sha256=sha256)
    except (BundleRefusedError, KeyError) as error:
        faults.append(Fault(manifest_key, str(error)))
    told = [name for name in ("name", "trained_at") if header.get(name) != model.get(name)]
    return faults + [Fault(manifest_key, f"has another {name} than the ledger gives it") for name in told]


def _digest_fault(store: Store, key: str, sha256: str) -> str:
    """Return why the object is not the one with this sha256, or an empty text."""
    try:
        data = store.get(key).data
    except KeyNotFoundError:
        return "is missing"
    return "" if tables.sha256(data) == sha256 else f"has the sha256 {tables.sha256(data)[:12]}…, not {sha256[:12]}…"
