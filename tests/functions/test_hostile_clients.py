"""Clients that mean no good, on real sockets against both servers: a clear 4xx or a closed connection, and nothing else."""

from __future__ import annotations

import contextlib
import gzip
import os
import re
import socket
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import LOCAL, NOWHERE, SERVE, Http, Process, connected, post, raw, said, status

PATIENCE = 2.0
GET = b"GET /openapi.json HTTP/1.1\r\nHost: test\r\n"
LAST = GET + b"Connection: close\r\n\r\n"
HELLO = bytes.fromhex("16030100c8010000c40303") + bytes(range(190))
BOMB = gzip.compress(b"0" * 10_000_000)
HEADS = {
    "garbage": (b"\x00\xff\xfe garbage \r\n\r\n", {400}),
    "TLS hello": (HELLO, {400}),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {400}),
    "no such version": (b"GET / HTTP/1.9\r\nHost: test\r\n\r\n", {400}),
    "method in small letters": (b"get / HTTP/1.1\r\nHost: test\r\n\r\n", {400}),
    "no host": (b"GET / HTTP/1.1\r\n\r\n", {400}),
    "two hosts": (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", {400}),
    "space in target": (b"GET /a b HTTP/1.1\r\nHost: test\r\n\r\n", {400}),
    "bytes above ASCII in target": (b"GET /\xff\xfe HTTP/1.1\r\nHost: test\r\n\r\n", {400}),
    "header without colon": (GET + b"nonsense\r\n\r\n", {400}),
    "space before colon": (GET + b"Content-Length : 5\r\n\r\nhello", {400}),
    "folded header": (GET + b"X-A: b\r\n c\r\n\r\n", {400}),
    "NUL in header": (GET + b"X-A: b\x00c\r\n\r\n", {400}),
    "bare CR in header": (GET + b"X-A: b\rX-B: c\r\n\r\n", {400}),
    "bare LF": (b"GET / HTTP/1.1\nHost: test\n\n", {400, 408}),
    "smuggling, both lengths": (GET + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", {400}),
    "smuggling, two lengths": (GET + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", {400}),
    "smuggling, hidden coding": (GET + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", {411}),
    "length with sign": (GET + b"Content-Length: +5\r\n\r\nhello", {400}),
    "length as list": (GET + b"Content-Length: 5, 5\r\n\r\nhello", {400}),
    "length below zero": (GET + b"Content-Length: -1\r\n\r\n", {400}),
    "length of forty digits": (GET + b"Content-Length: " + b"9" * 40 + b"\r\n\r\n", {400}),
    "chunked": (b"POST /predict HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", {411}),
    "unknown expectation": (GET + b"Expect: miracles\r\n\r\n", {400}),
    "header of 100 KB": (GET + b"X-A: " + b"a" * 100_000 + b"\r\n\r\n", {431}),
    "headers without end": (GET + b"X-A: b\r\n" * 20_000, {431}),
    "101 headers": (GET + b"X-A: b\r\n" * 101 + b"\r\n", {431}),
    "address of 9 KB": (b"GET /" + b"a" * 9_000 + b" HTTP/1.1\r\nHost: test\r\n\r\n", {431}),
    "body of 1 MB and a byte, announced": (post("/predict", b"", length=1_000_001), {413}),
    "body of a terabyte, announced": (post("/predict", b"{}", length=10**12), {413}),
    "body of 1 MB and a byte, sent": (post("/predict", b" " * 1_000_001), {413}),
}  # fmt: skip
BODIES = {
    "nested 10,000 deep": (post("/predict", b'{"symbol":' + b"[" * 10_000 + b"]" * 10_000 + b"}"), {400}),
    "nested 900,000 deep": (post("/predict", b"[" * 900_000), {400}),
    "a name twice": (post("/predict", b'{"symbol":"BTC","symbol":"ETH"}'), {400}),
    "NaN": (post("/predict", b'{"symbol":"BTC","level":NaN}'), {400}),
    "not UTF-8": (post("/predict", b'{"symbol":"\xff\xfe"}'), {400}),
    "half a surrogate pair": (post("/predict", b'{"symbol":"\\ud800"}'), {400, 404, 422}),
    "another charset": (post("/predict", b"{}", b"Content-Type: application/json; charset=utf-16"), {400, 415, 422}),
    "a text, not JSON": (post("/predict", b"hello", b"Content-Type: text/plain"), {415}),
    "gzip bomb": (post("/predict", BOMB, b"Content-Encoding: gzip"), {400, 415}),
    "number of 900,000 digits": (post("/predict", b'{"symbol":"BTC","level":' + b"9" * 900_000 + b"}"), {400, 422}),
    "traversal": (LAST.replace(b"/openapi.json", b"/../../etc/passwd"), {404}),
    "traversal, encoded": (LAST.replace(b"/openapi.json", b"/scoreboard/%2e%2e%2f%2e%2e%2fchampion"), {404, 422}),
    "NUL, encoded": (LAST.replace(b"/openapi.json", b"/scoreboard/BTC%00"), {404, 422}),
    "another host's address": (LAST.replace(b"/openapi.json", b"http://[bad/x"), {400, 404}),
    "no such method": (LAST.replace(b"GET", b"BREW"), {405}),
    "TRACE": (LAST.replace(b"GET", b"TRACE"), {405}),
}  # fmt: skip


@pytest.fixture(scope="module", params=[LOCAL, SERVE], ids=["local", "serve"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """Return each of the servers, with the real app and little patience."""
    log: Path = tmp_path_factory.mktemp("hostile") / "api.log"
    process = Process(log, NOWHERE, *request.param, "--patience", str(PATIENCE))
    yield process
    code = process.terminate()
    assert code == 0 and b"Traceback" not in log.read_bytes(), log.read_text()[-3000:]


def honest(server: Process) -> None:
    """Ask what anybody may ask."""
    with Http(server.url) as ask:
        assert ask("GET", "/openapi.json")[0] == 200


@pytest.mark.parametrize("name", HEADS)
def test_head_that_is_no_request_is_refused_as_a_problem_and_the_connection_closed(server: Process, name: str) -> None:
    """Whatever is wrong with a head, the answer is a problem document of the right status, and the next one is served."""
    sent, expected = HEADS[name]
    answer = raw(server.url, sent)
    assert status(answer) in expected, answer
    assert b"application/problem+json" in answer and b"Connection: close" in answer
    honest(server)


@pytest.mark.parametrize("name", BODIES)
def test_body_or_path_of_ill_will_is_refused_as_a_problem(server: Process, name: str) -> None:
    """What is well-formed HTTP and no honest request gets a 4xx in the form of a problem."""
    sent, expected = BODIES[name]
    answer = raw(server.url, sent)
    assert status(answer) in expected and b"application/problem+json" in answer, answer[:2000]
    honest(server)


@pytest.mark.parametrize("begun", [b"GET /openapi", GET, post("/predict", b'{"sym', length=50)])
def test_request_that_does_not_arrive_is_cut_off_with_408(server: Process, begun: bytes) -> None:
    """A client that stops in its head or body is told, and its connection closed, once patience is over."""
    started = time.monotonic()
    assert status(raw(server.url, begun)) == 408
    assert time.monotonic() - started > PATIENCE * 0.9


def test_drop_by_drop_counts_as_not_arriving(server: Process) -> None:
    """A byte now and then does not renew the time in which a request must be whole."""
    with connected(server.url) as client:
        client.sendall(GET)
        with contextlib.suppress(ConnectionError):
            for _ in range(int(PATIENCE / 0.2) + 3):
                client.sendall(b"X")
                time.sleep(0.2)
        assert status(said(client)) == 408


def test_slow_clients_do_not_keep_others_waiting(server: Process) -> None:
    """More clients than there are threads stop in the middle of their requests; an honest one is served meanwhile."""
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(connected(server.url)) for _ in range(40)]
        for i, client in enumerate(slow):
            client.sendall((b"", b"GET / HT", post("/predict", b"{", b"Expect: 100-continue", length=9))[i % 3])
        started = time.monotonic()
        honest(server)
        assert time.monotonic() - started < PATIENCE
        assert sum(status(answer) == 408 for client in slow if (answer := _last(said(client)))) >= 26


def _last(answer: bytes) -> bytes:
    return answer.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")


def test_client_that_breaks_off_harms_nobody(server: Process) -> None:
    """Connections cut in head, body or answer, politely or by reset, leave the server serving."""
    for sent in (b"", b"GET /ope", post("/predict", b'{"symbol"', length=500), LAST, GET + b"\r\n" + LAST):
        for reset in (False, True):
            with connected(server.url) as client:
                if reset:
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                client.sendall(sent)
    honest(server)


def test_request_that_ends_early_is_told_so(server: Process) -> None:
    """A body shorter than announced, and then the end, is 400: nothing is made of half a request."""
    with connected(server.url) as client:
        client.sendall(post("/predict", b'{"symbol":"BTC"}', length=500))
        client.shutdown(socket.SHUT_WR)
        assert status(said(client)) == 400


def test_refusal_is_heard_by_a_client_that_is_still_sending(server: Process) -> None:
    """A body too large is refused at its announcement, and a client that only then reads still finds the 413."""
    with connected(server.url) as client:
        client.sendall(post("/predict", b"", length=1_000_001))
        for _ in range(5):
            client.sendall(b" " * 200_000)
            time.sleep(0.02)
        assert status(said(client)) == 413


def test_pipelined_requests_are_answered_in_order(server: Process) -> None:
    """Requests sent in one go each get an answer, a refused one the last."""
    sent = GET + b"\r\n" + GET.replace(b"/openapi.json", b"/nothing") + b"\r\n" + b"nonsense\r\n\r\n" + LAST
    codes = re.findall(rb"HTTP/1\.1 (\d{3}) ", raw(server.url, sent))
    assert codes == [b"200", b"404", b"400"]


def test_http_1_0_is_answered_and_closed(server: Process) -> None:
    """An old client gets its answer and an end."""
    answer = raw(server.url, b"GET /openapi.json HTTP/1.0\r\n\r\n")
    assert status(answer) == 200 and answer.endswith(b"}")


def test_head_leaves_the_connection_in_step(server: Process) -> None:
    """HEAD has a length and no body, so the next answer on the connection is read right."""
    answer = raw(server.url, GET.replace(b"GET", b"HEAD") + b"\r\n" + LAST)
    first, second = re.findall(rb"HTTP/1\.1 200 OK\r\n", answer), answer.partition(b"\r\n\r\n")[2]
    assert len(first) == 2 and second.startswith(b"HTTP/1.1 200 OK\r\n")


def test_client_that_asks_first_is_told_to_go_on_or_not(server: Process) -> None:
    """Expect: 100-continue is granted for a body that will be read, and refused at once for one that is too large."""
    body = b"no JSON"
    with connected(server.url) as client:
        client.sendall(post("/predict", b"", b"Expect: 100-continue", length=len(body)))
        assert client.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(body)
        assert status(said(client)) == 400
    assert status(raw(server.url, post("/predict", b"", b"Expect: 100-continue", length=2_000_000))) == 413


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_stays_flat(server: Process) -> None:
    """Two hundred large hostile requests leave the processes about as large as fifty did."""

    def rude(rounds: int) -> int:
        for _ in range(rounds):
            for name in ("nested 900,000 deep", "gzip bomb", "number of 900,000 digits"):
                raw(server.url, BODIES[name][0])
            raw(server.url, HEADS["body of 1 MB and a byte, sent"][0])
        return sum(_resident(pid) for pid in (server.child.pid, *_children(server.child.pid)))

    before, after = rude(13), rude(37)
    assert after - before < 30e6


def _children(pid: int) -> list[int]:
    return [int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
