"""The store on S3 through obstore: what the API uses where the environment holds plain keys.

Importing boto3 and making its client takes longer than all the rest of the API's cold start together. obstore, Apache's
Rust `object_store` for Python, is one compiled module that is there at once. `from_environ` says where it is enough;
everywhere else `adapters.s3.S3Store` stays. Both keep one contract, and the same tests hold them to it.

obstore works in threads of its own, which a fork does not copy: a process that has used it must not fork and go on.
Gunicorn's master never opens a store, its workers do, after the fork.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import BaseError

from cryptovol.adapters import s3codes
from cryptovol.errors import ConfigError, ConflictError, KeyNotFoundError
from cryptovol.ports import Stored

if TYPE_CHECKING:
    from obstore.store import BackoffConfig, ClientConfig, RetryConfig, S3Config

CONNECT, READ = timedelta(seconds=5), timedelta(seconds=30)
WHOLE = timedelta(seconds=60)  # for one try with its body; after it no other try begins
TRIES = 3
PAUSE, LONGEST_PAUSE = timedelta(seconds=0.2), timedelta(seconds=2)  # before the second try; it grows from try to try
PAGE = 1000  # keys of one listing, as many as S3 gives
# Settings of which obstore knows nothing: they are boto3's business.
_BEYOND = (
    "AWS_PROFILE", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
)  # fmt: skip
_BEYOND_TLS = ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE")
# Of the partition whose names end in amazonaws.com.
_REGION = re.compile(r"(?!cn-|us-iso|eu-isoe|eusc-)[a-z]{2}(-[a-z]+)+-\d")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")  # no access point's ARN
_URL = re.compile(r"https?://([\w.-]+|\[[0-9a-fA-F:.]+\])(:\d+)?(/[\w./~-]*)?")
_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>([^<]{1,100})</Code>")
_MESSAGE = re.compile(r"<Message>([^<]{1,300})</Message>")
_CAUSE = re.compile(r'(?:message|error): "([^"]+)"|InvalidCertificate\(\s*(\w+)|(TimedOut)')
_STRANGE = ("ETag Header missing", "invalid list response")


@dataclass(frozen=True)
class Endpoint:
    """Where a bucket is: an address, and whether the bucket's name is in its host already or comes as its path."""

    url: str
    by_host: bool = False


def from_environ(bucket: str, environ: Mapping[str, str]) -> S3Lean | None:
    """Return the store, or None where boto3 must find its way: no plain keys, or settings only boto3 knows."""
    access, secret = environ.get("AWS_ACCESS_KEY_ID", ""), environ.get("AWS_SECRET_ACCESS_KEY", "")
    region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or ""
    url = environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL") or ""
    endpoint = _endpoint(bucket, region, url)
    if not (access and secret and region and endpoint and _BUCKET.fullmatch(bucket)):
        return None
    if any(environ.get(name) for name in _BEYOND + (_BEYOND_TLS if endpoint.url.startswith("https:") else ())):
        return None
    try:
        return S3Lean(bucket, endpoint, region=region, keys=(access, secret, environ.get("AWS_SESSION_TOKEN", "")))
    except BaseError:
        return None  # no certificates on this system: boto3 brings its own


def _endpoint(bucket: str, region: str, url: str) -> Endpoint | None:
    if url:
        return Endpoint(url.rstrip("/")) if _URL.fullmatch(url) else None
    if not _REGION.fullmatch(region):
        return None
    by_host = "." not in bucket  # AWS's certificate covers one label before its own name
    return Endpoint(f"https://{f'{bucket}.' if by_host else ''}s3.{region}.amazonaws.com", by_host)


