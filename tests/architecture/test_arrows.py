"""Imports point inward, stages do not know each other, and only adapters touch the world."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path("layers/core/python/cryptovol")
MODULES = sorted(PACKAGE.rglob("*.py"))

# Ring of each part; an import may only point to the same or a lower ring. Nouns are everything not named.
RINGS = {"errors": 0, "times": 0, "ports": 2, "keys": 2, "history": 3, "ledger": 3, "stages": 4, "adapters": 4,
         "settings": 1, "testing": 4, "market": 2, "wiring": 5, "edge": 6, "sidecar": 5, "cloud": 7, "commands": 8,
         "cli": 9, "__main__": 10, "__init__": 0, "backtest": 3, "events": 3, "bundle": 3, "training": 3, "plots": 3,
         "gate": 1, "promotion": 1, "codehash": 1, "held": 3, "serving": 3, "champions": 3, "audit": 3, "lineage": 3,
         "forecasts": 3, "moments": 3, "reach": 3, "answers": 3,
         "record": 3, "logbook": 3, "hourly": 5, "watching": 3, "shadow": 3, "demo": 7, "ingestion": 3, "tuning": 3}  # fmt: skip
NOUN = 1
WORLD = {"boto3", "botocore", "obstore", "requests", "mlflow", "dvc", "aws_lambda_powertools"}
MAY_TOUCH_THE_WORLD = {"adapters", "wiring", "sidecar", "cloud", "commands"}


def part(path: Path) -> str:
    """Return the top-level part a module belongs to, for instance ``stages``."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """Return the dotted names a module imports, at its top or inside functions."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def own(name: str) -> str | None:
    """Return which part of our package a dotted name belongs to, or None."""
    words = name.split(".")
    return words[1] if words[0] == "cryptovol" and len(words) > 1 else None


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_inward(path):
    """A module imports only from its own ring or one further in."""
    ring = RINGS.get(part(path), NOUN)
    outward = sorted(name for name in imports(path) if (target := own(name)) and RINGS.get(target, NOUN) > ring)
    assert not outward


@pytest.mark.parametrize("path", sorted((PACKAGE / "stages").glob("*.py")), ids=lambda p: p.name)
def test_stages_import_neither_each_other_nor_adapters(path):
    """Stages meet only through events and the store."""
    named = {n for n in imports(path) if n.startswith(("cryptovol.stages", "cryptovol.adapters"))}
    assert not {n for n in named if not n.endswith(f".{path.stem}")}


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_only_adapters_and_edges_import_the_outside_world(path):
    """boto3, requests, mlflow, DVC and Powertools stay at the rim."""
    touched = {name.split(".")[0] for name in imports(path)} & WORLD
    assert not touched or part(path) in MAY_TOUCH_THE_WORLD


def test_xgboost_is_imported_by_the_model_alone():
    """One place trains trees; nothing else loads the library."""
    users = {p.name for p in MODULES if any(n.split(".")[0] == "xgboost" for n in imports(p))}
    assert users == {"model.py"}


def test_no_package_marker_hides_airflow_or_localstack():
    """airflow/ and localstack/ are folders, not packages."""
    assert not [str(p) for folder in ("airflow", "localstack") for p in Path(folder).rglob("__init__.py")]


def test_no_source_edits_the_import_path_or_unpickles():
    """Nobody appends to sys.path, and nobody loads a pickle."""
    roots = (Path("functions"), Path("airflow"), PACKAGE)
    text = {str(p): p.read_text(encoding="utf-8") for root in roots for p in root.rglob("*.py")}
    assert not [name for name, body in text.items() if "sys.path." in body or "import pickle" in body]
    assert not [name for name, body in text.items() if "allow_pickle=True" in body]
