"""What `chalice package` says about the API, made from the app without a network, credentials or a package index."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptovol.cloud import zips
from cryptovol.cloud.packaging import interpreter
from cryptovol.errors import ConfigError

STAGE = "prod"
# Chalice asks botocore for the region's names; nothing in the templates is of this region.
_ENVIRON = {"AWS_DEFAULT_REGION": "us-east-1", "CRYPTOVOL_CLOUD": "aws"}
CHALICE = "from chalice.cli import main; raise SystemExit(main())"  # with this interpreter, wherever its scripts are
_FORMATS = {"terraform": "chalice.tf.json", "cloudformation": "sam.json"}


def stage_app(root: Path, folder: Path) -> None:
    """Write the app as Chalice shall see it: with an empty `requirements.txt`, since layers hold the packages.

    Chalice would otherwise fetch every package for the Python it runs on, and ship without those it cannot find.
    """
    shutil.rmtree(folder, ignore_errors=True)
    own = root / "functions" / "predict"
    for name, data in zips.read_tree(own).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    shutil.copytree(own / ".chalice", folder / ".chalice", ignore=shutil.ignore_patterns("deployed", "deployments"))
    (folder / "requirements.txt").write_text("", encoding="utf-8")


def template(kind: str, app: Path, out: Path, environ: Mapping[str, str]) -> dict[str, Any]:
    """Return Chalice's template of a staged app.

    Parameters
    ----------
    kind
        ``terraform`` or ``cloudformation``.
    app
        What `stage_app` wrote.
    out
        Where Chalice writes.
    environ
        The caller's; only its ``PATH`` and ``HOME`` are passed on.

    Raises
    ------
    ConfigError
        If Chalice refuses the app or its configuration.
    """
    command = [sys.executable, "-c", CHALICE, "--project-dir", str(app.resolve()), "package", "--stage", STAGE]
    known = {name: environ[name] for name in ("PATH", "HOME") if name in environ}
    try:
        interpreter.run([*command, "--pkg-format", kind, str(out.resolve())], {**known, **_ENVIRON})
    except subprocess.CalledProcessError as error:
        raise ConfigError(f"chalice package refuses the app: {interpreter.last_words(error)}") from error
    found: dict[str, Any] = json.loads((out / _FORMATS[kind]).read_text(encoding="utf-8"))
    return found
