"""`cryptovol layers`: what it prints, and when it fails."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cryptovol import cli
from cryptovol.cloud.packaging import interpreter, plan, sizes
from cryptovol.cloud.packaging.build import Built, Package
from cryptovol.cloud.packaging.sizes import MB
from cryptovol.commands import layers

WEIGHTS = {"runtime": 60 * MB, "core": MB, "api": 2 * MB, "model": 150 * MB, "tracking": 20 * MB, "tune": 10 * MB}
EACH = len(plan.FUNCTIONS)


class FakeBuilder:
    """Stands in for `Builder`: packages of known sizes, of which nothing is on the disk."""

    heavier = 0

    def __init__(self, *given: Any) -> None:
        pass

    def build(self, functions: Any, found: Any, architecture: str, say: Any) -> Built:
        """Return packages: a tenth of their size when zipped."""
        names = {name for function in functions for name in function.layers}
        made = {name: self._package(WEIGHTS.get(name, MB)) for name in names}
        return Built({function.name: self._package(0) for function in functions}, made)

    def _package(self, size: int) -> Package:
        size += self.heavier if size else 0
        return Package(Path("nowhere"), Path("nowhere.zip"), size, size // 10, "0" * 64)


@pytest.fixture(autouse=True)
def nothing_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither an index nor another interpreter is asked."""
    monkeypatch.setattr(layers, "Builder", FakeBuilder)
    monkeypatch.setattr(interpreter, "find", lambda environ, wanted: None)


def test_layers_prints_every_function_on_both_architectures(capsys: pytest.CaptureFixture[str]) -> None:
    """A row for each, and the plain word that nothing was compiled or imported."""
    assert cli.main(["layers"]) == 0
    out = capsys.readouterr().out
    assert out.count("x86_64") == out.count("aarch64") == EACH
    assert "tune       x86_64        runtime, model, tracking, tune, core" in out and "241.0 of 250" in out
    assert "no Python 3.12 here: nothing was compiled" in out and "nothing imported" in out


def test_layers_fails_past_the_limit(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """One function too large makes the exit code 1; which one, by how much and on what is said, and the table is whole."""
    monkeypatch.setattr(FakeBuilder, "heavier", 2 * MB)
    assert cli.main(["layers", "--arch", "aarch64"]) == 1
    out, err = capsys.readouterr()
    assert err == "cryptovol layers: tune on aarch64 has 251.0 MB unzipped, the limit is 250.0 MB\n"
    assert out.count("aarch64") == EACH


def test_layers_fails_past_the_apis_own_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The API fails at 90 MB, where a stage of the pipeline may have 250."""
    monkeypatch.setattr(FakeBuilder, "heavier", 20 * MB)
    command = ["layers", "--arch", "x86_64", "--json", "--function"]
    assert cli.main([*command, "validate"]) == 0
    assert cli.main([*command, "predict"]) == 1


def test_layers_json_has_bytes_and_faults(capsys: pytest.CaptureFixture[str]) -> None:
    """With --json each row is an object with exact bytes."""
    assert cli.main(["layers", "--json", "--function", "score", "--arch", "x86_64"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["unzipped"] == 61 * MB and row["largest"] == 6 * MB and row["faults"] == []
    assert row["imported"] == "not here" and not row["compiled"]


def test_layers_write_puts_the_table_into_the_page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The page's table is the command's, not a person's."""
    page = tmp_path / "packaging.md"
    page.write_text(f"# Page\n{sizes.BEGIN}\n{sizes.END}\n")
    monkeypatch.setattr(layers, "PAGE", page)
    assert cli.main(["layers", "--write"]) == 0
    assert page.read_text().count("| x86_64 |") == EACH and page.read_text().startswith("# Page\n")


def test_the_page_holds_the_commands_table() -> None:
    """docs/packaging.md has the marks, and between them a row for each function and architecture."""
    page = layers.PAGE.read_text(encoding="utf-8")
    table = page.split(sizes.BEGIN)[1].split(sizes.END)[0]
    for name in plan.FUNCTIONS:
        assert f"| {name} | x86_64 |" in table and f"| {name} | aarch64 |" in table
