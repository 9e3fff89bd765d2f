"""Which function ships with which layers: derived from its `requirements.txt`, so that it is said in one place."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cryptovol.cloud import zips
from cryptovol.cloud.packaging import pins
from cryptovol.cloud.packaging.pins import Layer
from cryptovol.errors import ConfigError

CORE = "core"
# Lambda's own ceiling. Source: AWS, "Lambda quotas", https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
LAYERS_LIMIT = 5
FUNCTIONS = (*zips.STAGES, "predict")
# The name a package is imported by, where it is not its own.
_IMPORTED_AS = {"pyyaml": "yaml", "mlflow-skinny": "mlflow", "xgboost-cpu": "xgboost"}


@dataclass(frozen=True)
class Function:
    """One function and what it stands on.

    Parameters
    ----------
    name
        Its folder under ``functions/``.
    module
        What Lambda imports: ``handler`` for a stage, ``app`` for the API.
    imports
        The packages it imports, by the names they are imported by.
    layers
        Its layers, lowest first; the core layer comes last.
    """

    name: str
    module: str
    imports: tuple[str, ...]
    layers: tuple[str, ...]


def functions(root: Path, layers: dict[str, Layer]) -> dict[str, Function]:
    """Return every function by name, in the order of the pipeline.

    Parameters
    ----------
    root
        The project folder.

    Raises
    ------
    ConfigError
        If a function imports what no layer holds, asks for another range than the layer, or needs too many layers.
    """
    return {name: _function(name, _named(root, name), layers) for name in FUNCTIONS}


def _named(root: Path, name: str) -> dict[str, str]:
    path = root / "functions" / name / "requirements.txt"
    if not path.is_file():
        raise ConfigError(f"{path} is missing; run from the project folder")
    return pins.requirements(path.read_text(encoding="utf-8"))


def _function(name: str, named: dict[str, str], layers: dict[str, Layer]) -> Function:
    taken: set[str] = set()
    for package, line in named.items():
        layer = next((each for each in layers.values() if package in each.direct), None)
        if layer is None:
            raise ConfigError(
                f"functions/{name}/requirements.txt names {package}, which no layer-* group of pyproject.toml holds"
            )
        wanted = layer.direct[package].split(";")[0].strip()
        if line != wanted:
            raise ConfigError(
                f"functions/{name}/requirements.txt asks for {line}, layer-{layer.name} of pyproject.toml for {wanted}. "
                "Cure: write the latter in both"
            )
        taken |= {layer.name, *layer.below}
    ordered = (*(each for each in layers if each in taken), CORE)
    if len(ordered) > LAYERS_LIMIT:
        raise ConfigError(f"{name} needs {len(ordered)} layers, {', '.join(ordered)}; Lambda takes {LAYERS_LIMIT}")
    imported = tuple(_IMPORTED_AS.get(package, package.replace("-", "_")) for package in named)
    return Function(name, "app" if name == "predict" else "handler", imported, ordered)
