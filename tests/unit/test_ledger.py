"""The ledger: append-only, chained, and never half a promotion."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from cryptovol import keys, ledger
from cryptovol.errors import ConflictError
from cryptovol.testing import MemoryStore

WHERE = ("live", "btc-usd", 24)


def model(name: str) -> dict[str, str]:
    """Return a champion's fields."""
    return {"bundle_sha256": name * 8, "name": "m", "version": name, "trained_at": "2025-01-01T00:00:00Z"}


def test_ledger_keeps_every_decision_and_its_champion():
    """Promoted, rejected, rolled back: the champion is always what the newest entry says."""
    store = MemoryStore()
    assert ledger.champion(store, *WHERE) is None
    ledger.append(store, *WHERE, decision="promoted", champion=model("a"))
    ledger.append(store, *WHERE, decision="rejected", champion=model("a"))
    ledger.append(store, *WHERE, decision="promoted", champion=model("b"))
    found = ledger.champion(store, *WHERE)
    assert found is not None and (found.version, found.entry) == ("b", 3)
    assert [e.body["decision"] for e in ledger.entries(store, *WHERE)] == ["promoted", "rejected", "promoted"]
    assert ledger.entries(store, *WHERE)[1].body["champion"]["entry"] == 1


def test_ledger_tells_a_tampered_entry():
    """A changed entry breaks the chain and is not believed."""
    store = MemoryStore()
    for name in "ab":
        ledger.append(store, *WHERE, decision="promoted", champion=model(name))
    key = keys.ledger(*WHERE) + "00000001.json"
    body = json.loads(store.objects[key])
    store.objects[key] = json.dumps({**body, "decision": "rejected"}).encode()
    with pytest.raises(ConflictError, match="does not follow"):
        ledger.entries(store, *WHERE)


def test_ledger_repairs_a_champion_that_was_not_pointed_at():
    """A crash between entry and pointer is mended from the entry."""
    store = MemoryStore()
    ledger.append(store, *WHERE, decision="promoted", champion=model("a"))
    before = store.objects[keys.champion(*WHERE)]
    ledger.append(store, *WHERE, decision="promoted", champion=model("b"))
    store.objects[keys.champion(*WHERE)] = before
    ledger.reconcile(store, *WHERE)
    found = ledger.champion(store, *WHERE)
    assert found is not None and found.version == "b"


def test_ledger_of_racing_writers_loses_and_doubles_nothing():
    """Of writers at once each either has its own number or is told of the conflict."""
    store = MemoryStore()

    def write(i: int) -> bool:
        try:
            ledger.append(store, *WHERE, decision="rejected", champion=None, run_id=str(i))
        except ConflictError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        written = sum(pool.map(write, range(40)))
    found = ledger.entries(store, *WHERE)
    assert len(found) == written and [e.number for e in found] == list(range(1, written + 1))
