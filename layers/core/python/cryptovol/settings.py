"""Deployment: where things are. The sole reader of the environment; science is in `params.yaml`.

Every variable begins with ``CRYPTOVOL_``, but for those that AWS, MLflow and Lambda define themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptovol.errors import ConfigError

VENUES = ("cryptocompare", "coindesk", "coinbase", "kraken", "binance")
SOURCES = ("auto", "live", *VENUES, "simulated", "replay:<file>")


@dataclass(frozen=True)
class Settings:
    """The environment, read once.

    Parameters
    ----------
    source
        ``auto``, ``live``, a venue's name, ``simulated`` or ``replay:<bar file>``. ``live`` is what ``auto`` is once a
        venue has been reached: the venues in their order, and never made-up bars.
    urls
        Base URL by venue, for those whose ``CRYPTOVOL_<VENUE>_URL`` is set; the others are asked at their own. A
        simulated or replayed market is looked for at CryptoCompare's, or served by the process itself.
    cryptocompare_key
        API key of CryptoCompare and CoinDesk, or an empty text.
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
    urls: Mapping[str, str]
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
    if source not in SOURCES[:-1] and not (source.startswith("replay:") and len(source) > 7):
        raise ConfigError(f"CRYPTOVOL_SOURCE is {source!r}; use one of {', '.join(SOURCES)}")
    state = environ.get("CRYPTOVOL_METRICS_STATE")
    root = environ.get("LAMBDA_TASK_ROOT") or "."
    return Settings(
        source=source,
        urls={venue: url for venue in VENUES if (url := environ.get(url_setting(venue)))},
        cryptocompare_key=environ.get("CRYPTOVOL_CRYPTOCOMPARE_KEY", ""),
        bucket=environ.get("CRYPTOVOL_BUCKET") or "cryptovol",
        tracking_uri=environ.get("MLFLOW_TRACKING_URI", ""),
        market=environ.get("CRYPTOVOL_MARKET") or "live",
        api_keys=tuple(k.strip().lower() for k in environ.get("CRYPTOVOL_API_KEY_SHA256", "").split(",") if k.strip()),
        metrics_state=Path(state) if state else None,
        params_path=Path(environ.get("CRYPTOVOL_PARAMS") or Path(root) / "params.yaml"),
        git_commit=environ.get("CRYPTOVOL_GIT_COMMIT", ""),
    )


def url_setting(venue: str) -> str:
    """Return the variable that holds a venue's base URL."""
    return f"CRYPTOVOL_{venue.upper()}_URL"


def require_cloud(environ: Mapping[str, str]) -> None:
    """Raise `ConfigError` unless an endpoint is set or real AWS was asked for by name.

    Without this check a function whose endpoint variable got lost would quietly talk to real AWS.
    """
    named = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3")
    if environ.get("CRYPTOVOL_CLOUD") != "aws" and not any(environ.get(name) for name in named):
        raise ConfigError(
            "no cloud is set: AWS_ENDPOINT_URL is empty. Cure: `make up`, or CRYPTOVOL_CLOUD=aws for real AWS"
        )
