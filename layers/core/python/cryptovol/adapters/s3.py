"""The store on S3, or on anything that speaks it: MiniStack, LocalStack, MinIO, AWS.

Plain calls only: get, put with If-None-Match or If-Match, list, head. The endpoint comes from the environment that
boto3 itself reads (`AWS_ENDPOINT_URL`, `AWS_ENDPOINT_URL_S3`); nothing here asks which cloud is behind it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from cryptovol.adapters import s3codes
from cryptovol.errors import ConflictError, KeyNotFoundError, StoreUnavailableError
from cryptovol.ports import Stored

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client


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
            data = answer["Body"].read()
        return Stored(data, _tag(answer, "read", key))

    def put(self, key: str, data: bytes) -> None:
        """Write the object, replacing any before it."""
        with self._typed("write", key):
            answer = self._client.put_object(Bucket=self._bucket, Key=key, Body=data, ContentType=s3codes.kind(key))
        _tag(answer, "write", key)

    def put_new(self, key: str, data: bytes) -> bool:
        """Write the object if the key is free; return False, and write nothing, if it is taken."""
        try:
            with self._typed("write", key):
                answer = self._client.put_object(
                    Bucket=self._bucket, Key=key, Body=data, ContentType=s3codes.kind(key), IfNoneMatch="*"
                )
        except ConflictError as error:
            # Of two writes at the same moment neither may stand; then the caller must try again.
            if _code(error.__cause__) in s3codes.RACED and not self.exists(key):
                raise
            return False
        _tag(answer, "write", key)
        return True

    def replace(self, key: str, data: bytes, etag: str) -> None:
        """Replace the very version `etag` names; raise `ConflictError` if it is no longer the current one."""
        try:
            with self._typed("write", key):
                answer = self._client.put_object(
                    Bucket=self._bucket, Key=key, Body=data, ContentType=s3codes.kind(key), IfMatch=etag
                )
        except KeyNotFoundError as error:
            raise ConflictError(f"{key} was removed by another writer; read it again and retry") from error
        _tag(answer, "write", key)

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
            raise s3codes.translate(_code(error), str(error), what=what, key=key, bucket=self._bucket) from error
        except BotoCoreError as error:
            raise s3codes.unreachable(str(error), what=what, key=key, bucket=self._bucket) from error


def _tag(answer: Mapping[str, Any], what: str, key: str) -> str:
    """Return the tag of what was read or written; a proxy's page, say, has none: nothing was read or written then."""
    if "ETag" not in answer:
        raise StoreUnavailableError(f"cannot {what} {key}: the answer is not S3's. Cure: check AWS_ENDPOINT_URL")
    return str(answer["ETag"])


def _code(error: BaseException | None) -> str:
    """Return S3's own name of an error."""
    return str(error.response.get("Error", {}).get("Code", "")) if isinstance(error, ClientError) else ""
