"""The store on a folder: what `dvc repro` and the tests use, with the same promises as S3."""

from __future__ import annotations

import errno
import fcntl
import itertools
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cryptovol.errors import ConfigError, ConflictError, KeyNotFoundError, StoreUnavailableError
from cryptovol.ports import Stored
from cryptovol.tables import sha256

_FULL = (errno.ENOSPC, errno.EDQUOT)
_ABSENT = (FileNotFoundError, IsADirectoryError, NotADirectoryError)


class FileStore:
    """Objects as files under one folder; the tag of an object is the sha256 of its bytes.

    A write goes to a temporary file beside the tree, is flushed to disk, and takes its place by rename or link: a
    reader sees the old object or the new one, never a part. Folders are flushed too: what was written before stands
    after a power cut wherever what was written later does. Writers of other processes are kept apart by one lock file.
    A temporary file is locked by its writer; one that is not was left by a writer that was killed, and is removed.

    Parameters
    ----------
    root
        The folder; made by the first write.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._swept = False

    def get(self, key: str) -> Stored:
        """Return the object; raise `KeyNotFoundError` if there is none."""
        path = self._path(key)
        with self._typed(f"read {key}"):
            try:
                data = path.read_bytes()
            except _ABSENT:
                raise KeyNotFoundError(f"nothing is stored under {key} in {self._root}") from None
        return Stored(data, sha256(data))

    def put(self, key: str, data: bytes) -> None:
        """Write the object, replacing any before it."""
        path = self._path(key)
        with self._typed(f"write {key}"), self._locked(), self._written(data) as fresh:
            _make_folder(path.parent)
            os.replace(fresh, path)
            _flush_folder(path.parent)

    def put_new(self, key: str, data: bytes) -> bool:
        """Write the object if the key is free; return False, and write nothing, if it is taken."""
        path = self._path(key)
        with self._typed(f"write {key}"):
            written = not path.exists() and self._linked(path, data)
            # Also if it was there: its writer may have been killed before it came to this.
            _flush_folder(path.parent)
        return written

    def replace(self, key: str, data: bytes, etag: str) -> None:
        """Replace the very version `etag` names; raise `ConflictError` if it is no longer the current one."""
        path = self._path(key)
        with self._typed(f"write {key}"), self._locked(), self._written(data) as fresh:
            if not path.is_file() or sha256(path.read_bytes()) != etag:
                raise ConflictError(f"{key} was changed by another writer; read it again and retry")
            os.replace(fresh, path)
            _flush_folder(path.parent)

    def exists(self, key: str) -> bool:
        """Return whether something is stored under the key."""
        with self._typed(f"look up {key}"):
            return self._path(key).is_file()

    def keys(self, prefix: str) -> Iterator[str]:
        """Yield the keys that begin with `prefix`, in ascending order."""
        folder = self._root / prefix.rpartition("/")[0]
        with self._typed(f"list {prefix}"):
            found = sorted(self._walk(folder))
        yield from (key for key in found if key.startswith(prefix))

    def _walk(self, folder: Path) -> Iterator[str]:
        for parent, folders, files in os.walk(folder):
            folders[:] = [name for name in folders if not name.startswith(".")]
            base = Path(parent).relative_to(self._root)
            yield from ((base / name).as_posix() for name in files if not name.startswith("."))

    def _path(self, key: str) -> Path:
        parts = key.split("/")
        if any(not part or part.startswith(".") or "\0" in part for part in parts):
            raise ConfigError(f"{key!r} is not a storage key; write parts that begin with no dot, joined by single /")
        return self._root.joinpath(*parts)

    def _linked(self, path: Path, data: bytes) -> bool:
        """Write the file unless there is one; return whether it did."""
        with self._written(data) as fresh:
            _make_folder(path.parent)
            try:
                os.link(fresh, path)
            except FileExistsError:
                return False
        return True

    @contextmanager
    def _locked(self) -> Iterator[None]:
        _make_folder(self._root)
        with open(self._root / ".lock", "wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @contextmanager
    def _written(self, data: bytes) -> Iterator[str]:
        """Yield the name of a temporary file that holds `data` safely on disk; remove it if it was not used."""
        folder = self._root / ".tmp"
        _make_folder(folder)
        if not self._swept:
            _sweep(folder)
            self._swept = True
        handle, name = _claimed(folder)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
                os.chmod(name, 0o644)
                yield name
        finally:
            with suppress(FileNotFoundError):
                os.unlink(name)

    @contextmanager
    def _typed(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            full = error.errno in _FULL
            cure = "free some space and run again" if full else "check the folder's existence, rights and disk"
            why = "no space left on the disk" if full else str(error)
            raise StoreUnavailableError(f"cannot {what} in {self._root}: {why}. Cure: {cure}") from error


def _claimed(folder: Path) -> tuple[int, str]:
    """Return the handle and name of a new temporary file, locked until the handle is closed."""
    while True:
        handle, name = tempfile.mkstemp(dir=folder)
        # Between making and locking it another process may have taken it for a killed writer's.
        if _lock(handle) and os.fstat(handle).st_nlink:
            return handle, name
        os.close(handle)


def _sweep(folder: Path) -> None:
    """Remove the temporary files that no writer holds."""
    for path in folder.iterdir():
        with suppress(FileNotFoundError, PermissionError), open(path, "r+b") as left:
            if _lock(left.fileno()):
                os.unlink(path)


def _lock(handle: int) -> bool:
    """Lock a file if nobody has; return whether that is so."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _make_folder(path: Path) -> None:
    """Make a folder and those above it, and make them survive a power cut."""
    absent = list(itertools.takewhile(lambda each: not each.is_dir(), (path, *path.parents)))
    for folder in reversed(absent):
        folder.mkdir(exist_ok=True)
        _flush_folder(folder.parent)


def _flush_folder(folder: Path) -> None:
    """Make a rename survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
