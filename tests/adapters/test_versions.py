"""Data versions with real git and DVC, and a folder as remote."""

import shutil
import subprocess
from contextlib import closing

import pytest

from cryptovol.adapters.versions import Versions
from cryptovol.errors import StoreUnavailableError
from cryptovol.testing import MemoryStore

pytestmark = pytest.mark.filterwarnings("ignore")  # DVC's own imports warn; not ours to fix


@pytest.fixture
def versions(tmp_path):
    """Return a data repository whose remote is a folder."""
    return Versions(tmp_path / "repo", remote=str(tmp_path / "remote"), endpoint=None)


def stored(**objects):
    """Return a store with some objects."""
    store = MemoryStore()
    for name, data in objects.items():
        store.put(f"bars/raw/{name}.npz", data)
    return store


def test_versions_record_push_and_restore(versions, tmp_path):
    """A revision can be checked out elsewhere and pulled back byte for byte."""
    store = stored(a=b"one", b=b"two")
    found = versions.record(store, store.keys(""), under="live/btc-usd", message="run r1")
    assert found.files == 2 and found.pushed > 0
    other = tmp_path / "other"
    subprocess.run(["git", "clone", "-q", str(tmp_path / "repo"), str(other)], check=True)
    shutil.copy(tmp_path / "repo/.dvc/config.local", other / ".dvc/config.local")
    from dvc.repo import Repo

    with closing(Repo(str(other))) as repo:
        repo.pull()
    assert (other / "data/live/btc-usd/bars/raw/a.npz").read_bytes() == b"one"


def test_versions_of_the_same_objects_make_no_new_revision(versions):
    """Recording twice is one commit and nothing to push."""
    store = stored(a=b"one")
    first = versions.record(store, store.keys(""), under="live/btc-usd", message="run r1")
    again = versions.record(store, store.keys(""), under="live/btc-usd", message="run r1")
    assert again.revision == first.revision and again.pushed == 0


def test_versions_drop_what_is_no_longer_named(versions, tmp_path):
    """A new revision holds exactly what it names; the old one keeps its own."""
    store = stored(a=b"one", b=b"two")
    versions.record(store, store.keys(""), under="live/btc-usd", message="run r1")
    found = versions.record(store, ["bars/raw/b.npz"], under="live/btc-usd", message="run r2")
    assert found.files == 1 and not (tmp_path / "repo/data/live/btc-usd/bars/raw/a.npz").exists()


def test_versions_tell_a_remote_that_cannot_be_written(tmp_path):
    """A push that fails is a failure, not a silent success."""
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where a folder should be")
    store = stored(a=b"one")
    with pytest.raises(StoreUnavailableError, match="could not push|are not on"):
        Versions(tmp_path / "repo", remote=str(blocked), endpoint=None).record(
            store, store.keys(""), under="live/x", message="m"
        )
