"""The packages that ship depend on the files' content and on nothing else."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryptovol.cloud import zips
from cryptovol.errors import ConfigError

NAMES = st.text(alphabet="abc", min_size=1, max_size=4)


def project(root: Path) -> Path:
    """Make a small project folder."""
    for name, text in {
        "functions/ingest/handler.py": "x = 1\n",
        "functions/ingest/requirements.txt": "numpy\n",
        "functions/ingest/__pycache__/handler.cpython-311.pyc": "junk",
        "layers/core/python/cryptovol/__init__.py": "",
        "layers/core/python/cryptovol/py.typed": "",
        "layers/core/python/cryptovol/stages/__init__.py": "",
        "layers/core/python/cryptovol/stages/__pycache__/a.pyc": "junk",
        "params.yaml": "a: 1\n",
    }.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def opened(data: bytes) -> zipfile.ZipFile:
    """Return the archive in a zip's bytes."""
    return zipfile.ZipFile(io.BytesIO(data))


def test_function_zip_holds_the_handler_and_the_parameters(tmp_path: Path) -> None:
    """A function's zip has its files at the root and params.yaml, and no compiled file."""
    names = opened(zips.function_zip(project(tmp_path), "ingest")).namelist()
    assert names == ["handler.py", "params.yaml", "requirements.txt"]


def test_function_zip_marks_the_bootstrap_alone_as_a_program(tmp_path: Path) -> None:
    """With a bootstrap there is one file of mode 0755, all others are 0644; without, there is no such file."""
    archive = opened(zips.function_zip(project(tmp_path), "ingest", bootstrap=b"#!/bin/sh\n"))
    modes = {info.filename: info.external_attr >> 16 for info in archive.infolist()}
    assert modes.pop("bootstrap") == 0o100755
    assert set(modes.values()) == {0o100644}
    assert archive.read("bootstrap") == b"#!/bin/sh\n"
    assert "bootstrap" not in opened(zips.function_zip(tmp_path, "ingest")).namelist()


def test_layer_zip_puts_the_package_under_python(tmp_path: Path) -> None:
    """The core layer has Lambda's layout and no compiled file."""
    names = opened(zips.layer_zip(project(tmp_path))).namelist()
    assert names == ["python/cryptovol/__init__.py", "python/cryptovol/py.typed", "python/cryptovol/stages/__init__.py"]


def test_zips_ignore_times_modes_and_caches(tmp_path: Path) -> None:
    """Two checkouts of the same content, made at other times and with other modes, give the same bytes."""
    one, two = project(tmp_path / "one"), project(tmp_path / "two")
    handler = two / "functions/ingest/handler.py"
    os.utime(handler, (1, 1))
    handler.chmod(0o600)
    (two / "functions/ingest/__pycache__/other.pyc").write_bytes(b"more junk")
    assert zips.function_zip(one, "ingest", bootstrap=b"b") == zips.function_zip(two, "ingest", bootstrap=b"b")
    assert zips.layer_zip(one) == zips.layer_zip(two)


def test_zips_change_with_the_content(tmp_path: Path) -> None:
    """One changed byte in the handler or the parameters changes the digest."""
    root = project(tmp_path)
    digests = {zips.digest(zips.function_zip(root, "ingest"))}
    (root / "functions/ingest/handler.py").write_text("x = 2\n")
    digests.add(zips.digest(zips.function_zip(root, "ingest")))
    (root / "params.yaml").write_text("a: 2\n")
    digests.add(zips.digest(zips.function_zip(root, "ingest")))
    assert len(digests) == 3


@given(files=st.dictionaries(NAMES, st.binary(max_size=40), max_size=5), programs=st.dictionaries(NAMES, st.binary()))
def test_pack_keeps_every_byte_and_does_not_depend_on_order(
    files: dict[str, bytes], programs: dict[str, bytes]
) -> None:
    """What is packed reads back; the order in which files are given does not matter."""
    programs = {f"bin/{name}": data for name, data in programs.items()}
    packed = zips.pack(files, programs)
    assert packed == zips.pack(dict(reversed(files.items())), dict(reversed(programs.items())))
    archive = opened(packed)
    assert {name: archive.read(name) for name in archive.namelist()} == {**files, **programs}


@pytest.mark.parametrize("gone", ["functions/ingest/handler.py", "params.yaml"])
def test_function_zip_refuses_a_folder_that_is_no_project(gone: str, tmp_path: Path) -> None:
    """A missing handler or missing parameters are named, with the cure."""
    (project(tmp_path) / gone).unlink()
    with pytest.raises(ConfigError, match="run from the project folder"):
        zips.function_zip(tmp_path, "ingest")


def test_layer_zip_refuses_a_folder_without_the_package(tmp_path: Path) -> None:
    """An empty layer is never shipped."""
    with pytest.raises(ConfigError, match="run from the project folder"):
        zips.layer_zip(tmp_path)
