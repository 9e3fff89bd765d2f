"""One answer over HTTP: bounded in size and time, and a key that nobody else learns."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cryptovol.adapters.sources.transport import MOST_BYTES, Timeouts, Transport
from cryptovol.errors import ConfigError, CryptovolError, SourceUnavailableError
from tests.adapters.scripted import Script, client, histohour, row

SETTING = "CRYPTOVOL_COINBASE_URL"
QUICK = Timeouts(connect=2.0, read=0.15, whole=0.5)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n"


@contextmanager
def saying(say: Callable[[socket.socket], None]) -> Iterator[str]:
    """Run a server that does to every connection what it is told, and yield its address."""
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(65536)
                try:
                    say(connection)
                except OSError:
                    continue  # the client had enough

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(5)


def drip(head: bytes, seconds: float) -> Callable[[socket.socket], None]:
    """Return what sends a head at once and then a byte now and then, for longer than anyone should wait."""

    def say(connection: socket.socket) -> None:
        connection.sendall(head)
        for _ in range(100):
            connection.sendall(b" ")
            time.sleep(seconds)

    return say


def get(url: str, key: str = "", timeouts: Timeouts | None = None, within: float = float("inf")) -> Any:
    """Return one answer."""
    return Transport(url, setting=SETTING, key=key, timeouts=timeouts or QUICK).get("/a", {"b": 1}, within=within)


def silent(head: bytes = b"") -> Callable[[socket.socket], None]:
    """Return what sends a head and then nothing for a while."""

    def say(connection: socket.socket) -> None:
        connection.sendall(head)
        time.sleep(1.0)

    return say


SLOW = {
    "a body that drips": drip(HEAD, 0.05),
    "a head that drips": drip(b"HTTP/1.1 200 OK\r\nX-Long: ", 0.05),
    "a first line that drips": drip(b"HTTP/1.1", 0.05),
    "a chunk that drips": drip(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n100\r\n", 0.05),
    "silence": silent(),
    "silence after the head": silent(HEAD),
}


@pytest.mark.parametrize("slow", SLOW)
def test_a_slow_answer_ends_in_time(slow: str) -> None:
    """However a server keeps a client waiting, the client ends it, and not for want of a network.

    The server gives up in the end, so that a client without a limit would say that the answer broke off.
    """
    with saying(SLOW[slow]) as url:
        with pytest.raises(SourceUnavailableError, match="did not answer in time") as error:
            get(url)
    assert error.value.__cause__ is None


def test_what_is_left_of_the_budget_shortens_the_wait() -> None:
    """A request never outlives the time all of them have."""
    with saying(drip(HEAD, 0.05)) as url, pytest.raises(SourceUnavailableError, match="did not answer in time"):
        get(url, timeouts=Timeouts(), within=0.2)


def test_with_no_time_left_a_request_ends_at_once() -> None:
    """Time that runs out between two looks at the clock is no other error."""
    with saying(SLOW["silence"]) as url, pytest.raises(SourceUnavailableError, match="did not answer in time"):
        get(url, within=0.0)


def test_the_time_for_the_whole_answer_counts_while_nothing_comes() -> None:
    """A silence that would be allowed by itself ends with the time for all of the answer."""
    with saying(SLOW["silence"]) as url, pytest.raises(SourceUnavailableError, match="did not answer in time"):
        get(url, timeouts=Timeouts(read=10.0, whole=0.2))


def test_time_that_passes_between_two_reads_counts(script: Script) -> None:
    """An answer that is there is not read any more once its time is over."""
    script.add([])
    times = iter([0.0])
    transport = Transport(script.url, setting=SETTING, timeouts=QUICK, monotonic=lambda: next(times, 100.0))
    with pytest.raises(SourceUnavailableError, match="did not answer in time"):
        transport.get("/a", {})


@pytest.mark.parametrize("timeouts", [Timeouts(connect=0), Timeouts(read=-1.0), Timeouts(whole=0)])
def test_timeouts_of_no_time_are_a_usage_error(timeouts: Timeouts) -> None:
    """Each of the limits is more than nothing."""
    with pytest.raises(ConfigError, match="timeout_seconds"):
        get("http://127.0.0.1:9", timeouts=timeouts)


def test_a_fast_answer_after_a_slow_one_is_whole(script: Script) -> None:
    """The time limit is one answer's: the next, over the same connection, has its own."""
    script.add(b"x" * 300_000)
    transport = Transport(script.url, setting=SETTING, timeouts=QUICK)
    for _ in range(3):
        assert transport.get("/a", {}).body == b"x" * 300_000
        time.sleep(0.2)


