"""The contract of `ports.Store`, held against every store there is."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryptovol.adapters.files import FileStore
from cryptovol.errors import ConfigError, ConflictError, KeyNotFoundError, StoreUnavailableError
from cryptovol.ports import Store
from cryptovol.tables import sha256
from cryptovol.testing import MemoryStore


@pytest.fixture(params=["memory", "files", "s3", "lean"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """Each store in turn, empty."""
    if request.param == "memory":
        return MemoryStore()
    if request.param == "files":
        return FileStore(tmp_path / "store")
    found: Store = request.getfixturevalue(request.param)
    return found


def test_store_gives_back_what_was_put(store: Store) -> None:
    """An object reads back byte for byte, empty ones and NUL bytes too."""
    for data in (b"", b"\x00\xff\r\n", b"x" * 100_000):
        store.put("a/b.bin", data)
        assert store.get("a/b.bin").data == data


def test_store_put_replaces_the_object_and_its_tag(store: Store) -> None:
    """A second put wins and changes the tag."""
    store.put("k", b"one")
    before = store.get("k").etag
    store.put("k", b"two")
    after = store.get("k")
    assert after.data == b"two"
    assert after.etag != before


def test_store_get_names_the_key_when_nothing_is_there(store: Store) -> None:
    """A missing key, and one whose parent is an object, are `KeyNotFoundError` with the key in the text."""
    store.put("a", b"1")
    for key in ("nope", "a/b", "x/y/z"):
        with pytest.raises(KeyNotFoundError, match=key):
            store.get(key)


def test_store_get_takes_no_folder_for_an_object(store: Store) -> None:
    """The prefix of a key is no object."""
    store.put("folder/leaf", b"1")
    assert not store.exists("folder")
    with pytest.raises(KeyNotFoundError):
        store.get("folder")


def test_store_put_new_writes_once(store: Store) -> None:
    """Only the first put_new writes; the second says no and leaves the first one's bytes."""
    assert store.put_new("k", b"first") is True
    assert store.put_new("k", b"second") is False
    assert store.get("k").data == b"first"


def test_store_replace_writes_when_the_tag_is_current(store: Store) -> None:
    """A replace that names the tag it read succeeds, and the next one needs the new tag."""
    store.put("k", b"one")
    tag = store.get("k").etag
    store.replace("k", b"two", tag)
    assert store.get("k").data == b"two"
    with pytest.raises(ConflictError, match="k"):
        store.replace("k", b"three", tag)
    assert store.get("k").data == b"two"


def test_store_replace_refuses_an_object_that_is_gone(store: Store) -> None:
    """A replace of a key that holds nothing is a conflict and writes nothing."""
    with pytest.raises(ConflictError):
        store.replace("never", b"x", '"0"')
    assert not store.exists("never")


def test_store_exists_tells_present_from_absent(store: Store) -> None:
    """`exists` follows what was put."""
    assert not store.exists("a/b")
    store.put("a/b", b"1")
    assert store.exists("a/b")


def test_store_keys_are_sorted_and_begin_with_the_prefix(store: Store) -> None:
    """Keys come in ascending order of the whole key, and a prefix may end inside a name."""
    wanted = ["m/0", "m/a-b/1", "m/a/1", "m/a/2", "m/b", "n"]
    for key in reversed(wanted):
        store.put(key, b"1")
    assert list(store.keys("")) == sorted(wanted)
    assert list(store.keys("m/a")) == ["m/a-b/1", "m/a/1", "m/a/2"]
    assert list(store.keys("m/a/")) == ["m/a/1", "m/a/2"]
    assert [list(store.keys(key)) for key in ("m/0", "m/b", "n")] == [["m/0"], ["m/b"], ["n"]]
    assert list(store.keys("absent/")) == []


@pytest.mark.parametrize("kind", ["s3", "lean"])
def test_store_keys_pages_through_more_than_a_thousand(kind: str, request: pytest.FixtureRequest) -> None:
    """S3 lists a thousand keys at a time; the store yields them all."""
    found: Store = request.getfixturevalue(kind)
    for i in range(1005):
        found.put(f"p/{i:05d}", b"")
    assert len(list(found.keys("p/"))) == 1005


