"""Layers and functions as folders and zips: the same pins and sources give the same bytes."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptovol.cloud import zips
from cryptovol.cloud.packaging import interpreter, pins, plan, trims
from cryptovol.cloud.packaging.interpreter import Interpreter
from cryptovol.cloud.packaging.pins import Layer
from cryptovol.cloud.packaging.plan import Function
from cryptovol.errors import ConfigError, TransientError

ARCHITECTURES = ("x86_64", "aarch64")
# The glibc of Amazon Linux 2023 is 2.34; these wheels need 2.28.
_PLATFORM = "{}-manylinux_2_28"
_NOT_SHIPPED = ("Dockerfile", ".dockerignore")


@dataclass(frozen=True)
class Package:
    """One built archive.

    Parameters
    ----------
    folder
        What it holds, unpacked: a layer's has ``python/`` in it.
    zip
        The archive.
    unzipped, zipped
        Bytes of the files, and of the archive.
    sha256
        Of the archive, in hex.
    """

    folder: Path
    zip: Path
    unzipped: int
    zipped: int
    sha256: str


@dataclass(frozen=True)
class Built:
    """What one architecture's functions and their layers were built into, each by name."""

    functions: dict[str, Package]
    layers: dict[str, Package]

    def packages(self, function: Function) -> list[Package]:
        """Return a function's own package and those of its layers."""
        return [self.functions[function.name], *(self.layers[name] for name in function.layers)]

    def folders(self, function: Function) -> list[Path]:
        """Return what is on a function's path when it runs."""
        own, *layers = self.packages(function)
        return [own.folder, *(layer.folder / "python" for layer in layers)]


class Builder:
    """Builds into one folder, which may be deleted at any time.

    Parameters
    ----------
    root
        The project folder.
    into
        Where builds go; what an earlier build of the same name left is replaced.
    python
        What compiles the modules, or None to ship sources alone.
    environ
        The caller's: it says which package index is asked.
    """

    def __init__(self, root: Path, into: Path, python: Interpreter | None, environ: Mapping[str, str]) -> None:
        self._root, self._into, self._python, self._environ = root, into, python, environ

    def build(
        self, functions: Sequence[Function], layers: Mapping[str, Layer], architecture: str, say: Callable[[str], None]
    ) -> Built:
        """Build functions and every layer that one of them needs; `say` is told what is begun."""
        needed = {name for function in functions for name in function.layers}
        found = {}
        for layer in (each for each in layers.values() if each.name in needed):
            say(f"building {layer.name} for {architecture}")
            found[layer.name] = self.layer(layer, architecture)
        found[plan.CORE] = self.core(architecture)
        return Built({function.name: self.function(function.name) for function in functions}, found)

    def layer(self, layer: Layer, architecture: str) -> Package:
        """Build a third-party layer for one architecture: installed by hash, trimmed, compiled and packed.

        Raises
        ------
        ConfigError
            If its pins do not fit those below it.
        TransientError
            If the package index does not answer or lacks a wheel.
        """
        folder = self._fresh(f"{architecture}/{layer.name}")
        packages = folder / "python"
        lines = pins.own_pins(layer, self._root / "requirements")
        wanted = self._into / architecture / layer.file
        kept = (pin for name, pin in lines.items() if name not in trims.UNUSED)
        wanted.write_text("".join(f"{pin}\n" for pin in kept), encoding="utf-8")
        self._install(wanted, packages, architecture)
        trims.trim(packages)
        return self._finish(folder, "/opt")

    def core(self, architecture: str) -> Package:
        """Build the core layer: our one package, the same for every architecture."""
        folder = self._fresh(f"{architecture}/{plan.CORE}")
        _write(folder / "python", zips.read_tree(self._root / "layers" / "core" / "python"))
        return self._finish(folder, "/opt")

    def function(self, name: str) -> Package:
        """Build a function, the same for every architecture.

        The API's holds what `chalice package` puts in it, Chalice's own two modules among it, and `params.yaml`.
        """
        folder = self._fresh(f"functions/{name}")
        files = zips.read_tree(self._root / "functions" / name)
        files["params.yaml"] = (self._root / "params.yaml").read_bytes()
        if name == "predict":
            files |= chalice_modules()
        _write(folder, {each: data for each, data in files.items() if not each.startswith(_NOT_SHIPPED)})
        return self._finish(folder, "/var/task")

    def _fresh(self, name: str) -> Path:
        folder = self._into / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def _install(self, wanted: Path, target: Path, architecture: str) -> None:
        platform = ["--python-version", interpreter.VERSION, "--python-platform", _PLATFORM.format(architecture)]
        strict = ["--only-binary", ":all:", "--no-deps", "--require-hashes", "--quiet"]
        command = [sys.executable, "-m", "uv", "pip", "install", "--target", str(target), *platform, *strict]
        try:
            interpreter.run([*command, "--requirements", str(wanted)], self._environ)
        except subprocess.CalledProcessError as error:
            raise TransientError(
                f"cannot install {wanted.stem} for {architecture}: {error.stderr.strip()[-600:]} "
                "Cure: see that the package index answers; if a pin is gone from it, make lock"
            ) from error

    def _finish(self, folder: Path, mounted: str) -> Package:
        if self._python is not None:
            compile_tree(self._python, folder, mounted)
        archive = folder.with_name(f"{folder.name}.zip")
        zips.pack_folder(folder, archive)
        unzipped = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        return Package(folder, archive, unzipped, archive.stat().st_size, zips.digest(archive.read_bytes()))


def compile_tree(python: Interpreter, folder: Path, mounted: str) -> None:
    """Compile every module of a folder beside its source, in bytes that depend on the sources alone.

    Lambda's code is read-only, so what is not compiled here is compiled anew at every cold start. The compiled files are
    not checked against their sources (PEP 552, ``unchecked-hash``): no file time can spoil them.

    Parameters
    ----------
    mounted
        Where Lambda unpacks the folder; tracebacks name it.

    Raises
    ------
    ConfigError
        If a module does not compile.
    """
    # One process and a fixed hash seed: sets of constants are written in the order of their hashes.
    options = ["-q", "-j", "1", "--invalidation-mode", "unchecked-hash", "-s", str(folder), "-p", mounted]
    try:
        interpreter.run([str(python.path), "-S", "-m", "compileall", *options, str(folder)], {"PYTHONHASHSEED": "0"})
    except subprocess.CalledProcessError as error:
        raise ConfigError(f"{folder} does not compile: {(error.stdout + error.stderr).strip()[:600]}") from error


def chalice_modules() -> dict[str, bytes]:
    """Return the two modules of Chalice that a function needs, by their name in its package."""
    spec = importlib.util.find_spec("chalice")
    if spec is None or spec.origin is None:
        raise ConfigError("chalice is not installed. Cure: make setup")
    folder = Path(spec.origin).parent
    return {f"chalice/{name}": (folder / name).read_bytes() for name in ("__init__.py", "app.py")}


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
