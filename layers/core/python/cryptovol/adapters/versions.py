"""Data versions with DVC: after a training, what it read and wrote becomes one revision that can be pulled again.

The revisions live in a git repository of their own, so that running the pipeline never commits to the checkout it
runs from. The remote is a bucket on the same endpoint as the store.
"""

from __future__ import annotations

import logging
import os
import subprocess
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptovol.errors import ConfigError, StoreUnavailableError
from cryptovol.ports import Store

IDENTITY = ("-c", "user.name=cryptovol", "-c", "user.email=cryptovol@localhost", "-c", "commit.gpgsign=false")


@dataclass(frozen=True)
class Version:
    """One revision: the git commit that names it, the files in it, and how many of them were new to the remote."""

    revision: str
    files: int
    pushed: int


class Versions:
    """The data repository in a folder, made on first use.

    Parameters
    ----------
    folder
        Where the repository is or will be.
    remote
        ``s3://bucket/prefix``, or a folder.
    endpoint
        S3 endpoint URL, or None for AWS.
    """

    def __init__(self, folder: Path, *, remote: str, endpoint: str | None) -> None:
        self._folder = folder
        self._remote = remote
        self._endpoint = endpoint

    def record(self, store: Store, keys: Iterable[str], *, under: str, message: str) -> Version:
        """Copy the keys out of the store, commit them as one revision and push them.

        Parameters
        ----------
        keys
            Object keys; those named by content are copied once and kept.
        under
            Folder inside the repository that this set replaces, for instance ``live/btc-usd``.

        Raises
        ------
        StoreUnavailableError
            If the push fails, or the remote lacks an object after it.
        """
        data = self._folder / "data" / under
        wanted = {data / key for key in keys}
        with closing(self._open()) as repo:
            _mirror(store, wanted, data)
            repo.add(str(data), no_commit=False)
            revision = self._commit(under, message)
            pushed = self._push(repo)
        return Version(revision, len(wanted), pushed)

    def _open(self) -> Any:
        os.environ.setdefault("DVC_NO_ANALYTICS", "1")
        from dvc.repo import Repo

        logging.getLogger("dvc").setLevel(logging.ERROR)  # its advice is for people at a prompt

        self._folder.mkdir(parents=True, exist_ok=True)
        if not (self._folder / ".git").is_dir():
            self._git("init", "--quiet", "--initial-branch=main")
        if not (self._folder / ".dvc" / "config").is_file():
            Repo.init(str(self._folder), force=True).close()
        self._configure()
        return Repo(str(self._folder))

    def _configure(self) -> None:
        """Point the remote at this start's endpoint: the embedded cloud's port may change between starts."""
        remote = [f"['remote \"store\"']\n    url = {self._remote}"]
        if self._endpoint and self._remote.startswith("s3://"):
            remote.append(f"    endpointurl = {self._endpoint}")
        (self._folder / ".dvc" / "config.local").write_text("\n".join(remote) + "\n", encoding="utf-8")
        shared = "[core]\n    remote = store\n    analytics = false\n    autostage = false\n"
        (self._folder / ".dvc" / "config").write_text(shared, encoding="utf-8")

    def _commit(self, under: str, message: str) -> str:
        self._git("add", "--all", ".")
        if self._git("status", "--porcelain"):
            self._git("commit", "--quiet", "--message", f"{under}: {message}")
        return self._git("rev-parse", "HEAD").strip()

    def _push(self, repo: Any) -> int:
        from botocore.exceptions import BotoCoreError, ClientError
        from dvc.exceptions import DvcException

        try:
            pushed = int(repo.push())
            missing = repo.status(cloud=True)
        except (DvcException, OSError, BotoCoreError, ClientError) as error:
            raise StoreUnavailableError(f"DVC could not push to {self._remote}: {error}") from error
        if missing:
            raise StoreUnavailableError(f"{len(missing)} objects are not on {self._remote} after the push; run again")
        return pushed

    def _git(self, *words: str) -> str:
        try:
            done = subprocess.run(
                ["git", *IDENTITY, *words], cwd=self._folder, check=True, capture_output=True, text=True, timeout=60
            )
        except FileNotFoundError as error:
            raise ConfigError("git is not on PATH; data versions need it") from error
        except subprocess.CalledProcessError as error:
            raise StoreUnavailableError(f"git {words[0]} failed in {self._folder}: {error.stderr.strip()}") from error
        return done.stdout


def _mirror(store: Store, wanted: set[Path], data: Path) -> None:
    """Make the folder hold exactly the wanted files; files named by their content are not copied twice."""
    for path in sorted(wanted):
        key = path.relative_to(data).as_posix()
        if path.is_file() and _by_content(key):
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + ".partial")
        partial.write_bytes(store.get(key).data)
        partial.replace(path)
    for path in [p for p in data.rglob("*") if p.is_file() and p not in wanted]:
        path.unlink()


def _by_content(key: str) -> bool:
    return "/bundles/" in key or key.endswith((".csv.gz", ".npz"))
