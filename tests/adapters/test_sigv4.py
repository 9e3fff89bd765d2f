"""Signatures: AWS's own examples, and botocore's for anything else."""

import datetime
import urllib.parse

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials
from hypothesis import given
from hypothesis import strategies as st

from cryptovol.adapters import sigv4
from cryptovol.adapters.sigv4 import Credentials

# The worked examples of the S3 User Guide's page on the Authorization header.
EXAMPLE = Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
MOMENT = 1369353600.0  # 2013-05-24T00:00:00Z
HOST = "examplebucket.s3.amazonaws.com"


@pytest.mark.parametrize(
    ("method", "key", "asked", "given_headers", "body", "signature"),
    [
        ("GET", "test.txt", {}, {"Range": "bytes=0-9"}, b"", "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"),
        (
            "PUT", "test$file.text", {},
            {"Date": "Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class": "REDUCED_REDUNDANCY"},
            b"Welcome to Amazon S3.", "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        ),
        ("GET", "", {"lifecycle": ""}, {}, b"", "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
        (
            "GET", "", {"prefix": "J", "max-keys": "2"}, {}, b"",
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        ),
    ],
)  # fmt: skip
def test_signatures_are_those_of_the_user_guide(
    method: str, key: str, asked: dict[str, str], given_headers: dict[str, str], body: bytes, signature: str
) -> None:
    """AWS's own four worked examples come out to the last digit."""
    found = sigv4.headers(
        method, sigv4.path(key), sigv4.query(asked), {"Host": HOST, **given_headers}, body, credentials=EXAMPLE,
        region="us-east-1", now=MOMENT,
    )  # fmt: skip
    assert found["Authorization"].endswith(f"Signature={signature}")


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20)


@given(
    key=TEXT,
    values=st.dictionaries(TEXT, TEXT, max_size=3),
    body=st.binary(max_size=50),
    token=st.sampled_from(["", "t0ken/+="]),
)
def test_signatures_are_botocores(key: str, values: dict[str, str], body: bytes, token: str) -> None:
    """Whatever the key, the query and the body, botocore signs the same request the same way."""
    where, asked = sigv4.path("bucket", key), sigv4.query(values)
    ours = sigv4.headers(
        "PUT", where, asked, {"Host": HOST, "Content-Type": "x/y"}, body, region="us-east-1",
        credentials=Credentials("id", "secret", token), now=MOMENT,
    )  # fmt: skip
    theirs = _boto_signed(f"https://{HOST}{where}" + (f"?{asked}" if asked else ""), body, token, ours["x-amz-date"])
    assert ours["Authorization"].replace(",", ", ") == theirs


def _boto_signed(url: str, body: bytes, token: str, stamp: str) -> str:
    """Return botocore's header for the same request at the same moment."""
    request = AWSRequest("PUT", url, headers={"Content-Type": "x/y", "Host": HOST}, data=body)
    request.context["payload_signing_enabled"] = True
    signer = S3SigV4Auth(BotoCredentials("id", "secret", token or None), "s3", "us-east-1")
    request.context["timestamp"] = stamp
    signer._modify_request_before_signing(request)
    canonical = signer.canonical_request(request)
    signer._inject_signature_to_request(request, signer.signature(signer.string_to_sign(request, canonical), request))
    return str(request.headers["Authorization"])


def test_secrets_are_not_shown() -> None:
    """Credentials in a trace or a log show the key's id alone."""
    assert "secret" not in repr(Credentials("id", "secret", "secret-token"))


@given(name=st.text("abz 019+&=%~é/", min_size=1, max_size=12).map(lambda t: f"k{urllib.parse.quote(t, safe='/')}x"))
def test_a_path_is_escaped_once(name: str) -> None:
    """What is already escaped is escaped again: the key is what was given, letter by letter."""
    assert urllib.parse.unquote(sigv4.path("bucket", name)) == f"/bucket/{name}"


def test_time_is_utc() -> None:
    """The stamp is of the given second in UTC, whatever the machine's zone."""
    found = sigv4.headers("GET", "/", "", {"Host": "h"}, b"", credentials=EXAMPLE, region="us-east-1", now=MOMENT)
    stamp = datetime.datetime.strptime(found["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.UTC)
    assert stamp.timestamp() == MOMENT
