"""What S3 is told of an object: its kind, by the key's suffix."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from cryptovol.adapters.s3 import S3Store

BUCKET = "cryptovol-test"


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Return an S3 client on moto, with an empty bucket."""
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    with mock_aws():
        made = boto3.client("s3", region_name="us-east-1", aws_access_key_id="t", aws_secret_access_key="t")
        made.create_bucket(Bucket=BUCKET)
        yield made


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
def test_s3_store_says_what_an_object_is(key: str, kind: str, client: Any) -> None:
    """However it is written, an object carries its kind, so that a browser shows a report instead of saving it."""
    s3 = S3Store(BUCKET, client)

    def told() -> str:
        return client.head_object(Bucket=BUCKET, Key=key)["ContentType"]

    assert s3.put_new(key, b"1") and told() == kind
    s3.put(key, b"2")
    assert told() == kind
    s3.replace(key, b"3", s3.get(key).etag)
    assert told() == kind and s3.get(key).data == b"3"
