"""DAG files import Airflow and the standard library alone: they call functions by name."""

import ast
import sys
from pathlib import Path

import pytest

DAGS = sorted(Path("airflow/dags").rglob("*.py"))


def roots(path: Path) -> set[str]:
    """Return the first words of everything a file imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: a relative import depends on how Airflow loads the file"
            found.add((node.module or "").split(".")[0])
    return found


def test_there_are_dags() -> None:
    """The rule below has something to hold."""
    assert DAGS


@pytest.mark.parametrize("path", DAGS, ids=str)
def test_dags_import_airflow_and_the_standard_library_only(path: Path) -> None:
    """No DAG imports our package, pandas or a cloud client."""
    assert roots(path) <= {"airflow"} | set(sys.stdlib_module_names)


@pytest.mark.parametrize("path", DAGS, ids=str)
def test_dags_never_ask_for_the_time(path: Path) -> None:
    """Time comes from the data interval, never from a clock."""
    calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    names = {call.func.attr for call in calls if isinstance(call.func, ast.Attribute)}
    assert not names & {"now", "utcnow", "today", "time"}
