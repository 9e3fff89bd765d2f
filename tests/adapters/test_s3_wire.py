"""S3 over the standard library's HTTP: where it goes, when it steps aside, what it takes for an answer, and what not."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from cryptovol.adapters import s3wire
from cryptovol.adapters.s3wire import Endpoint, S3Wire
from cryptovol.adapters.sigv4 import Credentials
from cryptovol.cloud.environs import cloud
from cryptovol.errors import ConflictError, KeyNotFoundError, StoreUnavailableError

GOOD = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s", "AWS_REGION": "eu-central-1"}


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        ("", Endpoint(True, "data.s3.eu-central-1.amazonaws.com", ())),
        ("http://127.0.0.1:4566", Endpoint(False, "127.0.0.1:4566", ("data",))),
        ("https://store.example/base/", Endpoint(True, "store.example", ("base", "data"))),
        ("ftp://store.example", None), ("http://", None), ("http://user@store.example", None),
    ],
)  # fmt: skip
def test_the_endpoint_is_aws_by_host_or_the_named_one_by_path(url: str, endpoint: Endpoint | None) -> None:
    """A bucket is a host name on AWS and a path anywhere else; an address of another sort is left to boto3."""
    assert s3wire.endpoint_of("data", "eu-central-1", url) == endpoint


def test_a_bucket_with_a_dot_is_left_to_boto3() -> None:
    """AWS's certificate covers one label before its own name."""
    assert s3wire.endpoint_of("my.data", "eu-central-1", "") is None


def test_plain_keys_are_enough() -> None:
    """Keys and a region, as Lambda and the local clouds set them, make a store, with a session's token or without."""
    assert s3wire.from_environ("data", GOOD) is not None
    assert s3wire.from_environ("data", {**GOOD, "AWS_SESSION_TOKEN": "t", "AWS_PROFILE": ""}) is not None


@pytest.mark.parametrize(
    "more",
    [
        {"AWS_ACCESS_KEY_ID": ""}, {"AWS_SECRET_ACCESS_KEY": ""}, {"AWS_REGION": ""}, {"AWS_REGION": "cn-north-1"},
        {"AWS_REGION": "us-isob-east-1"}, {"AWS_REGION": "x.example/"}, {"AWS_PROFILE": "p"}, {"HTTPS_PROXY": "http://p"},
        {"AWS_CA_BUNDLE": "/ca"}, {"AWS_USE_FIPS_ENDPOINT": "true"}, {"AWS_ENDPOINT_URL_S3": "nonsense"},
    ],
)  # fmt: skip
def test_whatever_it_does_not_know_is_left_to_boto3(more: dict[str, str]) -> None:
    """Without plain keys, in another partition, behind a proxy, with a profile: boto3 finds the way."""
    assert s3wire.from_environ("data", {**GOOD, **more}) is None


