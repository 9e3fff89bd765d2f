"""The load client of `make bench`, against servers of every manner."""

import socket
import threading
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.serving import load

ANSWER = b"HTTP/1.1 200 OK\r\nServer: x\r\ncontent-length: 5\r\n\r\nhello"


@given(st.integers(100, 599), st.binary(max_size=300), st.binary(max_size=40), st.data())
def test_an_answer_is_whole_at_its_last_byte(status, body, after, data):
    """However it is cut, an answer is incomplete before its last byte, and what follows it does not matter."""
    raw = b"HTTP/1.1 %d Some\r\nX: y\r\nContent-Length: %d\r\n\r\n" % (status, len(body)) + body
    assert load.whole(raw + after) == (status, len(raw))
    assert load.whole(raw[: data.draw(st.integers(0, len(raw) - 1))]) is None


@pytest.mark.parametrize("raw", [b"SMTP ready\r\n\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"])
def test_what_is_no_answer_with_a_length_is_refused(raw):
    """A stream of another protocol, or an answer whose end cannot be told, ends the run."""
    with pytest.raises(load.LoadError, match="not an answer"):
        load.whole(raw)


@contextmanager
def server(talk):
    """Yield the address of a server that hands each connection to `talk(connection)` in a thread of its own."""
    listener = socket.create_server(("127.0.0.1", 0))
    threads = []

    def one(connection):
        with connection:
            talk(connection)

    def accept():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threads.append(threading.Thread(target=one, args=(connection,)))
            threads[-1].start()

    threads.append(threading.Thread(target=accept))
    threads[0].start()
    try:
        yield listener.getsockname()
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for thread in threads:
            thread.join(10)


def asked(connection, answers):
    """Answer each request on a connection with the next of some answers, whole requests being 10 bytes."""
    for answer in answers:
        if not connection.recv(10, socket.MSG_WAITALL):
            return
        connection.sendall(answer)


def ask(address, **more):
    """Run a short load."""
    plan = {"connections": 3, "requests": 20, "seconds": 20.0, "timeout": 10.0, **more}
    return load.run(address, b"0123456789", **plan)


def test_every_request_is_answered_and_counted_once():
    """Kept-open connections share the requests; refusals count under their status."""
    seen = []
    refused = ANSWER.replace(b"200 OK", b"429 Slow")

    def talk(connection):
        seen.append(connection)
        asked(connection, [ANSWER, refused] * 50)

    with server(talk) as address:
        done = ask(address)
    assert len(seen) == 3 and done.reopened == 0
    assert len(done.seconds) == sum(done.statuses.values()) == 20
    assert set(done.statuses) == {200, 429} and done.rate == pytest.approx(20 / done.wall)


def test_a_connection_closed_between_answers_is_opened_again():
    """A server that closes after each answer is asked again on a new connection, and that is told."""
    with server(lambda connection: asked(connection, [ANSWER])) as address:
        done = ask(address)
    assert done.statuses == {200: 20} and done.reopened == 17


def test_time_bounds_a_load():
    """When its time is over a run sends nothing more, and what is under way still counts."""
    with server(lambda connection: asked(connection, [ANSWER] * 50)) as address:
        assert ask(address, seconds=0.0).statuses == {200: 3}


@pytest.mark.parametrize(
    ("answers", "message"),
    [([ANSWER[:-1]], "middle of an answer"), ([b""], "no answer within|only closes"), ([], "only closes|middle")],
)
def test_a_dead_server_ends_the_load(answers, message):
    """Half an answer, silence, or a door that closes at once is an error and no measurement."""
    hold = threading.Event()

    def talk(connection):
        asked(connection, answers)
        if answers == [b""]:
            hold.wait(5)

    with server(talk) as address:
        with pytest.raises(load.LoadError, match=message):
            ask(address, timeout=0.2)
        hold.set()


def test_a_request_is_sent_as_it_is():
    """Headers stand as given, with the body's length, and the body follows."""
    raw = load.request("/predict", {"Host": "h", "x-api-key": "k"}, b"{}")
    assert raw == b"POST /predict HTTP/1.1\r\nHost: h\r\nx-api-key: k\r\nContent-Length: 2\r\n\r\n{}"
