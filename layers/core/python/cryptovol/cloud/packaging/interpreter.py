"""The interpreter of Lambda's Python here, if there is one: it compiles what ships and imports it once."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptovol.errors import ConfigError

# Amazon Linux 2023: the first Lambda Python whose C library is new enough for today's numpy and XGBoost wheels.
VERSION = "3.12"
RUNTIME = f"python{VERSION}"
_PROBE = "import json, sys; print(json.dumps([sys.executable, '%d.%d' % sys.version_info[:2]]))"


@dataclass(frozen=True)
class Interpreter:
    """A working interpreter of `VERSION`.

    Parameters
    ----------
    path
        Its program.
    architecture
        Which builds it can import, as AWS names it apart from ``aarch64``; an empty text for none (no Linux).
    """

    path: Path
    architecture: str


def find(environ: Mapping[str, str], wanted: Path | None = None) -> Interpreter | None:
    """Return an interpreter of `VERSION`, or None if there is none.

    Parameters
    ----------
    environ
        The caller's; its ``PATH`` is searched. pyenv's shims answer only for a chosen version, so it is chosen for them.
    wanted
        Asked instead of searching.

    Raises
    ------
    ConfigError
        If `wanted` is another version or no interpreter.
    """
    chosen = {**environ, "PYENV_VERSION": VERSION}
    if wanted is not None:
        found = _ask(wanted, chosen)
        if found is None:
            raise ConfigError(f"{wanted} is no Python {VERSION}, which is what Lambda's {RUNTIME} runs")
        return found
    folders = filter(None, environ.get("PATH", "").split(":"))
    candidates = [Path(sys.executable), *(Path(folder) / RUNTIME for folder in folders)]
    return next((found for each in candidates if each.is_file() and (found := _ask(each, chosen))), None)


def _ask(program: Path, environ: Mapping[str, str]) -> Interpreter | None:
    try:
        done = run([str(program), "-I", "-S", "-c", _PROBE], environ)
        path, version = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    machine = platform.machine() if sys.platform == "linux" else ""
    return Interpreter(Path(path), machine) if version == VERSION else None


def run(command: Sequence[str], environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, at most ten minutes, and return what it printed.

    Raises
    ------
    subprocess.SubprocessError
        If it fails or takes longer.
    """
    return subprocess.run(command, env=dict(environ), capture_output=True, text=True, timeout=600, check=True)


def last_words(error: subprocess.CalledProcessError) -> str:
    """Return the last line a failed command said: of a traceback, the error itself."""
    lines = f"{error.stdout}\n{error.stderr}".split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), f"exit code {error.returncode}")