BROKEN: dict[str, Callable[[socket.socket], Any]] = {
    "hangs up": lambda connection: connection.shutdown(socket.SHUT_RDWR),
    "resets": lambda connection: connection.setsockopt(
        socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0"
    ),
    "says nonsense": lambda connection: connection.sendall(b"\xff\xfe nonsense\r\n\r\n"),
    "stops in the body": lambda connection: connection.sendall(HEAD + b"{"),
    "stops in a chunk": lambda connection: connection.sendall(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"
    ),
    "chunks of no length": lambda connection: connection.sendall(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nab"
    ),
    "gzip that is none": lambda connection: connection.sendall(
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nab"
    ),
}  # fmt: skip


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_answer_is_not_taken_for_silence(broken: str) -> None:
    """Somebody was there, so there is no network error for a cause, and `auto` does not simulate instead."""
    with saying(BROKEN[broken]) as url, pytest.raises(SourceUnavailableError, match=url) as error:
        get(url)
    assert error.value.__cause__ is None and "cannot be read" in str(error.value)


STARTS = [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(STARTS), st.binary(max_size=80))
def test_any_bytes_on_the_wire_are_an_answer_or_a_typed_error(start: bytes, rest: bytes) -> None:
    """Whatever comes back over the connection, the outcome is an answer or one of our errors."""
    with saying(lambda connection: connection.sendall(start + rest)) as url:
        try:
            reply = get(url)
        except CryptovolError as error:
            assert error.__cause__ is None
            return
    assert isinstance(reply.status, int) and isinstance(reply.body, bytes)


def test_a_closed_port_is_silence() -> None:
    """Where no connection comes about, the cause is an OSError, and the cure names the address."""
    with pytest.raises(SourceUnavailableError, match=f"no connection to http://127.0.0.1:9.*Cure.*{SETTING}") as error:
        get("http://127.0.0.1:9")
    assert isinstance(error.value.__cause__, OSError)


def test_an_unknown_host_is_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that nobody can look up is a missing network."""

    def lost(*args: Any, **kwargs: Any) -> Any:
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", lost)
    monkeypatch.setenv("NO_PROXY", "*")
    with pytest.raises(SourceUnavailableError, match="no connection") as error:
        get("http://market.invalid")
    assert isinstance(error.value.__cause__, OSError)


def test_a_proxy_that_is_down_is_silence_but_none_is_asked_for_this_machine(
    script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment's proxy stands between us and a venue, never between us and a server on this machine."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    script.add([])
    assert get(script.url).body == b"[]"
    with pytest.raises(SourceUnavailableError) as error:
        get("http://market.invalid")
    assert isinstance(error.value.__cause__, OSError)


@pytest.mark.parametrize("coding", [b"Content-Length: 9000000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n"])
def test_an_endless_answer_is_not_read_into_memory(coding: bytes) -> None:
    """Reading stops at the limit, whether a length was told or not."""

    def say(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n" + coding)
        while True:
            connection.sendall(b"10000\r\n" + b" " * 65536 + b"\r\n")

    with saying(say) as url, pytest.raises(SourceUnavailableError, match=f"more than {MOST_BYTES} bytes"):
        get(url, timeouts=Timeouts())


def test_a_failed_connection_is_tried_four_times(waits: list[float]) -> None:
    """A closed port is transient, and its cause stays with the last error."""
    with pytest.raises(SourceUnavailableError, match="no connection") as error:
        client("coinbase", "http://127.0.0.1:9", waits).origin("BTC", "USD")
    assert len(waits) == 3 and isinstance(error.value.__cause__, OSError)


def test_a_passing_failure_is_followed_by_bars(script: Script, waits: list[float]) -> None:
    """Failures of several kinds are tried again, and then the bars come."""
    script.add(b"<html>", status=503)
    script.add(b"{")
    script.add(histohour([row(-1)]))
    client("cryptocompare", script.url, waits).origin("BTC", "USD")
    assert waits == [0.5, 1.0] and len(script.asked) == 3
