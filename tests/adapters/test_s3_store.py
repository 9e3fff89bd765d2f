"""What the S3 store alone promises: typed errors, conditional writes as S3 refuses them, and kinds of objects."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from cryptovol.adapters.s3 import S3Store
from cryptovol.errors import ConflictError, StoreUnavailableError

from tests.adapters.conftest import BUCKET


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("reports/gate/x.html", "text/html; charset=utf-8"),
        ("reports/gate/x.json", "application/json"),
        ("bars/quarantine/x.csv", "text/csv; charset=utf-8"),
        ("bars/raw/2024-01.0f.csv.gz", "application/octet-stream"),
        ("a.b/c", "application/octet-stream"),
    ],
)
def test_s3_store_says_what_an_object_is(key: str, kind: str, s3: S3Store, s3_client: Any) -> None:
    """However it is written, an object carries its kind, so that a browser shows a report instead of saving it."""

    def told() -> str:
        return s3_client.head_object(Bucket=BUCKET, Key=key)["ContentType"]

    assert s3.put_new(key, b"1") and told() == kind
    s3.put(key, b"2")
    assert told() == kind
    s3.replace(key, b"3", s3.get(key).etag)
    assert told() == kind and s3.get(key).data == b"3"


class BrokenClient:
    """A client whose every call fails in one way."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            raise self._error

        return call


def _refusal(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": code}}, "Operation")


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (EndpointConnectionError(endpoint_url="http://127.0.0.1:1"), "cryptovol status"),
        (_refusal("NoSuchBucket"), "does not exist"),
        (_refusal("XMinioStorageFull"), "no space left"),
        (_refusal("AccessDenied"), "credentials"),
        (_refusal("InternalError"), "InternalError"),
    ],
)
def test_s3_store_turns_failures_into_typed_errors_with_a_cure(error: Exception, says: str) -> None:
    """Whatever S3 or the way to it does, the caller sees `StoreUnavailableError` and what to do."""
    store = S3Store(BUCKET, BrokenClient(error))  # type: ignore[arg-type]
    calls = (
        lambda: store.get("k"), lambda: store.put("k", b""), lambda: store.put_new("k", b""),
        lambda: store.replace("k", b"", "t"), lambda: store.exists("k"), lambda: list(store.keys("")),
    )  # fmt: skip
    for call in calls:
        with pytest.raises(StoreUnavailableError, match=says):
            call()


@pytest.mark.parametrize("code", ["PreconditionFailed", "ConditionalRequestConflict"])
def test_s3_store_reads_both_refusals_of_a_conditional_write(code: str) -> None:
    """412 and 409 alike mean that another writer was first."""
    store = S3Store(BUCKET, BrokenClient(_refusal(code)))  # type: ignore[arg-type]
    with pytest.raises(ConflictError):
        store.replace("k", b"", "t")
    store = S3Store(BUCKET, RacedClient(_refusal(code), taken=True))  # type: ignore[arg-type]
    assert store.put_new("k", b"") is False


def test_s3_store_takes_no_key_for_written_because_two_writes_met() -> None:
    """A 409 after which nothing is there is a conflict to be tried again, not somebody else's object."""
    client = RacedClient(_refusal("ConditionalRequestConflict"), taken=False)
    with pytest.raises(ConflictError):
        S3Store(BUCKET, client).put_new("k", b"")  # type: ignore[arg-type]


class RacedClient:
    """A client whose writes are refused, and whose look-up finds an object or does not."""

    def __init__(self, error: ClientError, *, taken: bool) -> None:
        self._error = error
        self._taken = taken

    def put_object(self, **kwargs: Any) -> None:
        raise self._error

    def head_object(self, **kwargs: Any) -> None:
        if not self._taken:
            raise _refusal("404")
