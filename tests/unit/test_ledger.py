"""The ledger: append-only, chained, and never half a promotion."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from cryptovol import audit, keys, ledger
from cryptovol.adapters.files import FileStore
from cryptovol.errors import ConflictError, LedgerBrokenError
from cryptovol.testing import MemoryStore

WHERE = ("live", "btc-usd", 24)


def model(name):
    """Return a champion's fields."""
    return {"bundle_sha256": name * 8, "name": "m", "version": name, "trained_at": "2025-01-01T00:00:00Z"}


def promoted(names, store=None):
    """Return a store whose ledger promoted the models one after the other."""
    store = store or MemoryStore()
    for name in names:
        ledger.append(store, *WHERE, decision="promoted", champion=model(name))
    return store


def key(number):
    """Return an entry's key."""
    return ledger.entry_key(*WHERE, number)


def chain_faults(store, **more):
    """Return where the audit finds faults, those of the bundles left out: these ledgers have none."""
    return [(f.where, f.what) for f in audit.verify(store, *WHERE, **more).faults if "/bundles/" not in f.where]


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
    assert chain_faults(store) == []


def test_ledger_reads_one_entry_without_the_others():
    """One decision is there by number, or is not."""
    store = promoted("ab")
    found = ledger.one(store, *WHERE, 2)
    assert found == ledger.entries(store, *WHERE)[1] and ledger.one(store, *WHERE, 3) is None


def edited(store):
    """Change a word in the first entry."""
    store.objects[key(1)] = store.objects[key(1)].replace(b"promoted", b"rejected")


def removed(store):
    """Take an entry out from between two others."""
    del store.objects[key(2)]


def inserted(store):
    """Put an entry of one's own between two others and move the rest up."""
    own = json.loads(store.objects[key(2)])
    for number in (3, 2):
        store.objects[key(number + 1)] = store.objects[key(number)]
    store.objects[key(2)] = json.dumps({**own, "champion": model("x")}).encode()


def reordered(store):
    """Let two entries change places."""
    store.objects[key(1)], store.objects[key(2)] = store.objects[key(2)], store.objects[key(1)]


def renumbered(store):
    """Take the first entry out and let the others move down, numbers rewritten."""
    for number in (2, 3):
        body = json.loads(store.objects.pop(key(number)))
        store.objects[key(number - 1)] = json.dumps({**body, "entry": number - 1}).encode()


def misnumbered(store):
    """Give the newest entry another number than its key's."""
    body = json.loads(store.objects[key(3)])
    store.objects[key(3)] = json.dumps({**body, "entry": 4}).encode()


def torn(store):
    """Leave half an entry."""
    store.objects[key(2)] = store.objects[key(2)][:40]


def foreign(store):
    """Put an object among the entries that is none."""
    store.objects[keys.ledger(*WHERE) + "notes.json"] = b"{}"


@pytest.mark.parametrize("tamper", [edited, removed, inserted, reordered, renumbered, misnumbered, torn, foreign])
def test_ledger_tells_any_tampering_before_its_end(tamper):
    """An entry edited, removed, put in, moved or torn breaks the chain: it is not believed, and the audit says where."""
    store = promoted("abc")
    tamper(store)
    with pytest.raises(LedgerBrokenError):
        ledger.entries(store, *WHERE)
    with pytest.raises(LedgerBrokenError):
        ledger.append(store, *WHERE, decision="promoted", champion=model("d"))
    ((where, what),) = chain_faults(store)
    assert where.startswith(keys.ledger(*WHERE)) and what


def test_ledger_whose_newest_promotion_was_removed_is_told_by_the_pointer():
    """champion.json names an entry that is gone: the audit says so, and no training goes on from there."""
    store = promoted("ab")
    del store.objects[key(2)]
    ((where, what),) = chain_faults(store)
    assert where == keys.champion(*WHERE) and "newer entries were removed" in what
    with pytest.raises(LedgerBrokenError, match="set by entry 2, but the ledger ends with 1"):
        ledger.reconcile(store, *WHERE)
    del store.objects[keys.champion(*WHERE)]
    assert ledger.reconcile(store, *WHERE)[-1].number == 1
    assert ledger.champion(store, *WHERE).version == "a"


def test_ledger_whose_newest_rejection_was_removed_is_told_by_the_aliases_or_an_anchor():
    """A rejection leaves no trace in champion.json: the note of the aliases has it, and so has who kept the digest."""
    store = promoted("a")
    last = ledger.append(store, *WHERE, decision="rejected", champion=model("a"))
    del store.objects[key(2)]
    assert chain_faults(store) == []  # nothing inside the chain can tell
    assert "shortened or written anew" in chain_faults(store, anchor=last.sha256)[0][1]
    store.put(keys.aliases(*WHERE), json.dumps({"entry_sha256": last.sha256}).encode())
    ((where, what),) = chain_faults(store)
    assert where == keys.aliases(*WHERE) and "does not have" in what


