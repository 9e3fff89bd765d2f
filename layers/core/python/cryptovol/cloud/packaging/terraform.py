"""Terraform (JSON syntax) for everything on AWS: Chalice's template put right, and the pipeline beside it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from cryptovol import cost
from cryptovol.cloud import deploy, iam
from cryptovol.cloud.packaging.interpreter import RUNTIME
from cryptovol.cloud.packaging.plan import Function

Document = dict[str, Any]
# Lambda's names of what wheels and Linux call x86_64 and aarch64.
ARCHITECTURES = {"x86_64": "x86_64", "aarch64": "arm64"}
# Chalice asks for a provider older than python3.12; from 6 on the provider lacks what Chalice's template uses.
REQUIRED = {
    "required_version": ">= 1.5",
    "required_providers": {
        "aws": {"source": "hashicorp/aws", "version": ">= 5.31, < 6"},
        "null": {"source": "hashicorp/null", "version": ">= 3, < 4"},
    },
}
# Functions of Chalice's template, and whose rights (`cryptovol.cloud.iam`) each has.
API = {"api_handler": "predict", "authorize": "authorize"}
VARIABLES: Document = {
    "bucket": {"type": "string", "description": "bucket of bars, models and predictions; its name is taken world-wide"},
    "api_keys_secret": {
        "type": "string",
        "description": "name of the Secrets Manager secret that holds the digests of API keys: {name: sha256}",
    },
    "market_source": {"type": "string", "default": "live", "description": "CRYPTOVOL_SOURCE of the functions"},
    "mlflow_tracking_uri": {
        "type": "string",
        "default": "",
        "description": "MLflow's server; else files in the bucket",
    },
    "cryptocompare_key": {"type": "string", "default": "", "sensitive": True, "description": "key of CryptoCompare"},
}


def api(template: Document, function: Function, architecture: str) -> Document:
    """Return Chalice's Terraform with our runtime, layers, rights and settings.

    Parameters
    ----------
    template
        What `chalice package --pkg-format terraform` wrote; left as it is.
    function
        The API's.
    architecture
        As wheels name it.
    """
    own: Document = json.loads(json.dumps(template))
    own["terraform"] = REQUIRED
    for name, rights in API.items():
        resource = own["resource"]["aws_lambda_function"][name]
        resource["runtime"], resource["architectures"] = RUNTIME, [ARCHITECTURES[architecture]]
        resource["layers"] = _layers(function)
        variables = {**_environment(), "CRYPTOVOL_API_KEYS_SECRET": "${var.api_keys_secret}"}
        resource["environment"] = {"variables": variables}
        own["resource"]["aws_iam_role_policy"][f"{name}_role"]["policy"] = json.dumps(_policy(rights))
    return own


def pipeline(functions: Iterable[Function], architecture: str) -> Document:
    """Return bucket, layers, and the pipeline's functions, each with a role of its own."""
    own = list(functions)
    stages = [function for function in own if function.module == "handler"]
    layers = dict.fromkeys(name for function in own for name in function.layers)
    return {
        "variable": VARIABLES,
        "resource": {
            "aws_s3_bucket": {"data": {"bucket": "${var.bucket}"}},
            "aws_s3_bucket_public_access_block": {"data": _private()},
            "aws_lambda_layer_version": {name: _layer(name, architecture) for name in layers},
            "aws_iam_role": {each.name: _role(each.name) for each in stages},
            "aws_iam_role_policy": {each.name: _role_policy(each.name) for each in stages},
            "aws_lambda_function": {each.name: _function(each, architecture) for each in stages},
        },
    }


def _policy(name: str) -> Document:
    return iam.policy(
        name, "${var.bucket}", market="live", account="${data.aws_caller_identity.chalice.account_id}",
        region="${data.aws_region.chalice.name}", secret="${var.api_keys_secret}",
    )  # fmt: skip


def _environment() -> dict[str, str]:
    return {"CRYPTOVOL_CLOUD": "aws", "CRYPTOVOL_BUCKET": "${aws_s3_bucket.data.id}", "CRYPTOVOL_MARKET": "live"}


def _layers(function: Function) -> list[str]:
    return [f"${{aws_lambda_layer_version.{name}.arn}}" for name in function.layers]


def _private() -> Document:
    whole = ("block_public_acls", "block_public_policy", "ignore_public_acls", "restrict_public_buckets")
    return {"bucket": "${aws_s3_bucket.data.id}", **dict.fromkeys(whole, True)}


def _zip(name: str) -> Mapping[str, str]:
    path = f"${{path.module}}/{name}.zip"
    return {"filename": path, "source_code_hash": f'${{filebase64sha256("{path}")}}'}


def _layer(name: str, architecture: str) -> Document:
    fits = {"compatible_runtimes": [RUNTIME], "compatible_architectures": [ARCHITECTURES[architecture]]}
    return {"layer_name": f"cryptovol-{name}", **_zip(f"layer-{name}"), **fits}


def _role(name: str) -> Document:
    return {"name": f"cryptovol-{name}", "assume_role_policy": json.dumps(iam.trust())}


def _role_policy(name: str) -> Document:
    return {"name": f"cryptovol-{name}", "role": f"${{aws_iam_role.{name}.id}}", "policy": json.dumps(_policy(name))}


def _function(function: Function, architecture: str) -> Document:
    source = {
        "CRYPTOVOL_SOURCE": "${var.market_source}",
        "CRYPTOVOL_CRYPTOCOMPARE_KEY": "${var.cryptocompare_key}",
        "MLFLOW_TRACKING_URI": "${var.mlflow_tracking_uri}",
    }
    return {
        "function_name": f"cryptovol-{function.name}",
        "runtime": RUNTIME,
        "handler": deploy.HANDLER,
        "architectures": [ARCHITECTURES[architecture]],
        "memory_size": cost.memory_mb(function.name),
        "timeout": deploy.TIMEOUT_SECONDS,
        "role": f"${{aws_iam_role.{function.name}.arn}}",
        "layers": _layers(function),
        **_zip(f"function-{function.name}"),
        "environment": {"variables": {**_environment(), **source}},
    }
