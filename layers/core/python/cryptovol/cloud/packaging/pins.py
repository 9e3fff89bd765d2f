"""What a layer holds: groups of direct requirements in `pyproject.toml`, and their hashed pins in ``requirements/``."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptovol.errors import ConfigError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_PREFIX = "layer-"


@dataclass(frozen=True)
class Layer:
    """One third-party layer.

    Parameters
    ----------
    name
        For instance ``model``; its group is ``layer-model``, its pins are ``requirements/layer-model.txt``.
    below
        Every layer that it stands on, lowest first; a package that is in one of them is not in this one.
    direct
        The requirements that its group names itself, by normalised name.
    """

    name: str
    below: tuple[str, ...]
    direct: dict[str, str]

    @property
    def file(self) -> str:
        """The file of its pins, in ``requirements/``."""
        return f"{_PREFIX}{self.name}.txt"


def layers(text: str) -> dict[str, Layer]:
    """Return the layers that a `pyproject.toml` declares, by name, each after those it stands on.

    Parameters
    ----------
    text
        The content of `pyproject.toml`. Every dependency group called ``layer-<name>`` is a layer; the groups that it
        includes (PEP 735) are the layers below it.

    Raises
    ------
    ConfigError
        If a layer includes a group that is no layer declared before it.
    """
    found: dict[str, Layer] = {}
    for group, entries in tomllib.loads(text).get("dependency-groups", {}).items():
        if group.startswith(_PREFIX):
            name = group.removeprefix(_PREFIX)
            found[name] = _layer(name, entries, found)
    return found


def _layer(name: str, entries: Iterable[Any], earlier: dict[str, Layer]) -> Layer:
    below: list[str] = []
    direct = {}
    for entry in entries:
        if isinstance(entry, str):
            direct[name_of(entry)] = entry
            continue
        included = earlier.get(entry["include-group"].removeprefix(_PREFIX))
        if included is None:
            group = entry["include-group"]
            raise ConfigError(f"pyproject.toml: layer-{name} includes {group}, which is no layer declared before it")
        below += [each for each in (*included.below, included.name) if each not in below]
    return Layer(name, tuple(below), direct)


def name_of(requirement: str) -> str:
    """Return the normalised name (PEP 503) of a requirement's package.

    Raises
    ------
    ConfigError
        If the text does not begin with a name.
    """
    match = _NAME.match(requirement.strip())
    if match is None:
        raise ConfigError(f"{requirement.strip()[:80]!r} is no requirement: it does not begin with a package's name")
    return re.sub(r"[-_.]+", "-", match.group()).lower()


def requirements(text: str) -> dict[str, str]:
    """Return the requirements of a hand-written file, by normalised name; comments and empty lines are left out."""
    lines = (line.split("#")[0].strip() for line in text.splitlines())
    return {name_of(line): line for line in lines if line}


def pins(text: str) -> dict[str, str]:
    """Return the blocks of a locked file, by normalised name: the pin with its marker and the lines of its hashes.

    Raises
    ------
    ConfigError
        If a block is no ``name==version`` or has no hash: what is not pinned is not shipped.
    """
    found = {}
    for block in re.split(r"\n(?=[^\s#])", text.strip()):
        name = name_of(block)
        if "==" not in block.split("\n")[0] or "--hash=sha256:" not in block:
            raise ConfigError(f"{name} is not pinned by version and hash. Cure: make lock")
        found[name] = block.rstrip()
    return found


def own_pins(layer: Layer, folder: Path) -> dict[str, str]:
    """Return the pins that a layer adds to those below it.

    Parameters
    ----------
    folder
        ``requirements/``.

    Raises
    ------
    ConfigError
        If a file is missing, or a package is pinned otherwise in a layer below: the one on top would hide the other.
    """
    own = pins(_read(folder / layer.file))
    for name in layer.below:
        for package, pin in pins(_read(folder / f"{_PREFIX}{name}.txt")).items():
            if own.pop(package, pin) != pin:
                raise ConfigError(f"layer-{layer.name} and layer-{name} pin {package} differently. Cure: make lock")
    return own


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ConfigError(f"{path} is missing. Cure: make lock") from error
