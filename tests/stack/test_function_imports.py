"""Each function's requirements.txt is true: it names what the function's code imports when it works, and nothing else."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from cryptovol.cloud.packaging import drill, pins, plan
from cryptovol.cloud.packaging.plan import Function

# Part of another package that is named: botocore of boto3, urllib3 of requests; Chalice adds itself.
COMPANIONS = {"botocore": "boto3", "urllib3": "requests"}
pytestmark = pytest.mark.stack
FUNCTIONS = plan.functions(Path.cwd(), pins.layers(Path("pyproject.toml").read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Run a made-up market through the functions, each in a process of its own; return what each one's code imported."""
    folder = tmp_path_factory.mktemp("drill")
    params = drill.write_params(Path.cwd(), folder / "params.yaml")
    event, found = dict(drill.EVENT), {}
    for name in FUNCTIONS:
        folders = [Path("functions", name), Path("layers/core/python")]
        asked = drill.request({"symbol": "BTC", "as_of": drill.AS_OF}) if name == "predict" else event
        told = drill.perform([sys.executable], name, folders, folder / "store", asked, params)
        event = told["result"] if name not in ("tune", "predict") else event
        found[name] = set(told["imported"])
    return found


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=lambda each: each.name)
def test_requirements_name_what_the_function_imports(function: Function, imported: dict[str, set[str]]) -> None:
    """No package is missing on Lambda, and none is shipped that the function never asks for."""
    own = imported[function.name] - {"chalice"}
    assert {COMPANIONS.get(name, name) for name in own} == set(function.imports)
