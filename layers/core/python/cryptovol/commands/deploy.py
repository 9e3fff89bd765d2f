"""`cryptovol deploy`: the functions on any cloud that speaks S3 and Lambda, by settings only."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from cryptovol import settings
from cryptovol.cloud import deploy, iam, mlflow_server
from cryptovol.cloud.commit import head
from cryptovol.cloud.packaging import pins, plan
from cryptovol.errors import ConfigError
from cryptovol.settings import VENUES, url_setting

Parsers = argparse._SubParsersAction
EPILOG = """Which cloud is a matter of the environment alone: AWS_ENDPOINT_URL (or _S3 and _LAMBDA) for an emulator,
CRYPTOVOL_CLOUD=aws and ordinary AWS credentials for AWS. Running it again changes only what differs.
`cryptovol up` does this by itself for the embedded cloud.

The functions get CRYPTOVOL_SOURCE, the venues' addresses and the key from here. Where it is `auto`, or not set, they
get `live`: the venues in the order of params.yaml, and never made-up bars.

Each function should have a role of its own: --policies writes what each needs and no more, and deploys nothing; with
{stage} in --role every function gets its own.

  cryptovol deploy --policies build/policies --account 123456789012 --region eu-central-1
  CRYPTOVOL_CLOUD=aws cryptovol deploy --role 'arn:aws:iam::123456789012:role/cryptovol-{stage}' --layer arn:…:1"""

LAYER_HELP = """a third-party layer for every function, or, with the name of a layer of `cryptovol layers` before it, for
those that need it; repeatable"""

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
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--role", help="ARN of the functions' execution role; {stage} stands for the function's stage")
    what.add_argument("--policies", type=Path, metavar="DIR", help="write each function's IAM policy there, and stop")
    parser.add_argument(
        "--function", action="append", default=[], choices=list(iam.RIGHTS), metavar="NAME",
        help="write the policy of this function alone; repeatable",
    )  # fmt: skip
    parser.add_argument("--market", default="*", help="whose keys the policies name, for instance live (default: any)")
    parser.add_argument("--account", default="*", help="of the logs and the secret in the policies (default: any)")
    parser.add_argument("--region", default="*", help="of the logs and the secret in the policies (default: any)")
    parser.add_argument("--layer", action="append", default=[], metavar="[NAME=]ARN", help=LAYER_HELP)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Deploy, or write the policies, and return 0."""
    if args.policies:
        return _write_policies(args)
    settings.require_cloud(os.environ)
    root = Path.cwd()
    environment = passed_on(os.environ)
    commit = head(root)
    target = deploy.Target(
        runtime=args.runtime,
        bootstrap=None,
        environment={**environment, **({"CRYPTOVOL_GIT_COMMIT": commit} if commit else {})},
        buckets=(settings.load(os.environ).bucket, mlflow_server.BUCKET, deploy.DVC_BUCKET),
        layers=tuple(each for each in args.layer if "=" not in each),
        own_layers=own_layers(root, args.layer),
        role=args.role,
    )
    s3, functions = deploy.clients(None)
    done = deploy.deploy(root, target, s3=s3, functions=functions)
    print(json.dumps(done) if args.json else "\n".join(f"{name:<24}{what}" for name, what in done.items()))
    return 0


def _write_policies(args: argparse.Namespace) -> int:
    own = settings.load(os.environ)
    try:
        files = iam.write(
            args.policies, own.bucket, args.function, market=args.market, account=args.account, region=args.region,
            secret=own.api_keys_secret,
        )  # fmt: skip
    except OSError as error:
        raise ConfigError(
            f"cannot write policies to {args.policies}: {error.strerror}; choose another folder"
        ) from error
    print(json.dumps([str(path) for path in files]) if args.json else "\n".join(map(str, files)))
    return 0


def own_layers(root: Path, given: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the ARNs of the layers each stage needs, lowest first, from texts ``NAME=ARN``; others are passed over.

    Raises
    ------
    ConfigError
        If there is no layer of a name.
    """
    arns = dict(each.split("=", 1) for each in given if "=" in each)
    layers = pins.layers((root / "pyproject.toml").read_text(encoding="utf-8")) if arns else {}
    unknown = sorted(arns.keys() - layers)
    if unknown:
        raise ConfigError(f"--layer: there is no layer {unknown[0]!r}; known are {', '.join(layers)}")
    functions = plan.functions(root, layers) if arns else {}
    return {name: tuple(arns[layer] for layer in each.layers if layer in arns) for name, each in functions.items()}


def passed_on(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what of the caller's environment the functions get."""
    source = settings.load(environ).source
    kept = {name: environ[name] for name in PASSED_ON if environ.get(name)}
    return {**kept, "CRYPTOVOL_SOURCE": "live" if source == "auto" else source}
