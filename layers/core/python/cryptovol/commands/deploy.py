"""`cryptovol deploy`: the functions on any cloud that speaks S3 and Lambda, by settings only."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping
from pathlib import Path

from cryptovol import settings
from cryptovol.cloud import deploy, mlflow_server
from cryptovol.cloud.lane import head_commit
from cryptovol.settings import VENUES, url_setting

Parsers = argparse._SubParsersAction
EPILOG = """Which cloud is a matter of the environment alone: AWS_ENDPOINT_URL (or _S3 and _LAMBDA) for an emulator,
CRYPTOVOL_CLOUD=aws and ordinary AWS credentials for AWS. Running it again changes only what differs.
`cryptovol up` does this by itself for the embedded cloud.

The functions get CRYPTOVOL_SOURCE, the venues' addresses and the key from here. Where it is `auto`, or not set, they
get `live`: the venues in the order of params.yaml, and never made-up bars.

  CRYPTOVOL_CLOUD=aws cryptovol deploy --role arn:aws:iam::123456789012:role/cryptovol --layer arn:…:layer:numpy:1"""

# What a function is told of its surroundings; credentials come from its role, never from here.
PASSED_ON = (
    "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL_LAMBDA", "CRYPTOVOL_CLOUD", "CRYPTOVOL_BUCKET",
    "CRYPTOVOL_MARKET",
    "MLFLOW_TRACKING_URI", "CRYPTOVOL_CRYPTOCOMPARE_KEY", *map(url_setting, VENUES),
)  # fmt: skip


def add(parsers: Parsers[argparse.ArgumentParser]) -> None:
    """Declare the verb."""
    parser = parsers.add_parser(
        "deploy", help="put buckets, layer and functions right on a cloud", epilog=EPILOG,
        description="Deploy the stage functions.", formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--runtime", default="python3.12", help="Lambda runtime (default: python3.12)")
    parser.add_argument("--role", required=True, help="ARN of the functions' execution role")
    parser.add_argument("--layer", action="append", default=[], metavar="ARN", help="a third-party layer; repeatable")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Deploy and return 0."""
    settings.require_cloud(os.environ)
    root = Path.cwd()
    environment = passed_on(os.environ)
    commit = head_commit(root)
    target = deploy.Target(
        runtime=args.runtime,
        bootstrap=None,
        environment={**environment, **({"CRYPTOVOL_GIT_COMMIT": commit} if commit else {})},
        buckets=(settings.load(os.environ).bucket, mlflow_server.BUCKET, deploy.DVC_BUCKET),
        layers=tuple(args.layer),
        role=args.role,
    )
    s3, functions = deploy.clients(None)
    done = deploy.deploy(root, target, s3=s3, functions=functions)
    print(json.dumps(done) if args.json else "\n".join(f"{name:<24}{what}" for name, what in done.items()))
    return 0


def passed_on(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what of the caller's environment the functions get."""
    source = settings.load(environ).source
    kept = {name: environ[name] for name in PASSED_ON if environ.get(name)}
    return {**kept, "CRYPTOVOL_SOURCE": "live" if source == "auto" else source}
