"""The packages that ship: function zips and the core layer, as bytes that depend on the files' content alone."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

from cryptovol.errors import ConfigError

STAGES = ("ingest", "validate", "featurize", "train", "forecast", "score", "watch", "tune")
# Fixed, so that a fresh checkout gives the same bytes; zip can hold no earlier instant.
_EPOCH = (1980, 1, 1, 0, 0, 0)
_SKIPPED_FOLDERS = {"__pycache__", ".chalice"}
_SKIPPED_ENDINGS = (".pyc", ".pyo")


def function_zip(root: Path, stage: str, *, bootstrap: bytes | None = None) -> bytes:
    """Return the zip of one stage's function: its folder's files, ``params.yaml`` and, if given, a `bootstrap`.

    Parameters
    ----------
    root
        The project folder.
    bootstrap
        The entry point that a ``provided`` runtime starts; None for a runtime that brings its own.
    """
    files = read_tree(root / "functions" / stage)
    params = root / "params.yaml"
    if "handler.py" not in files or not params.is_file():
        raise ConfigError(f"{root} has no functions/{stage}/handler.py or no params.yaml; run from the project folder")
    files["params.yaml"] = params.read_bytes()
    return pack(files, {"bootstrap": bootstrap} if bootstrap is not None else {})


def layer_zip(root: Path) -> bytes:
    """Return the zip of the core layer: our one package under ``python/``."""
    files = read_tree(root / "layers" / "core" / "python")
    if "cryptovol/__init__.py" not in files:
        raise ConfigError(f"{root} has no layers/core/python/cryptovol; run from the project folder")
    return pack({f"python/{name}": data for name, data in files.items()})


def read_tree(folder: Path) -> dict[str, bytes]:
    """Return the files under a folder by their relative name; caches and compiled files are left out."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.is_file() and not _SKIPPED_FOLDERS & set(name.parts) and path.suffix not in _SKIPPED_ENDINGS:
            found[name.as_posix()] = path.read_bytes()
    return found


def pack(files: Mapping[str, bytes], programs: Mapping[str, bytes] | None = None) -> bytes:
    """Return a zip of plain files (mode 0644) and programs (0755), sorted by name.

    Stored without compression: compressors differ between machines, and the packages are small.
    """
    entries = [(name, data, 0o100644) for name, data in files.items()]
    entries += [(name, data, 0o100755) for name, data in (programs or {}).items()]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data, mode in sorted(entries):
            archive.writestr(_entry(name, mode), data)
    return buffer.getvalue()


def pack_folder(folder: Path, target: Path) -> None:
    """Write a folder's files as a zip, sorted by name, with fixed times and mode 0644.

    Compressed, since Lambda limits what is uploaded: the bytes are the same for the same files and the same zlib.
    """
    part = target.with_name(f"{target.name}.part")
    with zipfile.ZipFile(part, "w") as archive:
        for name in sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()):
            entry = _entry(name, 0o100644)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, (folder / name).read_bytes(), compresslevel=6)
    part.replace(target)


def _entry(name: str, mode: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, date_time=_EPOCH)
    info.create_system = 3  # Unix, whatever machine packs: only then does the mode count
    info.external_attr = mode << 16
    return info


def digest(package: bytes) -> str:
    """Return the hex sha256 of a package."""
    return hashlib.sha256(package).hexdigest()
