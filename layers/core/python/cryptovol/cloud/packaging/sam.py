"""CloudFormation (SAM) for the API alone: Chalice's template with our runtime, layers, rights and settings."""

from __future__ import annotations

import json
from typing import Any

from cryptovol.cloud import iam
from cryptovol.cloud.packaging.interpreter import RUNTIME
from cryptovol.cloud.packaging.plan import Function
from cryptovol.cloud.packaging.terraform import ARCHITECTURES, Document

# Functions of Chalice's template: their role's name there, and whose rights each has.
_API = {"APIHandler": ("ApiHandlerRole", "predict"), "Authorize": ("AuthorizeRole", "authorize")}
PARAMETERS = {
    "Bucket": {"Type": "String", "Description": "bucket of bars, models and predictions"},
    "ApiKeysSecret": {"Type": "String", "Description": "name of the secret that holds the digests of API keys"},
}


def api(template: Document, function: Function, architecture: str) -> Document:
    """Return Chalice's template put right; `aws cloudformation package` uploads the archives it names.

    Parameters
    ----------
    template
        What `chalice package` wrote; left as it is.
    function
        The API's.
    architecture
        As wheels name it.
    """
    own: Document = json.loads(json.dumps(template))
    own["Parameters"] = PARAMETERS
    resources = own["Resources"]
    for name in function.layers:
        resources[_layer_name(name)] = _layer(name, architecture)
    for name, (role, rights) in _API.items():
        resources[name]["Properties"] |= {
            "Runtime": RUNTIME,
            "Architectures": [ARCHITECTURES[architecture]],
            "Layers": [{"Ref": _layer_name(each)} for each in function.layers],
            "Environment": {"Variables": _environment()},
        }
        policy = iam.policy(
            rights, "${Bucket}", market="live", account="${AWS::AccountId}", region="${AWS::Region}",
            secret="${ApiKeysSecret}",
        )  # fmt: skip
        resources[role]["Properties"]["Policies"] = [{"PolicyName": "own", "PolicyDocument": _filled(policy)}]
    return own


def _environment() -> Document:
    return {
        "CRYPTOVOL_CLOUD": "aws", "CRYPTOVOL_MARKET": "live", "CRYPTOVOL_BUCKET": {"Ref": "Bucket"},
        "CRYPTOVOL_API_KEYS_SECRET": {"Ref": "ApiKeysSecret"},
    }  # fmt: skip


def _layer_name(name: str) -> str:
    return f"Layer{name.capitalize()}"


def _layer(name: str, architecture: str) -> Document:
    fits = {"CompatibleRuntimes": [RUNTIME], "CompatibleArchitectures": [ARCHITECTURES[architecture]]}
    return {
        "Type": "AWS::Serverless::LayerVersion",
        "Properties": {"LayerName": f"cryptovol-{name}", "ContentUri": f"./layer-{name}.zip", **fits},
    }


def _filled(value: Any) -> Any:
    """Return a document in which every text with a ``${name}`` is filled in by CloudFormation."""
    if isinstance(value, dict):
        return {name: _filled(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_filled(each) for each in value]
    return {"Fn::Sub": value} if isinstance(value, str) and "${" in value else value
