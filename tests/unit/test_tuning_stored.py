"""A study in the store, the space it searches, and the file that tells what it found."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryptovol import keys
from cryptovol import params as params_module
from cryptovol.errors import ConfigError, DataError
from cryptovol.testing import MemoryStore
from cryptovol.training import TrainingTable
from cryptovol.tuning import journal, outcome, space

ALL = params_module.load(Path("params.yaml"))
SHORT = replace(ALL, train=replace(ALL.train, window_hours=100))
KEY = keys.tuned("live", "btc-usd", 24)
TABLE = TrainingTable(3600 * np.arange(400), np.zeros((400, 36)), np.zeros(400), np.ones(400), 24, 0.75)
GOOD = {
    "space": space.VERSION, "base": space.values_of(ALL.train), "study": "s1", "as_of": "2024-01-01T00:00:00Z",
    "params": {**space.values_of(ALL.train), "ridge": 99.5, "depth": 3}, "seen_until": "1970-01-13T12:00:00Z",
}  # fmt: skip
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


def in_force(data: bytes, params=SHORT):
    """Return what a retrain would use with these bytes as tuned.json."""
    store = MemoryStore()
    store.put(KEY, data)
    return outcome.in_force(store, "live", "btc-usd", TABLE, params=params)


# ---------------------------------------------------------------- the journal


def test_a_journal_gives_back_what_was_appended_in_order():
    """Records come back by number, to the writer and to a reader who was not there."""
    store = MemoryStore()
    writer = journal.StoreJournal(store, "log/")
    writer.append_logs([{"op_code": 0}, {"op_code": 4, "x": [1.5, None]}])
    for reader in (writer, journal.StoreJournal(store, "log/")):
        assert list(reader.read_logs(0)) == [{"op_code": 0}, {"op_code": 4, "x": [1.5, None]}]
        assert list(reader.read_logs(1)) == [{"op_code": 4, "x": [1.5, None]}]
    assert sorted(store.objects) == ["log/00000000.json", "log/00000001.json"]


def test_two_writers_of_a_journal_take_different_numbers():
    """One that does not know of the other's records writes after them, over none."""
    store = MemoryStore()
    first, second = journal.StoreJournal(store, "log/"), journal.StoreJournal(store, "log/")
    second.read_logs(0)
    first.append_logs([{"by": 1}, {"by": 1}])
    second.append_logs([{"by": 2}])
    first.append_logs([{"by": 1}])
    assert [record["by"] for record in second.read_logs(0)] == [1, 1, 2, 1]
    assert list(first.read_logs(0)) == list(second.read_logs(0))


@pytest.mark.parametrize("damage", [b"", b"{", b"[1]", b"\xff"])
def test_a_damaged_record_is_told_by_its_key(damage):
    """A record that is not one is an error with its key and the cure, never a study with a hole."""
    store = MemoryStore()
    journal.StoreJournal(store, "log/").append_logs([{"by": 1}])
    store.objects["log/00000000.json"] = damage
    with pytest.raises(DataError, match="log/00000000.json is not a record .* delete"):
        journal.StoreJournal(store, "log/").read_logs(0)


def test_opening_a_study_again_writes_nothing():
    """It is created once, whoever opens it."""
    store = MemoryStore()
    journal.StoredStudy(store, "log/", "s")
    before = dict(store.objects)
    assert journal.StoredStudy(store, "log/", "s").trials() == [] and store.objects == before


# ---------------------------------------------------------------- the space


def test_values_put_back_are_the_block_they_came_from():
    """What is not searched stays, and whole numbers stay whole."""
    assert space.with_values(ALL.train, space.values_of(ALL.train)) == ALL.train
    changed = space.with_values(ALL.train, {**space.values_of(ALL.train), "trees": 123, "ridge": 4})
    assert changed == replace(ALL.train, ridge=4.0, forest=replace(ALL.train.forest, trees=123))


def test_bounds_are_widened_to_hold_the_present_numbers():
    """The parameters in force can always be a trial of their own search."""
    far = replace(ALL.train, ridge=1e7, forest=replace(ALL.train.forest, trees=1))
    found = space.bounds(ALL.tune.space, far)
    assert found["ridge"] == (ALL.tune.space.ridge[0], 1e7) and found["trees"][0] == 1
    assert space.objection(space.values_of(far), found) == ""


@pytest.mark.parametrize(
    ("name", "pair"), [("ridge", (0.0, 1.0)), ("l2", (5.0, 5.0)), ("depth", (6, 2)), ("trees", (1,)), ("colsample", (0.5, 1.5))]
)  # fmt: skip
def test_bounds_that_are_none_are_refused_by_name(name, pair):
    """The message names the pair."""
    with pytest.raises(ConfigError, match=rf"tune\.space\.{name} must be two rising numbers"):
        space.bounds(replace(ALL.tune.space, **{name: pair}), ALL.train)


