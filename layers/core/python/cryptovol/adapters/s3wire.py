"""The store on S3 over the standard library's HTTP: what the API uses where the environment holds plain keys.

Importing boto3 and making its client takes longer than all the rest of the API's cold start together, and the API
needs five plain calls of it. So this speaks them itself, where that is enough: `from_environ` says when, and everywhere
else `adapters.s3.S3Store` stays. Both keep one contract, and the same tests hold them to it.
"""

from __future__ import annotations

import http.client
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from cryptovol.adapters import s3codes, sigv4
from cryptovol.adapters.s3answers import Answer
from cryptovol.adapters.sigv4 import Credentials
from cryptovol.errors import ConflictError, KeyNotFoundError
from cryptovol.ports import Stored

CONNECT_SECONDS, READ_SECONDS = 5.0, 30.0
TRIES = 3
PAUSE_SECONDS = 0.2  # before the second try; doubled before each further one
IDLE = 4  # connections kept for the next request
_RETRIED = {429, 500, 502, 503, 504}
# Settings of which this client knows nothing: they are boto3's business.
_BEYOND = (
    "AWS_PROFILE", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT",
)  # fmt: skip
_BEYOND_TLS = ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE")
_BEYOND_LOOPBACK = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
# Of the partition whose names end in amazonaws.com.
_REGION = re.compile(r"(?!cn-|us-iso|eu-isoe|eusc-)[a-z]{2}(-[a-z]+)+-\d")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")  # no dots: a wildcard certificate covers one label


@dataclass(frozen=True)
class Endpoint:
    """Where a bucket is: scheme, host with port, and what comes before the key in a path."""

    secure: bool
    host: str
    prefix: tuple[str, ...]

    @property
    def loopback(self) -> bool:
        """Whether it is on this machine, which no proxy stands before."""
        return (urlsplit(f"//{self.host}").hostname or "") in ("localhost", "127.0.0.1", "::1")


