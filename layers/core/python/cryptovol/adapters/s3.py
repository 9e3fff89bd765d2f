"""The store on S3, or on anything that speaks it: MiniStack, LocalStack, MinIO, AWS.

Plain calls only: get, put with If-None-Match or If-Match, list, head. The endpoint comes from the environment that
boto3 itself reads (`AWS_ENDPOINT_URL`, `AWS_ENDPOINT_URL_S3`); nothing here asks which cloud is behind it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from cryptovol.errors import ConflictError, KeyNotFoundError, StoreUnavailableError
from cryptovol.ports import Stored

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

# What a browser needs to show an object of a presigned link instead of saving it.
_KINDS = {".html": "text/html; charset=utf-8", ".json": "application/json", ".csv": "text/csv; charset=utf-8"}
_ABSENT = {"NoSuchKey", "404", "NotFound"}
_RACED = {"ConditionalRequestConflict", "409"}
_LOST = {"PreconditionFailed", "412", *_RACED}
_FULL = {"XMinioStorageFull", "QuotaExceeded", "InsufficientStorage", "507"}


class S3Store:
    """Objects of one bucket; the tag of an object is its ETag.

    Parameters
    ----------
    bucket
        The bucket's name; it must exist.
    client
        A boto3 S3 client.
    """

    def __init__(self, bucket: str, client: S3Client) -> None:
        self._bucket = bucket
        self._client = client

    def get(self, key: str) -> Stored:
        """Return the object; raise `KeyNotFoundError` if there is none."""
        with self._typed("read", key):
            answer = self._client.get_object(Bucket=self._bucket, Key=key)
            return Stored(answer["Body"].read(), answer["ETag"])

    def put(self, key: str, data: bytes) -> None:
        """Write the object, replacing any before it."""
        with self._typed("write", key):
            self._client.put_object(Bucket=self._bucket, Key=key, Body=data, ContentType=_kind(key))

    def put_new(self, key: str, data: bytes) -> bool:
        """Write the object if the key is free; return False, and write nothing, if it is taken."""
        try:
            with self._typed("write", key):
                self._client.put_object(
                    Bucket=self._bucket, Key=key, Body=data, ContentType=_kind(key), IfNoneMatch="*"
                )
        except ConflictError as error:
            # Of two writes at the same moment neither may stand; then the caller must try again.
            if _code(error.__cause__) in _RACED and not self.exists(key):
                raise
            return False
        return True

    def replace(self, key: str, data: bytes, etag: str) -> None:
        """Replace the very version `etag` names; raise `ConflictError` if it is no longer the current one."""
        try:
            with self._typed("write", key):
                self._client.put_object(Bucket=self._bucket, Key=key, Body=data, ContentType=_kind(key), IfMatch=etag)
        except KeyNotFoundError as error:
            raise ConflictError(f"{key} was removed by another writer; read it again and retry") from error

    def exists(self, key: str) -> bool:
        """Return whether something is stored under the key."""
        try:
            with self._typed("look up", key):
                self._client.head_object(Bucket=self._bucket, Key=key)
        except KeyNotFoundError:
            return False
        return True

    def keys(self, prefix: str) -> Iterator[str]:
        """Yield the keys that begin with `prefix`, in ascending order."""
        with self._typed("list", prefix):
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
            for page in pages:
                yield from (entry["Key"] for entry in page.get("Contents", []))

    @contextmanager
    def _typed(self, what: str, key: str) -> Iterator[None]:
        try:
            yield
        except ClientError as error:
            raise self._translate(error, what, key) from error
        except BotoCoreError as error:
            raise StoreUnavailableError(
                f"cannot {what} {key} in bucket {self._bucket}: {error}. "
                "Cure: see that the cloud is up (`cryptovol status`) and AWS_ENDPOINT_URL names it"
            ) from error

    def _translate(self, error: ClientError, what: str, key: str) -> Exception:
        code = _code(error)
        if code in _ABSENT:
            return KeyNotFoundError(f"nothing is stored under {key} in bucket {self._bucket}")
        if code in _LOST:
            return ConflictError(f"{key} was changed by another writer; read it again and retry")
        if code == "NoSuchBucket":
            cure = f"bucket {self._bucket} does not exist. Cure: `cryptovol up` makes it"
        elif code in _FULL:
            cure = "no space left in the storage. Cure: free some space and run again"
        else:
            cure = f"{error}. Cure: check the credentials and the state of the storage"
        return StoreUnavailableError(f"cannot {what} {key}: {cure}")


def _code(error: BaseException | None) -> str:
    """Return S3's own name of an error."""
    return str(error.response.get("Error", {}).get("Code", "")) if isinstance(error, ClientError) else ""


def _kind(key: str) -> str:
    """Return the content type of what is stored under a key."""
    return _KINDS.get(PurePosixPath(key).suffix, "application/octet-stream")
