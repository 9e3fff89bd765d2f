"""Heads of requests: anything that could be read in two ways is refused, and nothing but a refusal is ever raised."""

from __future__ import annotations

import json
from email.parser import BytesParser

import pytest
from chalicelib.codes import CODES
from chalicelib.problems import Problem
from chalicelib.schemas import BODY_BYTES
from hypothesis import example, given
from hypothesis import strategies as st

from cryptovol.cloud import wire

GOOD = b"POST /predict?a=1 HTTP/1.1\r\nHost: test\r\nContent-Length: 7\r\nX-Api-Key:  secret \t\r\n\r\n"
PIECES = st.lists(
    st.sampled_from([
        b"GET", b" ", b"/", b"HTTP/1.1", b"HTTP/1.0", b"\r\n", b"\n", b"\r", b":", b"Host", b"Content-Length", b"7", b"x",
        b"Transfer-Encoding", b"chunked", b"\x00", b"\xff", b"Expect: 100-continue", b"\r\n\r\n", b"Connection: close", b",",
    ])
).map(b"".join)  # fmt: skip


def test_well_formed_head_is_read() -> None:
    """Method, target, headers without the space around them, and the body's length."""
    head = wire.parse(GOOD)
    assert (head.method, head.target, head.length, head.keeps, head.expects) == ("POST", "/predict?a=1", 7, True, False)
    assert head.headers == {"host": "test", "content-length": "7", "x-api-key": "secret"}


@pytest.mark.parametrize(
    ("head", "keeps"),
    [(b"GET / HTTP/1.0\r\n\r\n", False), (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", True),
     (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n\r\n", False)],
)  # fmt: skip
def test_connection_is_kept_for_http_1_1_unless_told(head: bytes, keeps: bool) -> None:
    """HTTP/1.0 closes, HTTP/1.1 goes on unless the client says close."""
    assert wire.parse(head).keeps is keeps


def test_header_sent_twice_is_joined_so_that_no_half_is_believed() -> None:
    """Two keys make a third one, which opens nothing."""
    assert (
        wire.parse(b"GET / HTTP/1.1\r\nHost: a\r\nX-Api-Key: b\r\nx-api-key: c\r\n\r\n").headers["x-api-key"] == "b,c"
    )


@given(st.binary(max_size=300) | PIECES)
@example(GOOD)
def test_whatever_comes_is_a_head_or_a_refusal(received: bytes) -> None:
    """No bytes make the reader raise anything else, and what it accepts has one length and a host."""
    try:
        end = wire.head_end(received)
        head = wire.parse(received[:end] if end else received + wire.END)
    except wire.RefusedError as refused:
        assert 400 <= refused.status < 500 and json.loads(refused.answer().body)["code"] == refused.code
        return
    assert 0 <= head.length <= wire.BODY_BYTES and head.target.isprintable()
    assert "transfer-encoding" not in head.headers and (not head.keeps or "host" in head.headers)


NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9-]{0,20}", fullmatch=True).filter(
    lambda name: name.lower()
    not in {"host", "content-length", "content-type", "transfer-encoding", "expect", "connection"}
)
VALUES = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=30)


@given(st.dictionaries(NAMES, VALUES, max_size=20))
def test_headers_are_those_that_the_standard_library_reads(sent: dict[str, str]) -> None:
    """On well-formed heads the strict reader and Python's lenient one agree."""
    lines = b"".join(f"{name}: {value}\r\n".encode() for name, value in sent.items())
    head = wire.parse(b"GET / HTTP/1.1\r\nHost: a\r\n" + lines + b"\r\n")
    theirs = BytesParser().parsebytes(b"Host: a\r\n" + lines + b"\r\n")
    assert head.headers == {name.lower(): ",".join(theirs.get_all(name)) for name in theirs.keys()}


@pytest.mark.parametrize("at", range(1, len(GOOD)))
def test_part_of_a_head_is_waited_for(at: int) -> None:
    """Every beginning of a well-formed head is neither whole nor refused."""
    assert wire.head_end(GOOD[:at]) == 0


def test_end_of_the_head_is_found_whatever_follows() -> None:
    """The body, or the next request, is not part of it."""
    assert wire.head_end(GOOD + b'{"a":1}' + GOOD) == len(GOOD)


@pytest.mark.parametrize(
    ("size", "refused"), [(wire.BODY_BYTES, False), (wire.BODY_BYTES + 1, True)], ids=["at the limit", "a byte above"]
)
def test_body_is_measured_by_its_announcement(size: int, refused: bool) -> None:
    """The limit itself is let through, one byte more is 413; it is the limit that the app has."""
    head = GOOD.replace(b"Length: 7", b"Length: %d" % size)
    if refused:
        with pytest.raises(wire.RefusedError) as caught:
            wire.parse(head)
        assert caught.value.status == 413
    else:
        assert wire.parse(head).length == size == BODY_BYTES


@pytest.mark.parametrize("code", sorted(wire.TITLES))
def test_problem_is_the_apis_own_shape(code: str) -> None:
    """What a server refuses looks as if the app had refused it: same members, type and title, and a code of its table."""
    ours = wire.problem(400, code, "detail", "id")
    theirs = Problem(400, code, "detail").response("id")
    assert json.loads(ours.body) == json.loads(theirs.body)
    assert code in CODES and ("Content-Type", theirs.headers["Content-Type"]) in ours.headers


@pytest.mark.parametrize(
    ("status", "bodiless", "end"), [(200, False, b"hello"), (200, True, b"\r\n\r\n"), (304, False, b"\r\n\r\n")]
)
def test_answer_has_its_length_and_only_the_body_it_may_have(status: int, bodiless: bool, end: bytes) -> None:
    """HEAD has the length of what GET would give; 304 has neither body nor length."""
    raw = wire.encode(wire.Answer(status, [("ETag", "x")], b"hello"), keeps=False, bodiless=bodiless)
    assert raw.endswith(end) and (b"Content-Length: 5\r\n" in raw) is (status == 200)
    assert b"\r\nETag: x\r\n" in raw and b"\r\nConnection: close\r\n" in raw
