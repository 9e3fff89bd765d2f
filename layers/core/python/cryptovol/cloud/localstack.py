"""LocalStack without Docker: S3, Lambda and API Gateway on one loopback port, from an environment of its own.

Facts about localstack-core 4.13.1 that shape this module, each seen to happen:

- functions run in containers unless a plugin says otherwise: ours (``localstack/executor``) runs them as processes;
- of `GATEWAY_LISTEN` it takes the port and listens on every interface: our plugin, too, binds the address;
- it keeps nothing: after its end, buckets, functions and the API are gone;
- run by root it would set up a name server for the machine unless `DNS_ADDRESS` is 0.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from cryptovol.cloud import environs, zips
from cryptovol.cloud.processes import Spec
from cryptovol.errors import ConfigError

NAME = "cloud"
VENV = ".venv-localstack"
EXECUTOR = "process"
# The Python of the functions is the one of this environment.
RUNTIME = f"python{sys.version_info.major}.{sys.version_info.minor}"
START_SECONDS = 120  # a function's imports on a busy machine


def python(root: Path) -> Path:
    """Return LocalStack's interpreter; raise `ConfigError` if it is not installed."""
    path = root / VENV / "bin" / "python"
    if not path.exists() or not (root / VENV / ".ready").exists():
        raise ConfigError(f"{root / VENV} holds no LocalStack. Cure: `make localstack` installs it (about 500 MB)")
    return path


def spec(root: Path, folder: Path, port: int, environ: Mapping[str, str]) -> Spec:
    """Return LocalStack's process.

    Parameters
    ----------
    root, folder
        The project and the lane's folder, absolute.
    environ
        The caller's environment; scrubbed here.
    """
    home = folder / "cloud"
    for name in ("files", "tmp", "home"):
        (home / name).mkdir(parents=True, exist_ok=True)
    own = {
        "HOME": str(home / "home"),
        "TMPDIR": str(home / "tmp"),
        "FILESYSTEM_ROOT": str(home / "files"),
        "GATEWAY_LISTEN": f"127.0.0.1:{port}",
        "GATEWAY_SERVER": "loopback",
        "DISABLE_EVENTS": "1",
        "SKIP_SSL_CERT_DOWNLOAD": "1",
        "DNS_ADDRESS": "0",
        "LAMBDA_RUNTIME_EXECUTOR": EXECUTOR,
        "LAMBDA_RUNTIME_ENVIRONMENT_TIMEOUT": str(START_SECONDS),
        "CRYPTOVOL_LAMBDA_PYTHON": sys.executable,
    }
    command = (str(python(root)), "-m", "localstack.runtime.main")
    code = zips.digest(zips.pack(zips.read_tree(root / "localstack" / "executor")))
    return Spec(NAME, command, environs.scrubbed(environ, **own), port, "/_localstack/health", code, 180.0)
