"""S3 through obstore: where it goes, when it steps aside, what it takes for an answer, and what not."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from cryptovol.adapters import s3lean
from cryptovol.adapters.s3lean import S3Lean
from cryptovol.errors import ConflictError, KeyNotFoundError, StoreUnavailableError

from tests.adapters.buckets import Script, listing, scripted

GOOD = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s", "AWS_REGION": "eu-central-1"}


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[Script]:
    """Return a running scripted server; nothing waits long between two tries."""
    monkeypatch.setattr(s3lean, "PAUSE", timedelta(milliseconds=1))
    with scripted() as found:
        yield found


@pytest.fixture
def store(script: Script) -> S3Lean:
    """Return a store on the scripted server, opened as the environment says."""
    found = s3lean.from_environ("data", {**GOOD, "AWS_ENDPOINT_URL": script.url})
    assert found is not None
    return found


def test_requests_share_a_connection_and_name_the_object_by_its_path(script: Script, store: S3Lean) -> None:
    """One after the other they need one connection; each is signed."""
    script.add(200, b"1", ETag='"t"')
    for _ in range(3):
        assert store.get("a/b c").data == b"1"
    assert len(script.connections) == 1
    assert {asked.path for asked in script.asked} == {"/data/a/b%20c"}
    assert all("/eu-central-1/s3/aws4_request" in asked.headers["authorization"] for asked in script.asked)


def test_connection_closed_between_requests_is_replaced_at_once(script: Script, store: S3Lean) -> None:
    """A server may close an idle connection: the next request, a conditional write too, opens another."""
    script.add(200, b"1", ETag='"t"', Connection="close")
    assert store.get("k").etag == '"t"' and store.put_new("k", b"") is True and store.get("k").data == b"1"
    assert len(script.connections) == len(script.asked) == 3


def test_write_says_what_it_writes(script: Script, store: S3Lean) -> None:
    """A conditional write carries its condition, the kind of object, and its bytes, in one request however large."""
    script.add(200, ETag='"t"')
    large = b"x" * 6_000_000
    assert store.put_new("reports/x.json", b"{}") is True
    store.replace("k", b"2", '"old"')
    store.put("k", large)
    first, second, third = script.asked
    assert first.body == b"{}" and first.headers["if-none-match"] == "*"
    assert first.headers["content-type"] == "application/json" and "if-none-match" in first.headers["authorization"]
    assert second.headers["if-match"] == '"old"' and "if-match" in second.headers["authorization"]
    assert third.body == large and not {"if-match", "if-none-match"} & set(third.headers)


def test_session_token_is_sent_and_signed(script: Script) -> None:
    """Temporary keys, as Lambda has them, come with their token."""
    script.add(200, b"1", ETag='"t"')
    found = s3lean.from_environ("data", {**GOOD, "AWS_SESSION_TOKEN": "tok", "AWS_ENDPOINT_URL": script.url})
    assert found is not None and found.get("k").data == b"1"
    assert script.asked[0].headers["x-amz-security-token"] == "tok"
    assert "x-amz-security-token" in script.asked[0].headers["authorization"]


def test_own_variables_of_the_library_change_nothing(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    """obstore reads variables that boto3 does not know; what decides where it goes and who asks is said to it."""
    for name, value in {
        "AWS_SKIP_SIGNATURE": "true",
        "AWS_ENDPOINT": "http://127.0.0.1:1",
        "AWS_BUCKET": "other",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    script.add(200, b"1", ETag='"t"')
    found = s3lean.from_environ("data", {**GOOD, "AWS_ENDPOINT_URL": script.url})
    assert found is not None and found.get("k").data == b"1"
    assert script.asked[0].path == "/data/k" and "authorization" in script.asked[0].headers


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_hiccup_is_asked_again(script: Script, store: S3Lean, status: int) -> None:
    """A server that is busy is asked three times in all."""
    script.refuse(status, "SlowDown")
    script.refuse(status, "SlowDown")
    script.add(200, b"1", ETag='"t"')
    assert store.get("k").data == b"1" and len(script.asked) == 3


def test_broken_read_goes_on_where_it_broke_off(script: Script, store: S3Lean) -> None:
    """The rest of an object that breaks off is asked for, and taken if it is of the same version."""
    script.add(200, b"half", ETag='"t"', **{"Content-Length": "9"})
    script.add(206, b"whole", ETag='"t"', **{"Content-Range": "bytes 4-8/9"})
    assert store.get("k").data == b"halfwhole" and script.asked[1].headers["range"] == "bytes=4-8"


@pytest.mark.parametrize("tag", ['"other"', ""])
def test_halves_of_two_versions_are_never_one_object(script: Script, store: S3Lean, tag: str) -> None:
    """Where the rest is of another version, or says none, nothing was read."""
    script.add(200, b"half", ETag='"t"', **{"Content-Length": "9"})
    script.add(206, b"whole", **{"Content-Range": "bytes 4-8/9"}, **({"ETag": tag} if tag else {}))
    with pytest.raises(StoreUnavailableError):
        store.get("k")


@pytest.mark.parametrize(
    ("status", "code", "says"),
    [
        (503, "SlowDown", "S3 answers 503 SlowDown, why SlowDown"), (403, "AccessDenied", "credentials"),
        (404, "NoSuchBucket", "does not exist. Cure"), (507, "XMinioStorageFull", "no space left"),
        (400, "ExpiredToken", "ExpiredToken.*credentials"), (301, "PermanentRedirect", "region"),
    ],
)  # fmt: skip
def test_refusal_is_a_typed_error_with_a_cure(script: Script, store: S3Lean, status: int, code: str, says: str) -> None:
    """Whatever S3 refuses, the caller sees `StoreUnavailableError` and what to do."""
    script.refuse(status, code)
    for call in (
        lambda: store.get("k"), lambda: store.put("k", b""), lambda: store.put_new("k", b""),
        lambda: store.replace("k", b"", '"t"'), lambda: list(store.keys("")),
    ):  # fmt: skip
        with pytest.raises(StoreUnavailableError, match=says):
            call()


def test_what_is_not_s3_is_not_believed(script: Script, store: S3Lean) -> None:
    """A good answer without a tag comes from somebody else, a captive portal for instance."""
    script.add(200, b"hello")
    for call in (
        lambda: store.get("k"), lambda: store.put("k", b""), lambda: store.put_new("k", b""), lambda: store.exists("k"),
        lambda: store.replace("k", b"", '"t"'), lambda: list(store.keys("")),
    ):  # fmt: skip
        with pytest.raises(StoreUnavailableError, match="not S3's"):
            call()


@pytest.mark.parametrize(("status", "code"), [(412, "PreconditionFailed"), (409, "ConditionalRequestConflict")])
def test_key_that_is_taken_is_told(script: Script, store: S3Lean, status: int, code: str) -> None:
    """Both refusals of a conditional write mean that another was first, where the object is there."""
    script.refuse(status, code)
    script.add(200, ETag='"t"')
    assert store.put_new("k", b"") is False


def test_no_key_is_taken_because_two_writes_met(script: Script, store: S3Lean) -> None:
    """A 409 after which nothing is there is a conflict to be tried again, not somebody else's object."""
    script.refuse(409, "ConditionalRequestConflict")
    script.add(404)
    with pytest.raises(ConflictError):
        store.put_new("k", b"")
    assert not store.exists("k")
    with pytest.raises(KeyNotFoundError):
        store.get("k")


