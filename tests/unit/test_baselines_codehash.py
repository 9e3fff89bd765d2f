"""The code hash sees every file that decides a model's numbers."""

from pathlib import Path

import pytest

from cryptovol import codehash


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with the module `one` and the package `two`, which has a package inside."""
    for name, body in {
        "one.py": "1",
        "two/__init__.py": "",
        "two/b.py": "b",
        "two/a.py": "a",
        "two/in/c.py": "c",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(body)
    return tmp_path


def test_a_packages_files_are_listed_in_sorted_order(folder: Path) -> None:
    """Sub-packages are listed too; what is no source file is not."""
    (folder / "two" / "a.pyc").write_text("")
    found = [path.relative_to(folder).as_posix() for path in codehash.sources(folder, "two")]
    assert found == ["two/__init__.py", "two/a.py", "two/b.py", "two/in/c.py"]


@pytest.mark.parametrize("name", ["one.py", "two/__init__.py", "two/b.py", "two/in/c.py"])
def test_every_file_changes_the_hash(folder: Path, name: str) -> None:
    """A changed byte in a module or anywhere in a package gives another hash."""
    before = codehash.hash_of(folder, ("one", "two"))
    (folder / name).write_text("x = 2")
    assert codehash.hash_of(folder, ("one", "two")) != before


def test_a_renamed_or_moved_file_changes_the_hash(folder: Path) -> None:
    """The same bytes under another name are other code."""
    before = codehash.hash_of(folder, ("one", "two"))
    (folder / "two" / "b.py").rename(folder / "two" / "bb.py")
    assert codehash.hash_of(folder, ("one", "two")) != before


def test_an_unknown_name_is_an_error(folder: Path) -> None:
    """A noun whose file is gone is not passed over."""
    with pytest.raises(FileNotFoundError, match="three is neither"):
        codehash.hash_of(folder, ("one", "three"))


def test_all_baselines_are_part_of_the_models_code() -> None:
    """The shipped hash covers HAR, GARCH and the walk, and every noun exists."""
    root = Path(codehash.__file__).parent
    found = {path.relative_to(root).as_posix() for name in codehash.NOUNS for path in codehash.sources(root, name)}
    assert {"baselines/__init__.py", "baselines/garch.py", "baselines/walk.py", "features.py"} <= found
    assert len(codehash.model_code_sha256()) == 64
