"""The API on an emulated API Gateway: `chalice deploy` of a copy of the app, with what shipped code has beside it.

The copy holds the app, `params.yaml`, and no third-party packages: on a local cloud the functions' interpreter has them,
and Chalice would otherwise fetch and build each. The core layer is the stage functions' own.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptovol.cloud import environs, readiness, zips
from cryptovol.cloud.packaging import chalices, interpreter
from cryptovol.errors import TransientError

STAGE = "local"
FUNCTION = f"cryptovol-predict-{STAGE}"
_CONFIG = Path(".chalice", "config.json")
_HELD = Path(".chalice", "deployed", "held.json")
_DEPLOYED = Path(".chalice", "deployed", f"{STAGE}.json")


@dataclass(frozen=True)
class App:
    """What is deployed.

    Parameters
    ----------
    params
        The file that ships as `params.yaml`.
    layer
        The core layer's ARN.
    role
        The execution role's ARN; emulators check its form only.
    environment
        The functions' variables.
    """

    params: Path
    layer: str
    role: str
    environment: Mapping[str, str]


def deploy(root: Path, folder: Path, app: App, *, endpoint: str, life: str, environ: Mapping[str, str]) -> str:
    """Deploy the app unless it is there as it should be, and return its address.

    Parameters
    ----------
    root
        The project folder.
    folder
        Where the copy is made and Chalice remembers what it deployed.
    endpoint
        The emulator.
    life
        What tells this life of the emulator from an earlier one, whose API is gone.
    environ
        The caller's environment; scrubbed here.

    Raises
    ------
    TransientError
        If Chalice fails; its last words are in the message.
    """
    held = _read(folder / _HELD)
    chalices.stage_app(root, folder)
    _complete(folder, app)
    mark = f"{_digest(folder)} {life}"
    if held.get("mark") == mark and readiness.answers(f"{held['url']}/openapi.json"):
        return _keep(folder, held)
    _keep(folder, {**held, "mark": ""})
    command = [sys.executable, "-c", chalices.CHALICE, "--project-dir", str(folder), "deploy", "--stage", STAGE]
    try:
        interpreter.run(command, {**environs.scrubbed(environ), **app.environment, **environs.cloud(endpoint)})
    except subprocess.SubprocessError as error:
        raise TransientError(
            f"chalice deploy failed: {_why(error)}. Cure: see that the cloud is up, and try again"
        ) from error
    deployed = _read(folder / _DEPLOYED)
    (rest,) = (found["rest_api_id"] for found in deployed["resources"] if found["resource_type"] == "rest_api")
    url = f"{endpoint}/_aws/execute-api/{rest}/{_config(folder)['stages'][STAGE]['api_gateway_stage']}"
    return _keep(folder, {"mark": mark, "url": url, "deployed": deployed})


def _keep(folder: Path, held: Mapping[str, Any]) -> str:
    """Put Chalice's memory, which a new copy does not have, back beside ours; return the address."""
    path = folder / _DEPLOYED
    path.parent.mkdir(parents=True, exist_ok=True)
    if held.get("deployed"):
        path.write_text(json.dumps(held["deployed"]), encoding="utf-8")
    (folder / _HELD).write_text(json.dumps(held), encoding="utf-8")
    return str(held.get("url", ""))


def _complete(folder: Path, app: App) -> None:
    """Add to the copy what ships beside the app, and the stage's configuration."""
    (folder / "vendor").mkdir()  # Chalice puts what is in there at the top of the package
    (folder / "vendor" / "params.yaml").write_bytes(app.params.read_bytes())
    config = _config(folder)
    config["stages"][STAGE] |= {
        "manage_iam_role": False,
        "iam_role_arn": app.role,
        "layers": [app.layer],
        "environment_variables": dict(app.environment),
    }
    (folder / _CONFIG).write_text(json.dumps(config, indent=1), encoding="utf-8")


def _config(folder: Path) -> dict[str, Any]:
    return _read(folder / _CONFIG)


def _digest(folder: Path) -> str:
    files = {**zips.read_tree(folder), "config": (folder / _CONFIG).read_bytes()}
    return zips.digest(zips.pack(files))


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _why(error: subprocess.SubprocessError) -> str:
    return interpreter.last_words(error) if isinstance(error, subprocess.CalledProcessError) else str(error)