@pytest.mark.parametrize(
    ("status", "code", "says"),
    [
        (412, "PreconditionFailed", "was changed by"), (409, "ConditionalRequestConflict", "was changed by"),
        (404, "NoSuchKey", "was removed by"),
    ],
)  # fmt: skip
def test_replace_of_another_version_is_a_conflict(
    script: Script, store: S3Lean, status: int, code: str, says: str
) -> None:
    """Each way in which S3 says that the version is not there any more is a `ConflictError`."""
    script.refuse(status, code)
    with pytest.raises(ConflictError, match=says):
        store.replace("k", b"", '"t"')


@pytest.mark.parametrize(
    ("prefix", "folder", "after"),
    [("a/b/", "a%2Fb%2F", ""), ("a/2025-12", "a%2F", "a%2F2025-11%7E"), ("a/0", "a%2F", "a%2F.%7E"), ("b", "", "a%7E")],
)
def test_listing_asks_for_little_more_than_the_prefix(
    script: Script, store: S3Lean, prefix: str, folder: str, after: str
) -> None:
    """obstore lists whole folders; what lies before the prefix is left to S3 to skip."""
    found = [f"{prefix}1", f"{prefix}~"]
    script.add(200, listing(*found, "zz/later"))
    assert list(store.keys(prefix)) == found
    query = dict(part.split("=") for part in script.asked[0].path.partition("?")[2].split("&"))
    assert (query.get("prefix", ""), query.get("start-after", "")) == (folder, after)