@given(ANY_JSON)
def test_whatever_is_given_as_values_an_objection_is_found(values):
    """No JSON that is not the eight numbers passes, and none makes the check fail."""
    assert space.objection(values, space.bounds(ALL.tune.space, ALL.train))


# ---------------------------------------------------------------- what a retrain uses


def test_a_retrain_uses_the_tuned_numbers_and_names_the_study():
    """Searched numbers are the tuned ones, the rest is params.yaml's, and the study is in the lineage."""
    found = in_force(json.dumps(GOOD).encode())
    assert (found.train.ridge, found.train.forest.depth) == (99.5, 3)
    assert space.with_values(found.train, GOOD["base"]) == SHORT.train
    assert found.lineage() == {"tuning_study": "s1", "tuning": "tuned as of 2024-01-01T00:00:00Z"}


def test_a_retrain_of_what_was_never_tuned_says_so():
    """Without a file it is the block of params.yaml."""
    found = outcome.in_force(MemoryStore(), "live", "btc-usd", TABLE, params=SHORT)
    assert (found.train, found.study) == (SHORT.train, "") and "never tuned" in found.note


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"space": space.VERSION + 1}, "search space 2, this version has 1"),
        ({"base": {**GOOD["base"], "ridge": 31.0}}, "run `cryptovol tune` again"),
        ({"params": {**GOOD["params"], "gamma": 1.0}}, "its parameters are .*gamma"),
        ({"params": {"ridge": 1.0}}, "its parameters are ridge; this version searches"),
        ({"params": {**GOOD["params"], "depth": 3.5}}, "depth is 3.5, which is no whole number"),
        ({"params": {**GOOD["params"], "depth": True}}, "depth is True"),
        ({"params": {**GOOD["params"], "l2": "much"}}, "l2 is 'much'"),
        ({"params": {**GOOD["params"], "subsample": 1.5}}, "outside tune.space, which is 0.2 to 0.8"),
        ({"params": None}, "its parameters are None"),
        ({"as_of": "yesterday"}, "cannot be read"),
        ({"seen_until": 7}, "cannot be read"),
        ({"seen_until": "1970-01-13T13:00:00Z"}, "saw hours up to 1970-01-13T13:00:00Z.* from 1970-01-13T12:00:00Z on"),
    ],
)
def test_tuned_numbers_that_must_not_be_used_are_refused_with_the_reason(wrong, told, caplog):
    """The block of params.yaml is used, the reason is in the note and in the log."""
    found = in_force(json.dumps({**GOOD, **wrong}).encode())
    assert (found.train, found.study) == (SHORT.train, "")
    with pytest.raises(AssertionError, match=told):
        raise AssertionError(found.note)
    assert [record.levelname for record in caplog.records] == ["WARNING"] and "btc-usd 24 h" in caplog.text


@given(st.binary(max_size=40) | ANY_JSON.map(lambda value: json.dumps(value).encode()))
def test_whatever_bytes_are_there_a_retrain_goes_on_with_params_yaml(data):
    """A torn or foreign file never stops a training."""
    found = in_force(data)
    assert found.train == SHORT.train and "tuned.json is not used" in found.note


@pytest.mark.parametrize("name", sorted(GOOD))
def test_a_file_without_one_of_its_fields_is_not_used(name):
    """Each field is needed."""
    found = in_force(json.dumps({k: v for k, v in GOOD.items() if k != name}).encode())
    assert found.train == SHORT.train and "tuned.json is not used" in found.note


def test_the_file_stays_for_the_same_trials_and_for_an_older_search():
    """A repeated event and a search as of the past leave it; more trials, or a later search, replace it."""
    store = MemoryStore()
    body = {"study": "s1", "trials": {"all": 5}, "as_of": "2024-01-01T00:00:00Z", "run_id": "r1"}
    assert outcome.write(store, KEY, body)
    assert not outcome.write(store, KEY, {**body, "run_id": "r2"})
    assert not outcome.write(store, KEY, {**body, "study": "s0", "as_of": "2023-12-01T00:00:00Z"})
    assert json.loads(store.get(KEY).data) == body
    assert outcome.write(store, KEY, {**body, "trials": {"all": 9}})
    assert outcome.write(store, KEY, {**body, "study": "s2", "as_of": "2024-01-08T00:00:00Z"})
    store.put(KEY, b"torn")
    assert outcome.write(store, KEY, body)
