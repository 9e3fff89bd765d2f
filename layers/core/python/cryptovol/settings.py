"""Deployment: where things are. The sole reader of the environment; science is in `params.yaml`.

Every variable begins with ``CRYPTOVOL_``, but for those that AWS, MLflow and Lambda define themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptovol.errors import ConfigError

SOURCES = ("auto", "cryptocompare", "simulated", "replay:<file>")
CRYPTOCOMPARE = "https://min-api.cryptocompare.com"


@dataclass(frozen=True)
class Settings:
    """The environment, read once.

    Parameters
    ----------
    source
        ``auto``, ``cryptocompare``, ``simulated`` or ``replay:<bar file>``.
    cryptocompare_url
        Base URL of the CryptoCompare-shaped server, or None for the stand-in that a process starts for itself.
    cryptocompare_key
        API key, or an empty text.
    bucket
        The bucket of bars, features, models and predictions.
    tracking_uri
        MLflow's server, or an empty text for the tracker that writes files.
    market
        Which market's champion the API serves.
    api_keys
        Accepted ``x-api-key`` values as sha256 hex digests; empty means open, which only the local default is.
    metrics_state
        The metrics sidecar's state file, or None where there is none.
    params_path
        `params.yaml`.
    git_commit
        The commit the deployed code was built from, or an empty text.
    """

    source: str
    cryptocompare_url: str | None
    cryptocompare_key: str
    bucket: str
    tracking_uri: str
    market: str
    api_keys: tuple[str, ...]
    metrics_state: Path | None
    params_path: Path
    git_commit: str


def load(environ: Mapping[str, str]) -> Settings:
    """Return the settings in an environment.

    Raises
    ------
    ConfigError
        If `CRYPTOVOL_SOURCE` is none of the known ones.
    """
    source = environ.get("CRYPTOVOL_SOURCE") or "auto"
    if source not in SOURCES[:3] and not (source.startswith("replay:") and len(source) > 7):
        raise ConfigError(f"CRYPTOVOL_SOURCE is {source!r}; use one of {', '.join(SOURCES)}")
    state = environ.get("CRYPTOVOL_METRICS_STATE")
    root = environ.get("LAMBDA_TASK_ROOT") or "."
    return Settings(
        source=source,
        cryptocompare_url=environ.get("CRYPTOVOL_CRYPTOCOMPARE_URL") or None,
        cryptocompare_key=environ.get("CRYPTOVOL_CRYPTOCOMPARE_KEY", ""),
        bucket=environ.get("CRYPTOVOL_BUCKET") or "cryptovol",
        tracking_uri=environ.get("MLFLOW_TRACKING_URI", ""),
        market=environ.get("CRYPTOVOL_MARKET") or "live",
        api_keys=tuple(k.strip().lower() for k in environ.get("CRYPTOVOL_API_KEY_SHA256", "").split(",") if k.strip()),
        metrics_state=Path(state) if state else None,
        params_path=Path(environ.get("CRYPTOVOL_PARAMS") or Path(root) / "params.yaml"),
        git_commit=environ.get("CRYPTOVOL_GIT_COMMIT", ""),
    )


def require_cloud(environ: Mapping[str, str]) -> None:
    """Raise `ConfigError` unless an endpoint is set or real AWS was asked for by name.

    Without this check a function whose endpoint variable got lost would quietly talk to real AWS.
    """
    named = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3")
    if environ.get("CRYPTOVOL_CLOUD") != "aws" and not any(environ.get(name) for name in named):
        raise ConfigError(
            "no cloud is set: AWS_ENDPOINT_URL is empty. Cure: `make up`, or CRYPTOVOL_CLOUD=aws for real AWS"
        )
