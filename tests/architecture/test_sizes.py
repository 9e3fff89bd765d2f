"""Budgets: functions of at most 30 lines, modules of 250, handlers of 60."""

import ast
from pathlib import Path

import pytest

SOURCES = sorted(
    path
    for root in ("layers/core/python/cryptovol", "functions", "airflow/dags", "localstack/executor", "monitoring")
    for path in Path(root).rglob("*.py")
)


def body_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return a function's lines without its docstring and signature."""
    body = node.body[1:] if ast.get_docstring(node) else node.body
    return (node.end_lineno or 0) - body[0].lineno + 1 if body else 0


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_functions_are_at_most_30_lines(path):
    """No function's body is longer than a screen's half."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    assert not {f.name: body_lines(f) for f in functions if body_lines(f) > 30}


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_modules_are_at_most_250_lines(path):
    """No module is longer than one sitting; a handler is shorter still."""
    limit = 60 if path.name == "handler.py" else 250
    assert len(path.read_text(encoding="utf-8").splitlines()) <= limit


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_public_names_have_docstrings(path):
    """Every module and every public function and class says what it is for."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree) or not tree.body
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    bare = [
        n.name for n in tree.body if isinstance(n, kinds) and not n.name.startswith("_") and not ast.get_docstring(n)
    ]
    assert not bare