class S3Lean:
    """Objects of one bucket; the tag of an object is its ETag. Safe under threads, not across a fork.

    Parameters
    ----------
    bucket
        The bucket's name; it must exist.
    endpoint, region
        Where it is.
    keys
        Access key, secret key, and the session's token or an empty text.
    read
        What a silent connection is given.
    """

    def __init__(
        self, bucket: str, endpoint: Endpoint, *, region: str, keys: tuple[str, str, str], read: timedelta = READ
    ) -> None:
        self._bucket = bucket
        # Everything is said here, because obstore would take what is not from variables of its own in the environment.
        config: S3Config = {
            "region": region, "aws_endpoint_url_s3": endpoint.url, "virtual_hosted_style_request": endpoint.by_host,
            "access_key_id": keys[0], "secret_access_key": keys[1], "skip_signature": False,
        }  # fmt: skip
        if keys[2]:
            config["session_token"] = keys[2]
        client: ClientConfig = {"connect_timeout": CONNECT, "read_timeout": read, "timeout": WHOLE}
        client["allow_http"] = endpoint.url.startswith("http:")
        backoff: BackoffConfig = {"init_backoff": PAUSE, "max_backoff": LONGEST_PAUSE, "base": 2}
        retry: RetryConfig = {"max_retries": TRIES - 1, "retry_timeout": WHOLE, "backoff": backoff}
        self._objects = obstore.store.S3Store(bucket, config=config, client_options=client, retry_config=retry)

    def get(self, key: str) -> Stored:
        """Return the object; raise `KeyNotFoundError` if there is none."""
        with self._typed("read", key):
            answer = obstore.get(self._objects, _whole(key))
            tag = _tag(answer.meta, "read", key)
            return Stored(answer.bytes().to_bytes(), tag)

    def put(self, key: str, data: bytes) -> None:
        """Write the object, replacing any before it."""
        self._put(key, data, "overwrite")

    def put_new(self, key: str, data: bytes) -> bool:
        """Write the object if the key is free; return False, and write nothing, if it is taken."""
        try:
            self._put(key, data, "create")
        except ConflictError as error:
            # Of two writes at the same moment neither may stand; then the caller must try again.
            if _told(str(error.__cause__))[0] in s3codes.RACED and not self.exists(key):
                raise
            return False
        return True

    def replace(self, key: str, data: bytes, etag: str) -> None:
        """Replace the very version `etag` names; raise `ConflictError` if it is no longer the current one."""
        try:
            self._put(key, data, {"e_tag": etag})
        except KeyNotFoundError as error:
            raise ConflictError(f"{key} was removed by another writer; read it again and retry") from error

    def exists(self, key: str) -> bool:
        """Return whether something is stored under the key."""
        try:
            with self._typed("look up", key):
                _tag(obstore.head(self._objects, _whole(key)), "look up", key)
        except KeyNotFoundError:
            return False
        return True

    def keys(self, prefix: str) -> Iterator[str]:
        """Yield the keys that begin with `prefix`, in ascending order."""
        folder, _, rest = prefix.rpartition("/")
        with self._typed("list", prefix):
            # obstore lists whole folders: what is before the prefix is skipped by S3, what is after it is not asked for.
            pages = obstore.list(
                self._objects, folder or None, offset=_before(prefix) if rest else None, chunk_size=PAGE
            )
            for entry in (entry for page in pages for entry in page):
                if entry["path"].startswith(prefix):
                    yield entry["path"]
                elif entry["path"] > prefix:
                    return

    def _put(self, key: str, data: bytes, mode: obstore.PutMode) -> None:
        kind = {"Content-Type": s3codes.kind(key)}
        with self._typed("write", key):
            obstore.put(self._objects, _whole(key), data, mode=mode, attributes=kind, use_multipart=False)

    @contextmanager
    def _typed(self, what: str, key: str) -> Iterator[None]:
        try:
            yield
        except (BaseError, FileNotFoundError) as error:
            code, told = _told(str(error))
            if code:
                raise s3codes.translate(code, told, what=what, key=key, bucket=self._bucket) from error
            if any(words in told for words in _STRANGE):
                raise s3codes.strange(what, key) from error
            raise s3codes.unreachable(told, what=what, key=key, bucket=self._bucket) from error


def _tag(meta: obstore.ObjectMeta, what: str, key: str) -> str:
    """Return the tag; a proxy's page, say, has none: nothing was read then."""
    if not meta["e_tag"]:
        raise s3codes.strange(what, key)
    return meta["e_tag"]


def _told(text: str) -> tuple[str, str]:
    """Return S3's own name of a refusal, its status where it names none, or an empty text; and what the trouble is.

    obstore gives neither as a value: both are read from its words.
    """
    first, _, debug = text.partition("\n\nDebug source:")
    status, named, why = (pattern.search(first) for pattern in (_STATUS, _CODE, _MESSAGE))
    if status is None:
        causes = ["".join(found) for found in _CAUSE.findall(debug)]
        return "", ": ".join([first.rpartition(" - ")[2], *causes[-1:]])
    code = named[1] if named else status[1]
    return code, f"S3 answers {status[1]} {code}" + (f", {why[1]}" if why else "")


def _whole(key: str) -> str:
    """Return the key; obstore would take slashes at its ends away, and refuses what is no path."""
    if any(part in ("", ".", "..") for part in key.split("/")):
        raise ConfigError(f"{key!r} is not a storage key; write parts joined by single /")
    return key


def _before(prefix: str) -> str:
    """Return a text a little before everything that begins with the prefix; it may be an object's key."""
    last = chr(ord(prefix[-1]) - 1)
    return f"{prefix[:-1]}{'.' if last == '/' else last}~"
