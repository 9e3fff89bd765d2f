"""The store on S3, or on anything that speaks it: MiniStack, LocalStack, MinIO, AWS.

Plain calls only: get, put with If-None-Match or If-Match, list, head. The endpoint comes from the environment that
boto3 itself reads (`AWS_ENDPOINT_URL`, `AWS_ENDPOINT_URL_S3`); nothing here asks which cloud is behind it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from cryptovol.errors import ConflictError, KeyNotFoundError, StoreUnavailableError
from cryptovol.ports import Stored

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

_ABSENT = {"NoSuchKey", "404", "NotFound"}
_LOST = {"PreconditionFailed", "412", "ConditionalRequestConflict", "409"}
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
            self._client.put_object(Bucket=self._bucket, Key=key, Body=data)

    def put_new(self, key: str, data: bytes) -> bool:
        """Write the object if the key is free; return False, and write nothing, if it is taken."""
        try:
            with self._typed("write", key):
                self._client.put_object(Bucket=self._bucket, Key=key, Body=data, IfNoneMatch="*")
        except ConflictError:
            return False
        return True

    def replace(self, key: str, data: bytes, etag: str) -> None:
        """Replace the very version `etag` names; raise `ConflictError` if it is no longer the current one."""
        try:
            with self._typed("write", key):
                self._client.put_object(Bucket=self._bucket, Key=key, Body=data, IfMatch=etag)
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
        code = str(error.response.get("Error", {}).get("Code", ""))
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
