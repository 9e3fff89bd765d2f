"""The environments of the lane's processes: what they need and nothing more.

The emulator hands its whole environment to the functions it runs, so a secret in the shell of whoever types
``make run`` would be readable in every one of them. Only what is named here gets through.
"""

from __future__ import annotations

from collections.abc import Mapping

from cryptovol.settings import url_setting

REGION = "us-east-1"
# Any emulator accepts them, AWS none: a process that lost its endpoint cannot do harm.
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
_KEPT = (
    "PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR", "CRYPTOVOL_LOG_LEVEL",
    "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "AWS_CA_BUNDLE",
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
)  # fmt: skip
_LOOPBACK = "127.0.0.1,localhost"


def scrubbed(environ: Mapping[str, str], **more: str) -> dict[str, str]:
    """Return the harmless part of an environment, with loopback excepted from any proxy, and `more`."""
    kept = {name: environ[name] for name in _KEPT if name in environ}
    for name in ("NO_PROXY", "no_proxy"):
        kept[name] = ",".join(filter(None, (kept.get(name), _LOOPBACK)))
    return {**kept, **more}


def cloud(endpoint: str) -> dict[str, str]:
    """Return what boto3 reads to reach an emulator."""
    return {"AWS_ENDPOINT_URL": endpoint, "AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION, **CREDENTIALS}


def application(
    *, source: str, market_urls: Mapping[str, str], market_key: str, bucket: str, tracking_uri: str, git_commit: str
) -> dict[str, str]:
    """Return the project's own settings as `cryptovol.settings` reads them; empty ones are left out."""
    named = {
        "CRYPTOVOL_SOURCE": source,
        **{url_setting(venue): url for venue, url in market_urls.items()},
        "CRYPTOVOL_CRYPTOCOMPARE_KEY": market_key,
        "CRYPTOVOL_BUCKET": bucket,
        "MLFLOW_TRACKING_URI": tracking_uri,
        "CRYPTOVOL_GIT_COMMIT": git_commit,
        "GIT_PYTHON_REFRESH": "quiet",  # without git mlflow would print a page about it
    }
    return {name: value for name, value in named.items() if value}
