"""The ensure-step: buckets, the core layer and the stage functions, put right through boto3 wherever they are.

The same code deploys to MiniStack, LocalStack and AWS; only the `Target` differs. It runs at every start and
changes only what differs from what is there, so running it twice equals running it once.
"""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from cryptovol import cost
from cryptovol.cloud import environs, zips
from cryptovol.errors import TransientError

if TYPE_CHECKING:
    from mypy_boto3_lambda.client import LambdaClient
    from mypy_boto3_s3.client import S3Client

DVC_BUCKET = "cryptovol-dvc"
LAYER = "cryptovol-core"
HANDLER = "handler.lambda_handler"
# Lambda's own ceiling; a stage is stopped by its data's size, not by a guess.
TIMEOUT_SECONDS = 900
ACTIVE_SECONDS = 60.0
POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Target:
    """What differs between clouds.

    Parameters
    ----------
    runtime
        ``provided.al2023`` with a `bootstrap`, or ``python3.12`` without.
    bootstrap
        The zip's entry point, or None.
    environment
        The functions' variables.
    buckets
        Ensured before anything else.
    layers
        ARNs of third-party layers of every function, below the core layer.
    own_layers
        ARNs of further layers by stage.
    prefix
        Before the stage's name in a function's name.
    role
        The execution role's ARN, in which ``{stage}`` stands for the stage; emulators check its form only.
    """

    runtime: str
    bootstrap: bytes | None
    environment: Mapping[str, str]
    buckets: tuple[str, ...]
    layers: tuple[str, ...] = ()
    own_layers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    prefix: str = "cryptovol-"
    role: str = "arn:aws:iam::000000000000:role/cryptovol-function"


def clients(endpoint: str | None) -> tuple[S3Client, LambdaClient]:
    """Return S3 and Lambda clients for an emulator, or, without an endpoint, for what the environment names."""
    config = Config(connect_timeout=5, read_timeout=60, retries={"mode": "standard", "max_attempts": 3})
    if endpoint is None:
        return boto3.client("s3", config=config), boto3.client("lambda", config=config)
    known = {name.lower(): value for name, value in environs.CREDENTIALS.items()}
    session = boto3.session.Session(region_name=environs.REGION, **known)  # type: ignore[arg-type]
    return (
        session.client("s3", endpoint_url=endpoint, config=config),
        session.client("lambda", endpoint_url=endpoint, config=config),
    )


def deploy(root: Path, target: Target, *, s3: S3Client, functions: LambdaClient) -> dict[str, str]:
    """Put buckets, layer and functions right and return what was done to each function.

    Parameters
    ----------
    root
        The project folder.

    Returns
    -------
    dict
        For each function's name ``created``, ``updated`` or ``unchanged``; every one is active.

    Raises
    ------
    TransientError
        If the cloud refuses or does not answer.
    """
    packages = {stage: zips.function_zip(root, stage, bootstrap=target.bootstrap) for stage in zips.STAGES}
    try:
        for bucket in target.buckets:
            ensure_bucket(s3, bucket)
        arn = ensure_layer(functions, zips.layer_zip(root), target.runtime)
        layers = (arn, *target.layers)
        with ThreadPoolExecutor(len(packages)) as pool:
            jobs = {
                f"{target.prefix}{stage}": pool.submit(
                    ensure_function, functions, f"{target.prefix}{stage}", package, configuration(target, stage, layers)
                )
                for stage, package in packages.items()
            }
            return {name: job.result() for name, job in jobs.items()}
    except (ClientError, BotoCoreError) as error:
        raise TransientError(f"cannot deploy: {error}. Cure: see that the cloud is up (`cryptovol status`)") from error


def configuration(target: Target, stage: str, layers: Sequence[str]) -> dict[str, Any]:
    """Return the configuration of one stage's function, as Lambda's API names it."""
    return {
        "Runtime": target.runtime,
        "Handler": HANDLER,
        "Role": target.role.replace("{stage}", stage),
        "Timeout": TIMEOUT_SECONDS,
        "MemorySize": cost.memory_mb(stage),
        "Environment": {"Variables": dict(target.environment)},
        "Layers": [*layers, *target.own_layers.get(stage, ())],
    }


def ensure_bucket(s3: S3Client, bucket: str) -> None:
    """Make the bucket unless it is there."""
    try:
        s3.head_bucket(Bucket=bucket)
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("404", "NoSuchBucket"):
            raise
        region = s3.meta.region_name
        # us-east-1 is the one region that must not be named.
        more: Any = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        s3.create_bucket(Bucket=bucket, **more)


def ensure_layer(functions: LambdaClient, package: bytes, runtime: str) -> str:
    """Publish the core layer unless its newest version holds these very bytes; return the version's ARN."""
    mark = f"sha256 {hashlib.sha256(package).hexdigest()}"
    newest = functions.list_layer_versions(LayerName=LAYER, MaxItems=1).get("LayerVersions", [])
    if newest and newest[0].get("Description") == mark:
        return newest[0]["LayerVersionArn"]
    more: Any = {"CompatibleRuntimes": [runtime]}
    published = functions.publish_layer_version(LayerName=LAYER, Description=mark, Content={"ZipFile": package}, **more)
    return published["LayerVersionArn"]


def ensure_function(functions: LambdaClient, name: str, package: bytes, wanted: dict[str, Any]) -> str:
    """Create or update one function and return, once it is active, which of them it was."""
    try:
        there: Any = functions.get_function_configuration(FunctionName=name)
    except functions.exceptions.ResourceNotFoundException:
        functions.create_function(FunctionName=name, Code={"ZipFile": package}, **wanted)
        wait_active(functions, name)
        return "created"
    new_code = there["CodeSha256"] != base64.b64encode(hashlib.sha256(package).digest()).decode()
    new_configuration = differs(there, wanted)
    if new_code:
        functions.update_function_code(FunctionName=name, ZipFile=package)
        wait_active(functions, name)
    if new_configuration:
        functions.update_function_configuration(FunctionName=name, **wanted)
    wait_active(functions, name)
    return "updated" if new_code or new_configuration else "unchanged"


def differs(there: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Return whether a function's present configuration is not the wanted one."""
    plain = {name: there.get(name) for name in wanted if name not in ("Environment", "Layers")}
    variables = there.get("Environment", {}).get("Variables", {})
    layers = [layer["Arn"] for layer in there.get("Layers", [])]
    return (
        any(wanted[name] != value for name, value in plain.items())
        or variables != wanted["Environment"]["Variables"]
        or layers != wanted["Layers"]
    )


def wait_active(functions: LambdaClient, name: str) -> None:
    """Return once the function can be invoked; raise `TransientError` if it fails or takes too long."""
    deadline = time.monotonic() + ACTIVE_SECONDS
    while True:
        there: Any = functions.get_function_configuration(FunctionName=name)
        state, update = there.get("State", "Active"), there.get("LastUpdateStatus", "Successful")
        if state == "Active" and update == "Successful":
            return
        if state == "Failed" or update == "Failed" or time.monotonic() > deadline:
            reason = there.get("StateReason") or there.get("LastUpdateStatusReason") or "no reason given"
            raise TransientError(f"function {name} is {state}, its update {update}: {reason}")
        time.sleep(POLL_SECONDS)
