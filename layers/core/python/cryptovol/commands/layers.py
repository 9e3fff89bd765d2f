"""`cryptovol layers`: every function and layer built for Lambda, weighed, and imported alone."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from cryptovol.cloud.packaging import drill, interpreter, pins, plan, sizes, smoke
from cryptovol.cloud.packaging.build import ARCHITECTURES, Builder, Built
from cryptovol.cloud.packaging.interpreter import Interpreter
from cryptovol.cloud.packaging.plan import Function
from cryptovol.cloud.packaging.sizes import Row

Parsers = argparse._SubParsersAction
PAGE = Path("docs/packaging.md")
EPILOG = f"""Builds into build/lambda: a folder and a zip for each layer and function. Third-party packages come from the
pins in requirements/layer-*.txt, by hash, as wheels for Linux. With a Python {interpreter.VERSION} on PATH (or --python)
modules are compiled and, where the architecture is this machine's, each function is imported with nothing but its
layers on its path; with --drill it also works: every stage and a request, on a made-up market.

exit codes: 0 all within the limits, 1 one is not, or does not import, 2 usage, 3 the package index does not answer"""


def add(parsers: Parsers[argparse.ArgumentParser]) -> None:
    """Declare the verb."""
    parser = parsers.add_parser(
        "layers", help="build and weigh what goes to Lambda", epilog=EPILOG,
        description="Build, weigh and import functions and layers.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--arch", action="append", choices=ARCHITECTURES, help="only this one; repeatable")
    parser.add_argument("--function", action="append", choices=plan.FUNCTIONS, help="only this one; repeatable")
    parser.add_argument("--python", type=Path, help=f"a Python {interpreter.VERSION} (default: the one on PATH)")
    parser.add_argument("--into", type=Path, default=Path("build/lambda"), help="where to build")
    parser.add_argument("--drill", action="store_true", help="run a made-up market through the functions, each alone")
    parser.add_argument("--write", action="store_true", help=f"put the table into {PAGE}")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Build, print the table, and return 1 if anything may not ship."""
    python = interpreter.find(os.environ, args.python)
    rows = list(_rows(args, python))
    faults = [fault for row in rows for fault in row.faults()]
    if args.json:
        print(json.dumps([row.document() for row in rows]))
    else:
        _show(rows, python)
    if args.write:
        PAGE.write_text(sizes.replaced(PAGE.read_text(encoding="utf-8"), sizes.markdown(rows)), encoding="utf-8")
    for fault in faults:
        print(f"cryptovol layers: {fault}", file=sys.stderr)
    return 1 if faults else 0


def _rows(args: argparse.Namespace, python: Interpreter | None) -> Iterator[Row]:
    root = Path.cwd()
    layers = pins.layers((root / "pyproject.toml").read_text(encoding="utf-8"))
    functions = plan.functions(root, layers)
    builder = Builder(root, args.into, python, os.environ)
    wanted = [functions[name] for name in args.function or functions]
    for architecture in args.arch or ARCHITECTURES:
        built = builder.build(wanted, layers, architecture, say)
        here = python if python is not None and python.architecture == architecture else None
        for function in wanted:
            yield _row(function, architecture, built, here, compiled=python is not None)
        if args.drill and here is not None:
            drill.run(here, wanted, built, root, say)


def _row(function: Function, architecture: str, built: Built, here: Interpreter | None, *, compiled: bool) -> Row:
    imported = "not here"
    if here is not None:
        say(f"importing {function.name} for {architecture}")
        imported = smoke.import_alone(here, function, built.folders(function)) or "yes"
    packages = built.packages(function)
    return Row(
        function.name, architecture, function.layers,
        unzipped=sum(each.unzipped for each in packages), zipped=sum(each.zipped for each in packages),
        largest=max(each.zipped for each in packages), compiled=compiled, imported=imported,
    )  # fmt: skip


def _show(rows: list[Row], python: Interpreter | None) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(*sizes.HEADS, box=None)
    for row in rows:
        table.add_row(*sizes.cells(row))
    Console(width=140).print(table)
    print("MB is 2^20 bytes; unzipped is function and layers together, a zip's limit is for direct upload")
    if python is None:
        print(
            f"no Python {interpreter.VERSION} here: nothing was compiled (compiled files add a third) and nothing imported"
        )
    elif any(row.imported == "not here" for row in rows):
        print(f"not here: this machine's Python {interpreter.VERSION} is for {python.architecture or 'another system'}")


def say(text: str) -> None:
    """Tell what is begun, on stderr: the table alone is the output."""
    print(text, file=sys.stderr, flush=True)
