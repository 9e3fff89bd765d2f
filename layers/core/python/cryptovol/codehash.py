"""The hash of this package's code: part of what a trained model depends on."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

# What decides a model's numbers, modules and packages; command line, adapters and cloud code do not.
NOUNS = (
    "bars", "baselines", "bundle", "drift", "features", "folds", "forest", "intervals", "leaks", "level", "model",
    "promotion", "scores", "spec", "tables", "target", "training", "volatility", "windows",
)  # fmt: skip


@cache
def model_code_sha256() -> str:
    """Return the hash of the modules between bars and bundle, file names included."""
    return hash_of(Path(__file__).parent, NOUNS)


def hash_of(folder: Path, names: tuple[str, ...]) -> str:
    """Return the hash of the named modules and packages of a folder: of each file's path in it, length and bytes.

    Raises
    ------
    FileNotFoundError
        If a name is neither a module nor a package.
    """
    digest = hashlib.sha256()
    for path in (file for name in names for file in sources(folder, name)):
        body = path.read_bytes()
        digest.update(f"{path.relative_to(folder).as_posix()} {len(body)}\n".encode() + body)
    return digest.hexdigest()


def sources(folder: Path, name: str) -> list[Path]:
    """Return a module's one file, or every source file of a package, sub-packages included, sorted by path.

    Raises
    ------
    FileNotFoundError
        If the name is neither.
    """
    module, package = folder / f"{name}.py", folder / name
    found = [module] if module.is_file() else sorted(package.rglob("*.py"), key=lambda path: path.as_posix())
    if not found:
        raise FileNotFoundError(f"{name} is neither a module nor a package of {folder}")
    return found
