"""`cryptovol package`: archives and templates for AWS, in one folder that Terraform or CloudFormation takes as it is."""

from __future__ import annotations

import argparse
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptovol.cloud.packaging import chalices, interpreter, pins, plan, sam, terraform
from cryptovol.cloud.packaging.build import ARCHITECTURES, Builder
from cryptovol.commands.layers import say
from cryptovol.errors import ConfigError

Parsers = argparse._SubParsersAction
EPILOG = f"""Builds functions and layers for one architecture and writes beside them
  chalice.tf.json    the API, from `chalice package`, with our runtime, layers, roles and settings
  cryptovol.tf.json  bucket, layers, and the pipeline's functions with a role each
  sam.json           the API alone, for CloudFormation

  cryptovol package && cd build/aws && terraform init && terraform plan -var bucket=… -var api_keys_secret=…

It needs a Python {interpreter.VERSION} (on PATH, or --python): what is not compiled here is compiled at every cold start.
Nothing is asked of AWS. `cryptovol deploy` puts the pipeline's functions right without Terraform."""


def add(parsers: Parsers[argparse.ArgumentParser]) -> None:
    """Declare the verb."""
    parser = parsers.add_parser(
        "package", help="write archives and templates for AWS", epilog=EPILOG,
        description="Package for AWS.", formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--arch", choices=ARCHITECTURES, default=ARCHITECTURES[0], help="default: %(default)s")
    parser.add_argument("--python", type=Path, help=f"a Python {interpreter.VERSION} (default: the one on PATH)")
    parser.add_argument("--into", type=Path, default=Path("build/aws"), help="where to write (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Build, write and list what was written; return 0."""
    root, into = Path.cwd(), args.into
    python = interpreter.find(os.environ, args.python)
    if python is None:
        raise ConfigError(
            f"no Python {interpreter.VERSION} is on PATH to compile with. Cure: install one, or name it: --python"
        )
    layers = pins.layers((root / "pyproject.toml").read_text(encoding="utf-8"))
    functions = plan.functions(root, layers)
    work = into.with_name(f"{into.name}-work")
    templates = api_templates(root, work, os.environ)
    built = Builder(root, work, python, os.environ).build(list(functions.values()), layers, args.arch, say)
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir(parents=True)
    for name, package in built.layers.items():
        shutil.copyfile(package.zip, into / f"layer-{name}.zip")
    for name, package in built.functions.items():
        shutil.copyfile(package.zip, into / ("deployment.zip" if name == "predict" else f"function-{name}.zip"))
    documents = {
        "chalice.tf.json": terraform.api(templates["terraform"], functions["predict"], args.arch),
        "cryptovol.tf.json": terraform.pipeline(functions.values(), args.arch),
        "sam.json": sam.api(templates["cloudformation"], functions["predict"], args.arch),
    }
    for file, document in documents.items():
        (into / file).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    written = [str(path) for path in sorted(into.iterdir())]
    print(json.dumps(written) if args.json else "\n".join(written))
    return 0


def api_templates(root: Path, work: Path, environ: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Return Chalice's templates of the API, by kind."""
    chalices.stage_app(root, work / "app")
    return {
        kind: chalices.template(kind, work / "app", work / f"chalice-{kind}", environ)
        for kind in ("terraform", "cloudformation")
    }
