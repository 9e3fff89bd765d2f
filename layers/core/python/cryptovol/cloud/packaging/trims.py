"""What of a package a function never reads. Each rule was tried by importing and using what is left."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

# AWS services whose descriptions botocore keeps: objects, keys of the API, and roles. The others are 16 MB.
SERVICES = ("s3", "secretsmanager", "sts")
# What XGBoost needs of SciPy: it imports scipy.sparse, which imports these. Nothing of ours imports SciPy in a function.
SCIPY = ("_external", "_lib", "linalg", "sparse", "special")
# Required by name and loaded on roads that no function takes, so not even installed: Optuna's storage in a database, and
# the signing of Google logins, which MLflow's client brings along.
UNUSED = ("alembic", "mako", "markupsafe", "sqlalchemy", "cffi", "cryptography", "pycparser")
_FOLDERS = {"tests", "test", "testing_data", "__pycache__", "include"}
_ENDINGS = {".pyi", ".pyx", ".pxd", ".h", ".hpp", ".c", ".cpp", ".a", ".pyc"}
# Names of this machine, and hashes of files that are not shipped; no program asks for them.
_RECORDS = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json"}


def kept(name: PurePosixPath) -> bool:
    """Return whether a file of an unpacked package ships.

    Parameters
    ----------
    name
        Relative to the folder that holds the packages.

    Notes
    -----
    ``numpy/f2py`` stays: SciPy and XGBoost do not import without it. Nothing is stripped of its symbols: inside
    ``*.libs`` that breaks OpenBLAS on some code paths only. ``*.dist-info`` stays but for its records, because
    `importlib.metadata` is asked for versions and entry points, and licences must travel along.
    """
    folder = name.parts[:-1]
    if folder[:1] == ("bin",) or name.name == ".lock" or _FOLDERS & set(folder):
        return False
    if folder and folder[0].endswith(".dist-info"):
        return name.name not in _RECORDS
    if folder[:2] == ("botocore", "data") and len(folder) > 2:
        return folder[2] in SERVICES
    if folder[:1] == ("scipy",) and len(folder) > 1:
        return folder[1] in SCIPY
    return name.suffix not in _ENDINGS


def trim(folder: Path) -> None:
    """Delete the files of a folder that do not ship, and the folders that are then empty."""
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir() and not path.is_symlink():
            if not any(path.iterdir()):
                path.rmdir()
        elif not kept(PurePosixPath(path.relative_to(folder).as_posix())):
            path.unlink()
