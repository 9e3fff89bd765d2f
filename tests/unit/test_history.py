"""A history: monthly parts, a manifest last, one winner of two writers."""

import json

import numpy as np
import pytest

from cryptovol import history, tables
from cryptovol.bars import Bars
from cryptovol.errors import BarSchemaError, ConflictError
from cryptovol.history import Manifest
from cryptovol.testing import START, MemoryStore, make_bars
from cryptovol.times import HOUR, format_instant

PREFIX = "bars/raw/test/btc-usd"


def _write(store: MemoryStore, bars: Bars, *, head: Manifest | None = None) -> Manifest:
    parts = history.write_parts(store, PREFIX, bars.columns(), codec="csv")
    as_of = format_instant(int(bars.time[-1]) + HOUR)
    return history.commit(store, PREFIX, parts, as_of=as_of, meta={"symbol": "BTC"}, head=head)


def _head(store: MemoryStore) -> Manifest:
    found = history.load_manifest(store, history.head_key(PREFIX))
    assert found is not None
    return found


@pytest.mark.parametrize("codec", ["csv", "npz"])
def test_history_gives_back_what_was_written(codec: history.Codec) -> None:
    """Rows of three months come back whole, in order and of the same types."""
    store, bars = MemoryStore(), make_bars(24 * 75)
    parts = history.write_parts(store, PREFIX, bars.columns(), codec=codec)
    state = history.commit(store, PREFIX, parts, as_of="2024-03-16T00:00:00Z", meta={}, head=None)
    assert [part["month"] for part in parts] == ["2024-01", "2024-02", "2024-03"]
    found = Bars(**history.read(store, state))
    for name, column in bars.columns().items():
        np.testing.assert_array_equal(getattr(found, name), column)
        assert getattr(found, name).dtype.kind == column.dtype.kind
    assert (state.rows, state.first, state.last) == (len(bars), START, int(bars.time[-1]))


def test_history_rewrites_only_the_month_that_grew() -> None:
    """Six more hours write one part and leave the earlier months' objects alone."""
    store = MemoryStore()
    _write(store, make_bars(24 * 40))
    before = set(store.objects)
    _write(store, make_bars(24 * 40 + 6), head=_head(store))
    assert {key.rsplit("/", 1)[1][:7] for key in set(store.objects) - before if "states" not in key} == {"2024-02"}


def test_history_keeps_every_state_readable() -> None:
    """The state of an earlier as_of still gives its rows after the history went on."""
    store = MemoryStore()
    first = _write(store, make_bars(100))
    _write(store, make_bars(106), head=_head(store))
    kept = history.load_manifest(store, first.key)
    assert kept is not None and kept.sha256 == first.sha256
    assert len(history.read(store, kept)["time"]) == 100


def test_history_lets_one_of_two_writers_win() -> None:
    """The second of two writers that read the same head gets a conflict and destroys nothing."""
    store = MemoryStore()
    _write(store, make_bars(100))
    head = _head(store)
    _write(store, make_bars(110), head=head)
    with pytest.raises(ConflictError):
        _write(store, make_bars(105), head=head)
    assert _head(store).rows == 110
    with pytest.raises(ConflictError):
        _write(store, make_bars(120), head=None)


def test_history_does_not_let_an_older_state_become_the_head() -> None:
    """A state written later for an earlier as_of leaves the head where it is."""
    store = MemoryStore()
    _write(store, make_bars(110))
    _write(store, make_bars(100), head=_head(store))
    assert _head(store).rows == 110


def test_history_refuses_a_part_that_was_changed() -> None:
    """A part whose bytes differ from the manifest's digest is not read."""
    store = MemoryStore()
    state = _write(store, make_bars(10))
    key = state.body["parts"][0]["key"]
    store.objects[key] = store.objects[key][:-1] + b"?"
    with pytest.raises(BarSchemaError, match="sha256"):
        history.read(store, state)


def test_read_since_gives_the_months_from_an_instant_on() -> None:
    """Only the months that can hold an instant or later ones are read."""
    store = MemoryStore()
    state = _write(store, make_bars(24 * 75))
    found = history.read(store, state, since=START + 40 * 24 * HOUR)
    assert found["time"][0] == START + 31 * 24 * HOUR


def test_read_parts_of_nothing_has_no_columns() -> None:
    """No parts give an empty table."""
    assert history.read_parts(MemoryStore(), []) == {}


def test_write_parts_of_no_rows_writes_nothing() -> None:
    """An empty table has no parts."""
    store = MemoryStore()
    assert history.write_parts(store, PREFIX, make_bars(0).columns(), codec="csv") == [] and not store.objects


def test_manifest_grows_by_one_short_entry_a_month() -> None:
    """A part's key is not written, for it follows from the rest; a reader has it all the same."""
    store, sizes = MemoryStore(), []
    for months in (1, 2, 3):
        state = _write(store, make_bars(24 * 30 * months), head=_head(store) if sizes else None)
        sizes.append(len(store.objects[state.key]))
        assert all(part["key"] in store.objects for part in state.body["parts"])
        assert _head(store).body == state.body
    assert sizes[1] - sizes[0] == sizes[2] - sizes[1] < 150 and b"csv.gz" in store.objects[state.key]
    assert b".csv.gz" not in store.objects[state.key]


def test_manifest_that_names_its_keys_is_read() -> None:
    """A manifest of the first format, with a key in each entry, gives the same rows."""
    store = MemoryStore()
    state = _write(store, make_bars(100))
    old = {**state.body, "format": 1}
    del old["suffix"]
    store.put(history.head_key(PREFIX), tables.encode_json(old))
    assert json.loads(store.objects[history.head_key(PREFIX)])["parts"][0]["key"] == state.body["parts"][0]["key"]
    assert history.read(store, _head(store))["time"].tolist() == make_bars(100).time.tolist()


def test_advance_makes_a_head_and_keeps_no_state() -> None:
    """A step of a long change is found as the newest state, and under no as_of of its own."""
    store = MemoryStore()
    first = _write(store, make_bars(100))
    before = set(store.objects)
    parts = history.write_parts(store, PREFIX, make_bars(200).columns(), codec="csv")
    moved = history.advance(store, PREFIX, parts, as_of=first.body["as_of"], meta={}, head=_head(store))
    assert (moved.rows, moved.as_of, moved.etag) == (200, first.as_of, _head(store).etag)
    assert not [key for key in set(store.objects) - before if "states" in key]


def test_advance_loses_to_a_writer_that_was_first() -> None:
    """A step onto a head that has changed meanwhile is a conflict and changes nothing."""
    store = MemoryStore()
    state = _write(store, make_bars(100))
    stale = _head(store)
    _write(store, make_bars(110), head=stale)
    for head in (stale, None):
        with pytest.raises(ConflictError):
            history.advance(store, PREFIX, list(state.body["parts"]), as_of=state.body["as_of"], meta={}, head=head)
    assert _head(store).rows == 110