def from_environ(bucket: str, environ: Mapping[str, str]) -> S3Wire | None:
    """Return the store, or None where boto3 must find its way: no plain keys, or settings only boto3 knows."""
    access, secret = environ.get("AWS_ACCESS_KEY_ID", ""), environ.get("AWS_SECRET_ACCESS_KEY", "")
    region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or ""
    endpoint = endpoint_of(bucket, region, environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL") or "")
    if not (access and secret and _REGION.fullmatch(region) and endpoint):
        return None
    beyond = _BEYOND + (_BEYOND_TLS if endpoint.secure else ()) + (() if endpoint.loopback else _BEYOND_LOOPBACK)
    if any(environ.get(name) for name in beyond):
        return None
    return S3Wire(bucket, endpoint, Credentials(access, secret, environ.get("AWS_SESSION_TOKEN", "")), region)


def endpoint_of(bucket: str, region: str, url: str) -> Endpoint | None:
    """Return where a bucket is: by path at an endpoint that is named, by host on AWS; None if the names do not allow it."""
    if not url:
        return Endpoint(True, f"{bucket}.s3.{region}.amazonaws.com", ()) if _BUCKET.fullmatch(bucket) else None
    parts = urlsplit(url)
    plain = parts.scheme in ("http", "https") and parts.hostname and not (parts.query or parts.username)
    base = tuple(filter(None, parts.path.split("/")))
    return Endpoint(parts.scheme == "https", parts.netloc, (*base, bucket)) if plain else None


class S3Wire:
    """Objects of one bucket; the tag of an object is its ETag. Safe under threads.

    Parameters
    ----------
    bucket
        The bucket's name; it must exist.
    endpoint, credentials, region
        Where it is, and who asks.
    clock, pause
        Unix seconds, and what waits between two tries.
    """

    def __init__(
        self, bucket: str, endpoint: Endpoint, credentials: Credentials, region: str, *,
        clock: Callable[[], float] = time.time, pause: Callable[[float], None] = time.sleep,
    ) -> None:  # fmt: skip
        self._bucket = bucket
        self._endpoint = endpoint
        self._credentials = credentials
        self._region = region
        self._clock = clock
        self._pause = pause
        self._idle: list[http.client.HTTPConnection] = []

    def get(self, key: str) -> Stored:
        """Return the object; raise `KeyNotFoundError` if there is none."""
        answer = self._good(self._asked("GET", "read", key), "read", key)
        return Stored(answer.body, answer.etag)

    def put(self, key: str, data: bytes) -> None:
        """Write the object, replacing any before it."""
        self._good(self._put(key, data, {}), "write", key)

    def put_new(self, key: str, data: bytes) -> bool:
        """Write the object if the key is free; return False, and write nothing, if it is taken."""
        answer = self._put(key, data, {"If-None-Match": "*"})
        # Of two writes at the same moment neither may stand; then the caller must try again.
        if answer.refused and answer.code in s3codes.LOST and (answer.code not in s3codes.RACED or self.exists(key)):
            return False
        self._good(answer, "write", key)
        return True

    def replace(self, key: str, data: bytes, etag: str) -> None:
        """Replace the very version `etag` names; raise `ConflictError` if it is no longer the current one."""
        try:
            self._good(self._put(key, data, {"If-Match": etag}), "write", key)
        except KeyNotFoundError as error:
            raise ConflictError(f"{key} was removed by another writer; read it again and retry") from error

    def exists(self, key: str) -> bool:
        """Return whether something is stored under the key."""
        try:
            self._good(self._asked("HEAD", "look up", key), "look up", key)
        except KeyNotFoundError:
            return False
        return True

    def keys(self, prefix: str) -> Iterator[str]:
        """Yield the keys that begin with `prefix`, in ascending order."""
        asked = {"list-type": "2", "prefix": prefix}
        while True:
            page = self._good(self._asked("GET", "list", "", asked=asked), "list", prefix).page()
            if page is None:
                raise s3codes.strange("list", prefix)
            found, more = page
            yield from found
            if not more:
                return
            asked = {**asked, "continuation-token": more}

    def close(self) -> None:
        """Close the kept connections; the next request opens new ones."""
        while self._idle:
            self._idle.pop().close()

    def _put(self, key: str, data: bytes, given: Mapping[str, str]) -> Answer:
        return self._asked("PUT", "write", key, body=data, given={"Content-Type": s3codes.kind(key), **given})

    def _good(self, answer: Answer, what: str, key: str) -> Answer:
        if answer.refused:
            raise s3codes.translate(answer.code, answer.told, what=what, key=key, bucket=self._bucket)
        if what in ("read", "write") and not answer.etag:  # a proxy's page, say: nothing was read or written
            raise s3codes.strange(what, key)
        return answer

    def _asked(
        self, method: str, what: str, key: str, *, asked: Mapping[str, str] | None = None, body: bytes = b"",
        given: Mapping[str, str] | None = None,
    ) -> Answer:  # fmt: skip
        """Return S3's answer, asking again where the way or S3 itself fails; a refusal is an answer."""
        where = sigv4.path(*self._endpoint.prefix, *([key] if key else []))
        for turn in range(TRIES):
            if turn:
                self._pause(PAUSE_SECONDS * 2 ** (turn - 1))
            try:
                answer = self._once(method, where, sigv4.query(asked or {}), given or {}, body)
            except (OSError, http.client.HTTPException) as error:
                self.close()
                if turn == TRIES - 1:
                    told = f"{type(error).__name__}: {error}"
                    raise s3codes.unreachable(told, what=what, key=key, bucket=self._bucket) from error
                continue
            if answer.status not in _RETRIED:
                break
        return answer

    def _once(self, method: str, where: str, asked: str, given: Mapping[str, str], body: bytes) -> Answer:
        named = {"Host": self._endpoint.host, **given}
        signed = sigv4.headers(
            method, where, asked, named, body, credentials=self._credentials, region=self._region, now=self._clock()
        )
        request = (method, f"{where}?{asked}" if asked else where, body or None, signed)
        if self._idle:
            try:
                return self._exchanged(self._idle.pop(), request)
            except (ConnectionError, IndexError):
                pass  # closed by the server meanwhile, or taken by another thread: a new one will do
        return self._exchanged(self._opened(), request)

    def _exchanged(
        self, connection: http.client.HTTPConnection, request: tuple[str, str, bytes | None, Mapping[str, str]]
    ) -> Answer:
        done = False
        try:
            method, url, body, signed = request
            connection.request(method, url, body=body, headers=dict(signed))
            answer = connection.getresponse()
            found = Answer(answer.status, answer.headers.get("ETag", ""), answer.read())
            done = not answer.will_close
        finally:
            if done and len(self._idle) < IDLE:
                self._idle.append(connection)
            else:
                connection.close()
        return found

    def _opened(self) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self._endpoint.secure else http.client.HTTPConnection
        connection = kind(self._endpoint.host, timeout=CONNECT_SECONDS)
        connection.connect()
        connection.sock.settimeout(READ_SECONDS)
        return connection
