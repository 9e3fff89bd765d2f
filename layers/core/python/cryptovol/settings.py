"""Deployment: where things are. The sole reader of the environment; science is in `params.yaml`.

Every variable begins with ``CRYPTOVOL_``, but for those that AWS, MLflow and Lambda define themselves.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptovol import keyring
from cryptovol.errors import ConfigError

VENUES = ("cryptocompare", "coindesk", "coinbase", "kraken", "binance")
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
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
    on_aws
        Whether real AWS was asked for by ``CRYPTOVOL_CLOUD=aws``; there the API does not open without keys.
    api_keys
        Accepted ``x-api-key`` values as sha256 hex digests by name; with no secret either, the API is open, which only
        the local default is.
    api_keys_secret
        Id of the secret in AWS Secrets Manager that holds more of them, or an empty text.
    rate_per_minute, rate_burst
        Requests one caller may make in the long run and at once; None where it is not set, 0 a minute is no limit.
    cors_origin
        The one other origin whose pages may call the API, or an empty text.
    metrics_state
        The metrics sidecar's state file, or None where there is none.
    spool
        Folder in which the API keeps records of its answers until they are in the store; None prints them instead.
    params_path
        `params.yaml`.
    git_commit
        The commit the deployed code was built from, or an empty text.
    log_level
        The least that is logged: ``DEBUG``, ``INFO``, ``WARNING`` or ``ERROR``.
    """

    source: str
    urls: Mapping[str, str]
    cryptocompare_key: str
    bucket: str
    tracking_uri: str
    market: str
    on_aws: bool
    api_keys: Mapping[str, str]
    api_keys_secret: str
    rate_per_minute: int | None
    rate_burst: int | None
    cors_origin: str
    metrics_state: Path | None
    spool: Path | None
    params_path: Path
    git_commit: str
    log_level: str


def load(environ: Mapping[str, str]) -> Settings:
    """Return the settings in an environment.

    Raises
    ------
    ConfigError
        If `CRYPTOVOL_SOURCE` is none of the known ones, or a number, a digest or an origin is none.
    """
    source = environ.get("CRYPTOVOL_SOURCE") or "auto"
    if source not in SOURCES[:-1] and not (source.startswith("replay:") and len(source) > 7):
        raise ConfigError(f"CRYPTOVOL_SOURCE is {source!r}; use one of {', '.join(SOURCES)}")
    state, spool = environ.get("CRYPTOVOL_METRICS_STATE"), environ.get("CRYPTOVOL_SPOOL")
    root = environ.get("LAMBDA_TASK_ROOT") or "."
    return Settings(
        source=source,
        urls={venue: url for venue in VENUES if (url := environ.get(url_setting(venue)))},
        cryptocompare_key=environ.get("CRYPTOVOL_CRYPTOCOMPARE_KEY", ""),
        bucket=environ.get("CRYPTOVOL_BUCKET") or "cryptovol",
        tracking_uri=environ.get("MLFLOW_TRACKING_URI", ""),
        market=environ.get("CRYPTOVOL_MARKET") or "live",
        on_aws=on_aws(environ),
        api_keys=keyring.parse(environ.get("CRYPTOVOL_API_KEY_SHA256", "")),
        api_keys_secret=environ.get("CRYPTOVOL_API_KEYS_SECRET", ""),
        rate_per_minute=_whole(environ, "CRYPTOVOL_RATE_PER_MINUTE", least=0),
        rate_burst=_whole(environ, "CRYPTOVOL_RATE_BURST", least=1),
        cors_origin=_origin(environ.get("CRYPTOVOL_CORS_ORIGIN", "")),
        metrics_state=Path(state) if state else None,
        spool=Path(spool) if spool else None,
        params_path=Path(environ.get("CRYPTOVOL_PARAMS") or Path(root) / "params.yaml"),
        git_commit=environ.get("CRYPTOVOL_GIT_COMMIT", ""),
        log_level=_level(environ.get("CRYPTOVOL_LOG_LEVEL") or "INFO"),
    )


def _whole(environ: Mapping[str, str], name: str, *, least: int) -> int | None:
    """Return a setting that is a whole number, or None where it is empty."""
    text = environ.get(name, "").strip()
    if not text:
        return None
    if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) < least:
        raise ConfigError(f"{name} is {text[:40]!r}; use a whole number from {least} to 999999999")
    return int(text)


def _level(text: str) -> str:
    if text.upper() not in LOG_LEVELS:
        raise ConfigError(f"CRYPTOVOL_LOG_LEVEL is {text[:40]!r}; use one of {', '.join(LOG_LEVELS)}")
    return text.upper()


def trace_header(environ: Mapping[str, str]) -> str:
    """Return the X-Ray header of the invocation under way, which Lambda's runtime keeps in the environment."""
    return environ.get("_X_AMZN_TRACE_ID", "")


def _origin(text: str) -> str:
    """Return a web origin as browsers send it: scheme, host and port, and nothing else."""
    if text and not re.fullmatch(r"https?://[a-z0-9.-]+(:[0-9]{1,5})?", text):
        raise ConfigError(f"CRYPTOVOL_CORS_ORIGIN is {text[:80]!r}; use one exact origin such as https://desk.example")
    return text


def on_aws(environ: Mapping[str, str]) -> bool:
    """Return whether real AWS was asked for by name."""
    return environ.get("CRYPTOVOL_CLOUD") == "aws"


def url_setting(venue: str) -> str:
    """Return the variable that holds a venue's base URL."""
    return f"CRYPTOVOL_{venue.upper()}_URL"


def require_cloud(environ: Mapping[str, str]) -> None:
    """Raise `ConfigError` unless an endpoint is set or real AWS was asked for by name.

    Without this check a function whose endpoint variable got lost would quietly talk to real AWS.
    """
    named = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3")
    if not on_aws(environ) and not any(environ.get(name) for name in named):
        raise ConfigError(
            "no cloud is set: AWS_ENDPOINT_URL is empty. Cure: `make up`, or CRYPTOVOL_CLOUD=aws for real AWS"
        )
