"""`cryptovol package`: one folder with archives and templates that name one another."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from cryptovol import cli
from cryptovol.cloud.packaging import interpreter
from cryptovol.cloud.packaging.build import Built, Package
from cryptovol.commands import package


class FakeBuilder:
    """Stands in for `Builder`: archives of one byte."""

    def __init__(self, root: Path, into: Path, *given: Any) -> None:
        self._into = into

    def build(self, functions: Any, found: Any, architecture: str, say: Any) -> Built:
        """Write an archive for each function and layer."""
        layers = {name: self._package(name) for function in functions for name in function.layers}
        return Built({each.name: self._package(each.name) for each in functions}, layers)

    def _package(self, name: str) -> Package:
        self._into.mkdir(parents=True, exist_ok=True)
        path = self._into / f"{name}.zip"
        path.write_bytes(b"x")
        return Package(path, path, 1, 1, "0" * 64)


@pytest.fixture
def packaged(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """Package for Arm with archives that are made up and templates that are not; what was there before is gone."""
    monkeypatch.setattr(package, "Builder", FakeBuilder)
    monkeypatch.setattr(interpreter, "find", lambda environ, wanted: interpreter.Interpreter(Path("python"), "x86_64"))
    into = tmp_path / "aws"
    into.mkdir()
    (into / "stray.tf.json").write_text("{}")
    assert cli.main(["package", "--arch", "aarch64", "--into", str(into), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [str(path) for path in sorted(into.iterdir())]
    return into


def test_package_writes_what_its_templates_upload(packaged: Path) -> None:
    """Every archive that a template names is in the folder, every one in the folder is named, and nothing else is there."""
    files = {path.name for path in packaged.iterdir()}
    text = "".join((packaged / name).read_text() for name in ("chalice.tf.json", "cryptovol.tf.json", "sam.json"))
    assert set(re.findall(r"[a-z-]+\.zip", text)) == {name for name in files if name.endswith(".zip")}
    assert {name for name in files if name.endswith(".json")} == {"chalice.tf.json", "cryptovol.tf.json", "sam.json"}


def test_package_is_for_the_architecture_asked_for(packaged: Path) -> None:
    """Functions and layers are all declared for Arm."""
    for name in ("chalice.tf.json", "cryptovol.tf.json", "sam.json"):
        text = (packaged / name).read_text()
        assert "arm64" in text and "x86_64" not in text


def test_package_without_lambdas_python_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What cannot be compiled is not packaged; the message says what to do."""
    monkeypatch.setattr(interpreter, "find", lambda environ, wanted: None)
    assert cli.main(["package", "--into", str(tmp_path / "aws")]) == 2
    assert "no Python 3.12 is on PATH" in capsys.readouterr().err
    assert not (tmp_path / "aws").exists()
