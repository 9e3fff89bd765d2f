"""AWS Signature Version 4 for S3, over one request whose body is at hand. Pure: the time comes in.

Source: Amazon S3 User Guide, "Authenticating Requests: Using the Authorization Header (AWS Signature Version 4)";
its worked examples are the tests.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

ALGORITHM = "AWS4-HMAC-SHA256"
SERVICE = "s3"


@dataclass(frozen=True)
class Credentials:
    """An access key, its secret and, for temporary ones, their session token; the secrets are not in the `repr`."""

    access_key: str
    secret_key: str = field(repr=False)
    token: str = field(default="", repr=False)


def path(*parts: str) -> str:
    """Return a path with everything escaped that AWS wants escaped; slashes inside a part stay."""
    return "/" + "/".join(quote(part, safe="/~") for part in parts)


def query(values: Mapping[str, str]) -> str:
    """Return a query in canonical form: escaped, sorted by name."""
    escaped = ((quote(name, safe="~"), quote(value, safe="~")) for name, value in values.items())
    return "&".join(f"{name}={value}" for name, value in sorted(escaped))


def headers(
    method: str, where: str, asked: str, given: Mapping[str, str], body: bytes, *, credentials: Credentials, region: str,
    now: float,
) -> dict[str, str]:  # fmt: skip
    """Return the headers of a signed request: those given and those that sign them.

    Parameters
    ----------
    method
        ``GET``, ``PUT``, ``HEAD``.
    where, asked
        Escaped path and canonical query; see `path` and `query`.
    given
        Headers to be signed, ``Host`` among them.
    now
        Unix seconds.
    """
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    digest = hashlib.sha256(body).hexdigest()
    more = {"x-amz-content-sha256": digest, "x-amz-date": stamp}
    if credentials.token:
        more["x-amz-security-token"] = credentials.token
    signed = {**given, **more}
    lines = sorted((name.lower(), " ".join(value.split())) for name, value in signed.items())
    names = ";".join(name for name, _ in lines)
    canonical = "\n".join([method, where, asked, *(f"{name}:{value}" for name, value in lines), "", names, digest])
    scope = f"{stamp[:8]}/{region}/{SERVICE}/aws4_request"
    to_sign = "\n".join([ALGORITHM, stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = f"AWS4{credentials.secret_key}".encode()
    for part in scope.split("/"):
        key = _mac(key, part)
    signature = _mac(key, to_sign).hex()
    words = f"Credential={credentials.access_key}/{scope},SignedHeaders={names},Signature={signature}"
    return {**signed, "Authorization": f"{ALGORITHM} {words}"}


def _mac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()