@pytest.mark.parametrize("kind", ["memory", "files"])
def test_store_put_new_admits_one_of_many_threads(kind: str, tmp_path: Path) -> None:
    """Of eight writers at once exactly one is told that it wrote. (Not on moto, which is not atomic.)"""
    store: Store = MemoryStore() if kind == "memory" else FileStore(tmp_path)
    for round_number in range(10):
        wins = _in_threads(8, lambda i, n=round_number: store.put_new(f"k{n}", str(i).encode()))
        assert sum(wins) == 1
        assert store.get(f"k{round_number}").data == str(wins.index(True)).encode()


@pytest.mark.parametrize("kind", ["memory", "files"])
def test_store_replace_loses_no_update_under_threads(kind: str, tmp_path: Path) -> None:
    """A counter kept by read and replace ends exact, whoever is refused in between."""
    store: Store = MemoryStore() if kind == "memory" else FileStore(tmp_path)
    store.put("n", b"0")

    def count(_: int) -> None:
        done = 0
        while done < 5:
            seen = store.get("n")
            try:
                store.replace("n", str(int(seen.data) + 1).encode(), seen.etag)
                done += 1
            except ConflictError:
                continue

    _in_threads(4, count)
    assert store.get("n").data == b"20"


def _in_threads(n: int, work: Any) -> list[Any]:
    results: list[Any] = [None] * n
    ready = threading.Barrier(n)

    def one(i: int) -> None:
        ready.wait()
        results[i] = work(i)

    threads = [threading.Thread(target=one, args=(i,)) for i in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


# ---------------------------------------------------------------- folders


def test_file_store_tag_is_the_sha256(tmp_path: Path) -> None:
    """The tag of a file is its digest."""
    store = FileStore(tmp_path)
    store.put("k", b"abc")
    assert store.get("k").etag == sha256(b"abc")


@pytest.mark.parametrize("key", ["", "/a", "a//b", "a/", "../a", "a/../b", ".tmp/x", "a/.lock", "a\0b"])
def test_file_store_refuses_keys_that_leave_the_folder(key: str, tmp_path: Path) -> None:
    """A key with an empty or a dotted part is refused before anything is touched."""
    store = FileStore(tmp_path / "root")
    for call in (lambda: store.get(key), lambda: store.put(key, b"x"), lambda: store.put_new(key, b"x")):
        with pytest.raises(ConfigError):
            call()
    assert not (tmp_path / "root").exists()


@given(parts=st.lists(st.text(alphabet="ab.:/\\~ é\0", min_size=0, max_size=6), min_size=1, max_size=4))
def test_file_store_never_writes_outside_its_folder(parts: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whatever the key, either it is refused or the file lies under the folder and is listed by its key."""
    home = tmp_path_factory.mktemp("home")
    key = "/".join(parts)
    store = FileStore(home / "root")
    try:
        store.put(key, b"x")
    except ConfigError:
        return
    assert list(store.keys("")) == [key]
    assert [path.name for path in home.iterdir()] == ["root"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_file_store_says_so_when_the_disk_is_full(code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk is a `StoreUnavailableError` that says so; the old object stands and no rest is left."""
    store = FileStore(tmp_path)
    store.put("k", b"old")

    def full(handle: int) -> None:
        raise OSError(code, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for write in (store.put, store.put_new):
        with pytest.raises(StoreUnavailableError, match="no space left.*Cure"):
            write("new" if write == store.put_new else "k", b"new")
    monkeypatch.undo()
    assert store.get("k").data == b"old"
    assert list((tmp_path / ".tmp").iterdir()) == []
    assert list(store.keys("")) == ["k"]


def test_file_store_names_the_trouble_when_the_folder_is_a_file(tmp_path: Path) -> None:
    """A root that is a file is a `StoreUnavailableError`, not a crash."""
    (tmp_path / "root").write_text("a file")
    with pytest.raises(StoreUnavailableError, match="cannot write k"):
        FileStore(tmp_path / "root").put("k", b"x")
