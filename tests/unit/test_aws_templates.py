"""What Terraform and CloudFormation are given: every reference resolves, every archive is written, rights are the least."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from cryptovol.cloud import iam
from cryptovol.cloud.packaging import chalices, pins, plan, sam, terraform
from cryptovol.cloud.packaging.plan import Function
from cryptovol.errors import ConfigError

KINDS = ("terraform", "cloudformation")


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the app as Chalice sees it."""
    folder = tmp_path_factory.mktemp("chalice") / "app"
    chalices.stage_app(Path.cwd(), folder)
    return folder


@pytest.fixture(scope="module")
def templates(staged: Path) -> dict[str, Any]:
    """Return what the real `chalice package` says about the app, by kind."""
    return {kind: chalices.template(kind, staged, staged.parent / kind, {}) for kind in KINDS}


@pytest.fixture(scope="module")
def functions() -> dict[str, Function]:
    """Return the project's functions."""
    return plan.functions(Path.cwd(), pins.layers(Path("pyproject.toml").read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def documents(templates: dict[str, Any], functions: dict[str, Function]) -> list[Any]:
    """Return both Terraform files, for Arm."""
    api = terraform.api(templates["terraform"], functions["predict"], "aarch64")
    return [api, terraform.pipeline(functions.values(), "aarch64")]


@pytest.fixture(scope="module")
def cloudformation(templates: dict[str, Any], functions: dict[str, Function]) -> Any:
    """Return the CloudFormation template."""
    return sam.api(templates["cloudformation"], functions["predict"], "x86_64")


def archives(functions: dict[str, Function]) -> set[str]:
    """Return the archives that `cryptovol package` writes."""
    layers = {f"layer-{name}.zip" for each in functions.values() for name in each.layers}
    return layers | {f"function-{name}.zip" for name in functions if name != "predict"} | {"deployment.zip"}


def test_chalice_packages_the_app_with_no_package_index(staged: Path, templates: dict[str, Any]) -> None:
    """Chalice is given no requirement, so it fetches nothing and leaves nothing out."""
    assert (staged / "requirements.txt").read_text() == ""
    assert templates["terraform"]["resource"]["aws_lambda_function"]["api_handler"]["handler"] == "app.app"


def test_an_app_chalice_refuses_is_said(tmp_path: Path) -> None:
    """A broken configuration fails at packaging with Chalice's own words."""
    chalices.stage_app(Path.cwd(), tmp_path / "app")
    (tmp_path / "app/.chalice/config.json").write_text("{")
    with pytest.raises(ConfigError, match="chalice package refuses the app: .*config file"):
        chalices.template("terraform", tmp_path / "app", tmp_path / "out", {})


def test_every_terraform_reference_resolves(documents: list[Any]) -> None:
    """Each name between ${ and } is a variable, a local, a data source or a resource of the two files."""
    known = {f"var.{name}" for name in documents[1]["variable"]} | {f"local.{name}" for name in documents[0]["locals"]}
    known |= {f"data.{kind}.{name}" for kind, all_ in documents[0]["data"].items() for name in all_} | {"path.module"}
    known |= {f"{kind}.{name}" for each in documents for kind, all_ in each["resource"].items() for name in all_}
    text = json.dumps(documents)
    used = re.findall(r"\$\{(?:md5\(|filebase64sha256\()?\\*\"?(?:\$\{)?((?:data\.)?[a-z_]+\.[A-Za-z_-]+)", text)
    assert len(used) > 50 and set(used) <= known


def test_the_two_terraform_files_define_nothing_twice(documents: list[Any]) -> None:
    """Terraform reads the folder as one module: a resource may stand in one file only."""
    kinds = [{(kind, name) for kind, all_ in each["resource"].items() for name in all_} for each in documents]
    assert not kinds[0] & kinds[1]


def test_every_archive_is_used_and_every_used_one_is_written(
    documents: list[Any], functions: dict[str, Function]
) -> None:
    """What the templates upload is what `cryptovol package` builds."""
    assert set(re.findall(r"[a-z-]+\.zip", json.dumps(documents))) == archives(functions)


def test_every_function_has_lambdas_python_its_layers_and_a_role_of_its_own(
    documents: list[Any], functions: dict[str, Function]
) -> None:
    """Seven functions and the authorizer: python3.12 on Arm, layers in their order, no role shared."""
    found = {name: each for document in documents for name, each in document["resource"]["aws_lambda_function"].items()}
    assert set(found) == {*functions, "api_handler", "authorize"} - {"predict"}
    for name, each in found.items():
        own = functions["predict" if name in terraform.API else name]
        assert each["runtime"] == "python3.12" and each["architectures"] == ["arm64"]
        assert each["layers"] == [f"${{aws_lambda_layer_version.{layer}.arn}}" for layer in own.layers]
        assert each["environment"]["variables"]["CRYPTOVOL_CLOUD"] == "aws"
    assert len({each["role"] for each in found.values()}) == len(found)


def test_terraform_roles_have_the_rights_of_the_one_table(documents: list[Any]) -> None:
    """Each role's policy is the one `cryptovol.cloud.iam` makes, for the deployer's own bucket."""
    policies = {
        n: p["policy"] for document in documents for n, p in document["resource"]["aws_iam_role_policy"].items()
    }
    assert len(policies) == len(iam.RIGHTS)
    for name, text in policies.items():
        rights = terraform.API.get(name.removesuffix("_role"), name)
        statements = json.loads(text)["Statement"]
        assert [each["Sid"] for each in statements] == [
            each["Sid"] for each in iam.policy(rights, "b", secret="s")["Statement"]
        ]
        assert "arn:aws:s3:::cryptovol" not in text and '"*"' not in text


def test_the_api_on_aws_asks_for_keys(documents: list[Any], cloudformation: Any) -> None:
    """Both templates name the secret of API keys and put the authorizer before the routes."""
    variables = documents[0]["resource"]["aws_lambda_function"]["api_handler"]["environment"]["variables"]
    assert variables["CRYPTOVOL_API_KEYS_SECRET"] == "${var.api_keys_secret}"
    assert '"in": "header"' in documents[0]["locals"]["chalice_api_swagger"]
    own = cloudformation["Resources"]["APIHandler"]["Properties"]["Environment"]["Variables"]
    assert own["CRYPTOVOL_API_KEYS_SECRET"] == {"Ref": "ApiKeysSecret"}


def test_every_cloudformation_reference_resolves(cloudformation: Any) -> None:
    """Each Ref and each ${name} is a parameter, a resource or one of AWS's own."""
    known = {*cloudformation["Parameters"], *cloudformation["Resources"], "RestAPIId"}
    text = json.dumps(cloudformation)
    used = re.findall(r'"Ref": "([^"]+)"', text) + re.findall(r"\$\{([A-Za-z:]+)", text)
    assert len(used) > 10 and {name for name in used if not name.startswith("AWS::")} <= known


def test_cloudformation_fills_in_every_policy(cloudformation: Any) -> None:
    """A name in a policy is filled in by Fn::Sub; plain text with ${ would be taken literally."""
    policy = json.dumps(cloudformation["Resources"]["ApiHandlerRole"]["Properties"]["Policies"])
    assert '{"Fn::Sub": "arn:aws:s3:::${Bucket}"}' in policy
    assert len(re.findall(r"\$\{", policy)) >= len(re.findall(r'"Fn::Sub"', policy)) > 5
    assert not re.findall(r'(?<!"Fn::Sub": )"[^"]*\$\{', policy)


def test_chalices_template_is_left_as_it_was(templates: dict[str, Any], functions: dict[str, Function]) -> None:
    """Making ours does not change what Chalice said."""
    before = json.dumps(templates)
    terraform.api(templates["terraform"], functions["predict"], "x86_64")
    sam.api(templates["cloudformation"], functions["predict"], "x86_64")
    assert json.dumps(templates) == before