class Script:
    """A server on loopback that keeps connections and gives prepared answers, the last one for ever."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, dict[str, str], bytes]] = []
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        self.connections: set[int] = set()
        self.waits: list[float] = []
        self.wire: S3Wire

    def add(self, status: int, body: bytes = b"", **headers: str) -> None:
        """Prepare an answer."""
        self.answers.append((status, headers, body))

    def refuse(self, status: int, code: str) -> None:
        """Prepare a refusal as S3 words it."""
        self.add(status, f"<Error><Code>{code}</Code><Message>why {code}</Message></Error>".encode())


@pytest.fixture
def script() -> Iterator[Script]:
    """Return a running scripted server with a store on it, which waits without waiting."""
    found = Script()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            found.connections.add(self.client_address[1])
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            found.asked.append((self.command, self.path, dict(self.headers), body))
            status, headers, data = found.answers.pop(0) if len(found.answers) > 1 else found.answers[0]
            self.send_response(status)
            for name, value in {"Content-Length": str(len(data)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(b"" if self.command == "HEAD" else data)
            self.close_connection = headers.get("Connection") == "cut" or headers.get("Content-Length") is not None

        do_GET = do_PUT = do_HEAD = answer

        def log_message(self, format: str, *args: Any) -> None:
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    endpoint = Endpoint(False, f"127.0.0.1:{server.server_address[1]}", ("data",))
    found.wire = S3Wire("data", endpoint, Credentials("a", "s"), "us-east-1", pause=found.waits.append)
    yield found
    found.wire.close()
    server.shutdown()
    server.server_close()
    thread.join(10)


def test_requests_share_a_connection(script: Script) -> None:
    """One after the other they need one connection, and each names the object by its path."""
    script.add(200, b"1", ETag='"t"')
    for _ in range(3):
        assert script.wire.get("a/b c").data == b"1"
    assert len(script.connections) == 1 and not script.waits
    assert {path for _, path, _, _ in script.asked} == {"/data/a/b%20c"}


def test_a_connection_closed_between_requests_is_replaced_at_once(script: Script) -> None:
    """A server may close an idle connection: the next request opens another and waits for nothing."""
    script.add(200, b"1", ETag='"t"', Connection="cut")
    assert [script.wire.get("k").etag for _ in range(3)] == ['"t"'] * 3
    assert len(script.connections) == 3 and not script.waits


def test_a_write_says_what_it_writes(script: Script) -> None:
    """A conditional write carries its condition, the kind of object, and its bytes; all of it is signed."""
    script.add(200, ETag='"t"')
    assert script.wire.put_new("reports/x.json", b"{}") is True
    script.wire.replace("k", b"2", '"old"')
    (_, _, first, body), (_, _, second, _) = script.asked
    assert body == b"{}" and first["If-None-Match"] == "*" and first["Content-Type"] == "application/json"
    assert second["If-Match"] == '"old"' and "if-match" in second["Authorization"]


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_hiccup_is_asked_again_after_a_pause(script: Script, status: int) -> None:
    """A server that is busy is asked again, each time after a longer pause."""
    script.refuse(status, "SlowDown")
    script.refuse(status, "SlowDown")
    script.add(200, b"1", ETag='"t"')
    assert script.wire.get("k").data == b"1" and script.waits == [0.2, 0.4]


def test_half_an_answer_is_none(script: Script) -> None:
    """An object that breaks off is read again, never taken for the whole."""
    script.add(200, b"half", ETag='"t"', **{"Content-Length": "9"})
    script.add(200, b"whole", ETag='"t"')
    assert script.wire.get("k").data == b"whole" and script.waits == [0.2]


@pytest.mark.parametrize(
    ("status", "code", "says"),
    [
        (503, "SlowDown", "S3 answers 503 SlowDown, why SlowDown"), (403, "AccessDenied", "credentials"),
        (404, "NoSuchBucket", "does not exist. Cure"), (507, "XMinioStorageFull", "no space left"),
        (301, "PermanentRedirect", "S3 answers 301"),
    ],
)  # fmt: skip
def test_a_refusal_is_a_typed_error_with_a_cure(script: Script, status: int, code: str, says: str) -> None:
    """Whatever S3 refuses, the caller sees `StoreUnavailableError` and what to do."""
    script.refuse(status, code)
    for call in (
        lambda: script.wire.get("k"),
        lambda: script.wire.put_new("k", b""),
        lambda: list(script.wire.keys("")),
    ):
        with pytest.raises(StoreUnavailableError, match=says):
            call()


def test_what_is_not_s3_is_not_believed(script: Script) -> None:
    """A good answer without a tag comes from somebody else, a captive portal for instance."""
    script.add(200, b"<html>hello</html>")
    for call in (lambda: script.wire.get("k"), lambda: script.wire.put("k", b""), lambda: list(script.wire.keys(""))):
        with pytest.raises(StoreUnavailableError, match="not S3's"):
            call()


@pytest.mark.parametrize(("there", "code"), [(200, "PreconditionFailed"), (200, "ConditionalRequestConflict")])
def test_a_key_that_is_taken_is_told(script: Script, there: int, code: str) -> None:
    """Both refusals of a conditional write mean that another was first, where the object is there."""
    script.refuse(412, code)
    script.add(there)
    assert script.wire.put_new("k", b"") is False


def test_no_key_is_taken_because_two_writes_met(script: Script) -> None:
    """A 409 after which nothing is there is a conflict to be tried again, not somebody else's object."""
    script.refuse(409, "ConditionalRequestConflict")
    script.add(404)
    with pytest.raises(ConflictError):
        script.wire.put_new("k", b"")
    assert not script.wire.exists("k")
    with pytest.raises(KeyNotFoundError):
        script.wire.get("k")


def test_nobody_there_says_so() -> None:
    """A dead endpoint is asked three times and then named with the cure."""
    waits: list[float] = []
    dead = S3Wire(
        "data", Endpoint(False, "127.0.0.1:1", ("data",)), Credentials("a", "s"), "us-east-1", pause=waits.append
    )
    with pytest.raises(
        StoreUnavailableError, match="cannot read k in bucket data: ConnectionRefusedError.*cryptovol status"
    ):
        dead.get("k")
    assert waits == [0.2, 0.4]


PROGRAM = """
import sys
from cryptovol.wiring import open_ports
kind = type(open_ports(lean=%s).store).__name__
print(kind, sorted({"boto3", "botocore"} & set(sys.modules)))
"""


@pytest.mark.parametrize(
    ("lean", "more", "expected"),
    [
        (True, {}, "S3Wire []"), (False, {}, "S3Store ['boto3', 'botocore']"),
        (True, {"AWS_USE_FIPS_ENDPOINT": "true"}, "S3Store ['boto3', 'botocore']"),
    ],
)  # fmt: skip
def test_only_a_lean_start_does_without_boto3(lean: bool, more: dict[str, str], expected: str) -> None:
    """A process that asks for it opens the store without loading boto3, where plain keys are all there is to know."""
    environ = {**cloud("http://127.0.0.1:1"), **more}
    command = [sys.executable, "-c", PROGRAM % lean]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == expected
