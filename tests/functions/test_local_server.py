"""The server of `cryptovol.cloud.api`, in this process: its places, and its end."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from cryptovol.cloud import local
from cryptovol.cloud.gateway import Asked
from cryptovol.cloud.local import Server
from cryptovol.cloud.wire import Answer
from tests.servers import connected, raw, said, status

LAST = b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"


class Fake:
    """A gateway that answers when it is let."""

    def __init__(self) -> None:
        self.let = threading.Event()
        self.let.set()
        self.asked = threading.Semaphore(0)
        self.closed = False

    def answer(self, asked: Asked) -> Answer:
        """Wait, and answer."""
        self.asked.release()
        self.let.wait(10)
        return Answer(200, [], b"served")

    def close(self) -> None:
        """Remember the end."""
        self.closed = True


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Return a server with three places."""
    monkeypatch.setattr(local, "CONNECTIONS", 3)
    made = Server(Fake(), "127.0.0.1", 0)  # type: ignore[arg-type]
    thread = threading.Thread(target=made.serve_forever, args=(0.01,))
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.finish()


def test_one_connection_too_many_is_told_to_come_back(server: Server) -> None:
    """With all places taken a newcomer gets 503 and Retry-After at once; a place left is a place free."""
    taken = [connected(server.url) for _ in range(3)]
    for client in taken:
        client.sendall(LAST[:10])
    answer = raw(server.url, LAST)
    assert status(answer) == 503 and b"overloaded" in answer and b"Retry-After: 1\r\n" in answer
    for client in taken:
        client.sendall(LAST[10:])
        assert status(said(client)) == 200
        client.close()
    assert status(raw(server.url, LAST)) == 200


def test_end_waits_for_answers_under_way_and_for_nobody_else(server: Server) -> None:
    """At the end a request in the app is answered, an idle connection is closed, and then the gateway is."""
    fake = server.gateway
    assert isinstance(fake, Fake)
    fake.let.clear()
    with connected(server.url) as busy, connected(server.url) as idle:
        busy.sendall(LAST.replace(b"Connection: close\r\n", b""))
        assert fake.asked.acquire(timeout=10)
        ending = threading.Thread(target=lambda: (server.shutdown(), server.finish()))
        ending.start()
        assert said(idle) == b"" and not fake.closed
        fake.let.set()
        answer = said(busy)
        ending.join()
    assert status(answer) == 200 and b"Connection: close" in answer and fake.closed
