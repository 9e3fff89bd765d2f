"""The embedded local cloud: MiniStack as S3 and Lambda on one loopback port, objects on disk under ``var/cloud``.

Facts about MiniStack 1.5.33 that shape this module, each read in its source and seen to happen:

- it binds every interface unless `BIND_HOST` is set, and an MQTT port besides unless `IOT_MTLS_ENABLED` is 0;
- on the ``provided`` runtime it mounts no layers, so the core layer is unpacked here and named in `PYTHONPATH`;
- what a function prints reaches CloudWatch Logs only after the invocation and lives in memory: a kill -9 loses it.
  The bootstrap therefore appends it to a file per function (`log_folder`), which the metrics sidecar follows: a line
  is on its way to the disk when the function goes on, and its position survives any restart;
- an object and its metadata are two files, each replaced atomically. A kill between the two leaves old metadata
  beside new bytes; `repair` removes it, and MiniStack computes it anew;
- a write that the disk refuses is only a line in its log: `unsaved` finds them.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from cryptovol.cloud import environs
from cryptovol.cloud.processes import Spec
from cryptovol.errors import ConfigError, StoreUnavailableError, TransientError

NAME = "cloud"
RUNTIME = "provided.al2023"
ACCOUNT = "000000000000"
FREE_BYTES = 300 * 2**20
FULL_BYTES = 10 * 2**20
_UNSAVED = ("Failed to persist", "No space left on device")


def spec(folder: Path, port: int, environ: Mapping[str, str]) -> Spec:
    """Return the emulator's process.

    Parameters
    ----------
    folder
        ``var``, absolute.
    environ
        The caller's environment; scrubbed here.
    """
    home = folder / "cloud"
    (home / "tmp").mkdir(parents=True, exist_ok=True)
    own = {
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "TMPDIR": str(home / "tmp"),
        "S3_PERSIST": "1",
        "S3_DATA_DIR": str(home / "s3"),
        "SERVICES": "s3,lambda,logs",
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "MINISTACK_ACCOUNT_ID": ACCOUNT,
    }
    command = (sys.executable, "-m", "ministack")
    return Spec(NAME, command, environs.scrubbed(environ, **own), port, "/_ministack/ready", ready_seconds=30.0)


def bootstrap(root: Path) -> bytes:
    """Return the file that starts a function on the ``provided`` runtime."""
    path = root / "localstack" / "bootstrap"
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error}. Cure: run from the project folder") from error


def log_folder(folder: Path) -> Path:
    """Return the folder of the functions' own log files, made if absent."""
    logs = folder / "logs" / "functions"
    logs.mkdir(parents=True, exist_ok=True)
    return logs


def function_environ(folder: Path, layer: bytes) -> dict[str, str]:
    """Return what the bootstrap needs: the interpreter, the unpacked core layer first on its path, the log folder."""
    return {
        "LAMBDA_PYTHON": sys.executable,
        "PYTHONPATH": str(mount_layer(folder, layer) / "python"),
        "LAMBDA_LOG_FOLDER": str(log_folder(folder)),
    }


def mount_layer(folder: Path, layer: bytes) -> Path:
    """Unpack a layer's zip under its own digest, once, and return the folder."""
    target = folder / "cloud" / "layers" / hashlib.sha256(layer).hexdigest()[:16]
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(dir=target.parent, prefix=".new-"))
    with zipfile.ZipFile(io.BytesIO(layer)) as archive:
        archive.extractall(fresh)
    try:
        fresh.rename(target)
    except OSError:
        # Another command was first; its copy is the same.
        shutil.rmtree(fresh)
    return target


def object_path(bucket: str, key: str) -> Path:
    """Return where an object lies on disk, relative to the project: a report can be opened without any server."""
    return Path("var", "cloud", "s3", ACCOUNT, bucket, key)


def repair(folder: Path) -> int:
    """Put the objects on disk right after a kill and return how many files were removed.

    Run while the emulator is down. Half-written temporary files go, and so does metadata older than the bytes it
    describes: those are replaced first, so an uninterrupted write never leaves it so.
    """
    removed = 0
    for parent, _, names in os.walk(folder / "cloud" / "s3"):
        for name in names:
            path = Path(parent) / name
            meta = Path(parent) / f"{name}.meta.json"
            if name.endswith(".tmp") and not meta.exists():
                path.unlink()
                removed += 1
            elif (
                not name.endswith(".meta.json") and meta.exists() and meta.stat().st_mtime_ns < path.stat().st_mtime_ns
            ):
                meta.unlink()
                removed += 1
    return removed


def require_space(folder: Path, *, least: int = FREE_BYTES) -> None:
    """Raise `StoreUnavailableError` if fewer bytes than `least` are free on the folder's disk."""
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < least:
        raise StoreUnavailableError(
            f"no space left: {free // 2**20} MB are free on the disk of {folder}, a run needs {FREE_BYTES // 2**20} MB. "
            "Cure: free some space and run again"
        )


@contextmanager
def keeping(folder: Path) -> Iterator[None]:
    """Turn what fails because the disk is full, or refuses, into one error that says so.

    A full disk shows itself in many ways: a database that cannot be opened, a function that cannot start, a log
    that ends. So after any failure the disk is asked first.
    """
    try:
        yield
    except (TransientError, OSError) as error:
        if isinstance(error, BrokenPipeError):
            raise
        require_space(folder, least=FULL_BYTES)
        if isinstance(error, TransientError):
            raise
        raise StoreUnavailableError(
            f"cannot work under {folder}: {error}. Cure: check its rights and its disk"
        ) from error


def unsaved(log: Path, since: int) -> str:
    """Return the emulator's first complaint, after byte `since` of its log, that a write did not reach the disk."""
    try:
        with open(log, "rb") as file:
            file.seek(since)
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    return next((line for line in lines if any(sign in line for sign in _UNSAVED)), "")
