"""Deploying to a cloud of AWS's shape: managed runtime, no bootstrap, nothing of the local lane."""

import json

import boto3
import pytest
from moto import mock_aws

from cryptovol import cli

ROLE = "arn:aws:iam::123456789012:role/cryptovol"


@pytest.fixture
def aws(monkeypatch):
    """Return a Lambda client of a made-up AWS with the role in it."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("CRYPTOVOL_CLOUD", "aws")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        boto3.client("iam").create_role(RoleName="cryptovol", AssumeRolePolicyDocument="{}")
        yield boto3.client("lambda")


def test_deploy_to_aws_takes_the_managed_runtime_and_no_bootstrap(aws, capsys, monkeypatch):
    """Every function with python3.12 and the core layer, and none of the local lane's variables."""
    monkeypatch.setenv("CRYPTOVOL_SOURCE", "cryptocompare")
    assert cli.main(["deploy", "--role", ROLE, "--json"]) == 0
    done = json.loads(capsys.readouterr().out)
    stages = ("ingest", "validate", "featurize", "train", "forecast", "score", "watch", "tune")
    assert done == {f"cryptovol-{stage}": "created" for stage in stages}
    found = aws.get_function(FunctionName="cryptovol-train")
    configuration = found["Configuration"]
    assert configuration["Runtime"] == "python3.12" and configuration["Role"] == ROLE
    assert len(configuration["Layers"]) == 1
    variables = configuration["Environment"]["Variables"]
    assert variables["CRYPTOVOL_CLOUD"] == "aws" and variables["CRYPTOVOL_SOURCE"] == "cryptocompare"
    assert not [name for name in variables if name.startswith(("AWS_", "PYTHONPATH", "LAMBDA_PYTHON"))]


def test_deploy_to_aws_twice_changes_nothing(aws, capsys):
    """The second deployment finds everything as it should be."""
    assert cli.main(["deploy", "--role", ROLE]) == 0
    capsys.readouterr()
    assert cli.main(["deploy", "--role", ROLE, "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out).values()) == {"unchanged"}


def test_deploy_without_a_cloud_is_refused(monkeypatch, capsys):
    """No endpoint and no word of AWS: nothing is deployed anywhere."""
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "CRYPTOVOL_CLOUD"):
        monkeypatch.delenv(name, raising=False)
    assert cli.main(["deploy", "--role", ROLE]) == 2
    assert "AWS_ENDPOINT_URL is empty" in capsys.readouterr().err