def test_ledger_whose_newest_entry_was_edited_is_told_by_the_aliases():
    """No later entry names the newest one's digest; the note of the aliases does."""
    store = promoted("ab")
    store.put(keys.aliases(*WHERE), json.dumps({"entry_sha256": ledger.entries(store, *WHERE)[-1].sha256}).encode())
    assert chain_faults(store) == []
    store.objects[key(2)] = store.objects[key(2)].replace(b"promoted", b"rejected")
    assert [where for where, _ in chain_faults(store)] == [keys.aliases(*WHERE)]


@pytest.mark.parametrize("data", [b"", b"[]", b'{"entry": "x"}', b'{"entry": 1}'])
def test_ledger_pointer_that_names_no_champion_is_refused_and_mended(data):
    """A spoilt champion.json is an error by name; the newest entry mends it."""
    store = promoted("a")
    store.objects[keys.champion(*WHERE)] = data
    with pytest.raises(LedgerBrokenError, match="names no champion"):
        ledger.champion(store, *WHERE)
    assert chain_faults(store)
    ledger.reconcile(store, *WHERE)
    assert ledger.champion(store, *WHERE).version == "a"


def test_ledger_pointer_at_another_model_is_told_and_mended():
    """A pointer moved by hand is a fault until the ledger has its word."""
    store = promoted("a")
    pointer = keys.champion(*WHERE)
    store.objects[pointer] = store.objects[pointer].replace(b"aaaaaaaa", b"xxxxxxxx")
    assert [where for where, _ in chain_faults(store)] == [pointer]
    ledger.reconcile(store, *WHERE)
    assert chain_faults(store) == []


def test_ledger_repairs_a_champion_that_was_not_pointed_at():
    """A crash between entry and pointer is mended from the entry."""
    store = promoted("a")
    before = store.objects[keys.champion(*WHERE)]
    promoted("b", store)
    store.objects[keys.champion(*WHERE)] = before
    assert "is not what entry 2 says" in chain_faults(store)[0][1]
    ledger.reconcile(store, *WHERE)
    assert ledger.champion(store, *WHERE).version == "b"


def test_ledger_decision_made_before_another_runs_promotion_is_refused():
    """A rejection that did not see the newest champion would put the old one back; it conflicts instead."""
    store = promoted("ab")
    with pytest.raises(ConflictError, match="has entry 2 since"):
        ledger.append(store, *WHERE, decision="rejected", champion=model("a"), after=1)
    assert ledger.champion(store, *WHERE).version == "b" and len(ledger.entries(store, *WHERE)) == 2
    ledger.append(store, *WHERE, decision="rejected", champion=model("b"), after=2)


def test_ledger_pointer_of_a_slow_writer_does_not_undo_a_newer_one():
    """Two promotions at once: however their pointers are written, the newer entry's champion serves."""

    class Slow(MemoryStore):
        """Lets another promotion happen between the first one's entry and its pointer."""

        armed = True

        def put_new(self, name, data):
            written = super().put_new(name, data)
            if name == key(1) and self.armed:
                self.armed = False
                promoted("b", self)
            return written

    store = promoted("a", Slow())
    assert ledger.champion(store, *WHERE).version == "b" and chain_faults(store) == []


@pytest.fixture(params=["memory", "files"])
def shared(request, tmp_path):
    """Return a store that several writers share: in memory, and in a folder."""
    return MemoryStore() if request.param == "memory" else FileStore(tmp_path)


def test_ledger_of_racing_writers_loses_and_doubles_nothing(shared):
    """Of writers at once each either has its own number or is told of the conflict, and the last promotion serves."""

    def write(i):
        try:
            return ledger.append(shared, *WHERE, decision="promoted", champion=model(chr(97 + i))).number
        except ConflictError:
            return None

    with ThreadPoolExecutor(8) as pool:
        written = [number for number in pool.map(write, range(24)) if number]
    found = ledger.entries(shared, *WHERE)
    assert sorted(written) == [e.number for e in found] == list(range(1, len(found) + 1))
    newest = found[-1].body["champion"]
    assert ledger.champion(shared, *WHERE).bundle_sha256 == newest["bundle_sha256"]


def test_ledger_number_is_won_by_exactly_one_writer(shared):
    """Writers that decided in sight of the same entry: one is recorded, all others conflict."""
    ledger.append(shared, *WHERE, decision="promoted", champion=model("a"))

    def write(i):
        try:
            ledger.append(shared, *WHERE, decision="rejected", champion=model("a"), after=1, run_id=str(i))
        except ConflictError:
            return 0
        return 1

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(write, range(16))) == 1
    assert len(ledger.entries(shared, *WHERE)) == 2
