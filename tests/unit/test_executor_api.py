"""Our Runtime API, asked as a runtime client asks it, and as one that was killed leaves it."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator

import pytest
from cryptovol_executor.runtime_api import PREFIX, Answered, Invocation, RuntimeApi, Unstarted, Waiting

ASKED = Invocation("one", b'{"a": 1}', "arn:aws:lambda:x", "Root=1", 1_700_000_000_000)


@pytest.fixture
def api() -> Iterator[RuntimeApi]:
    """Return an API that serves."""
    made = RuntimeApi()
    yield made
    made.close()


@pytest.fixture
def client(api: RuntimeApi) -> Iterator[http.client.HTTPConnection]:
    """Return a connection to it."""
    made = http.client.HTTPConnection(api.address, timeout=5)
    yield made
    made.close()


def send(client: http.client.HTTPConnection, method: str, path: str, body: object = None) -> http.client.HTTPResponse:
    """Send a request and return its answer, read."""
    client.request(method, PREFIX + path, body)  # type: ignore[arg-type]
    answer = client.getresponse()
    answer.body = answer.read()  # type: ignore[attr-defined]
    return answer


def test_an_invocation_comes_with_its_headers(api: RuntimeApi, client: http.client.HTTPConnection) -> None:
    """The next invocation has its id, deadline, function and trace in the headers and the payload as its body."""
    api.ask(ASKED)
    answer = send(client, "GET", "invocation/next")
    named = ("Request-Id", "Deadline-Ms", "Function-Arn", "Trace-Id")
    found = {name: next(v for k, v in answer.getheaders() if k.endswith(name)) for name in named}
    assert list(found.values()) == ["one", "1700000000000", "arn:aws:lambda:x", "Root=1"]
    assert answer.body == ASKED.payload and api.events.get() == Waiting()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("path", "event"),
    [
        ("invocation/one/response", Answered("one", b"abcdef", False)),
        ("invocation/one/error", Answered("one", b"abcdef", True)),
        ("init/error", Unstarted(b"abcdef")),
    ],
)
@pytest.mark.parametrize("body", [b"abcdef", (b"abc", b"def")], ids=["whole", "in chunks"])
def test_what_is_posted_becomes_an_event(
    api: RuntimeApi, client: http.client.HTTPConnection, path: str, event: object, body: object
) -> None:
    """Answers, errors and failed starts are taken whole, with a length or in chunks, on one connection."""
    for _ in range(2):
        assert send(client, "POST", path, iter(body) if isinstance(body, tuple) else body).status == 202
        assert api.events.get(timeout=1) == event


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "invocation/last"), ("POST", "invocation/one/shrug"), ("POST", "")]
)
def test_other_paths_are_not_found(api: RuntimeApi, client: http.client.HTTPConnection, method: str, path: str) -> None:
    """What the Runtime API does not have is 404 and no event."""
    assert send(client, method, path, b"{}").status == 404
    assert api.events.empty()


def test_an_answer_leaves_in_one_piece(api: RuntimeApi) -> None:
    """Head and body arrive with one read: apart, the second would wait for an acknowledgement of the first."""
    api.ask(ASKED)
    host, port = api.address.split(":")
    with socket.create_connection((host, int(port)), timeout=5) as raw:
        raw.sendall(f"GET {PREFIX}invocation/next HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert raw.recv(65_536).endswith(b"\r\n\r\n" + ASKED.payload)


def test_closing_sends_away_who_waits() -> None:
    """A client that waits for an invocation is told by the end of its connection; closing again does no harm."""
    api = RuntimeApi()
    seen: list[object] = []

    def wait() -> None:
        client = http.client.HTTPConnection(api.address, timeout=5)
        try:
            seen.append(send(client, "GET", "invocation/next").status)
        except http.client.RemoteDisconnected as error:
            seen.append(type(error))
        client.close()

    waiter = threading.Thread(target=wait)
    waiter.start()
    assert api.events.get(timeout=5) == Waiting()
    api.close()
    waiter.join(5)
    assert seen == [http.client.RemoteDisconnected]
    api.close()
