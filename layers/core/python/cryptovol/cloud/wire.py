"""What may come in by a socket: the head of a request, read strictly, and the answer to one that is refused.

Both servers of the API look at a head here before anything else does. Where the standard lets a reader guess
(RFC 9112: folded lines, two lengths, spaces before a colon), a proxy in front may guess otherwise, and a request could
be smuggled past it; so here nothing is guessed. No effects.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus

from cryptovol.web import ALWAYS

HEAD_BYTES = 32_768  # request line and headers
HEADERS = 100
TARGET_BYTES = 8_190
BODY_BYTES = 1_000_000
PATIENCE = 15.0  # seconds in which a request must have arrived, and its answer must have been taken
LINGER_SECONDS, LINGER_BYTES = 1.0, 4_000_000  # how long, and through how much, a refused client is heard out
END = b"\r\n\r\n"
PROBLEM = "application/problem+json"
# By code, as in the API's own table.
TITLES = {
    "malformed": "Malformed request", "unauthorized": "No valid API key", "forbidden": "Forbidden",
    "not_found": "Not found", "timeout": "Request too slow", "length_required": "Length required",
    "body_too_large": "Body too large", "header_too_large": "Headers too large", "internal": "Internal error",
    "overloaded": "Too many connections",
}  # fmt: skip
_START = re.compile(rb"[A-Z]{1,20}(?:$| )")
_LINE = re.compile(rb"([A-Z]{1,20}) ([\x21-\x7e]+) HTTP/1\.([01])")
_HEADER = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)")
_ONCE = {"host", "content-length", "content-type", "transfer-encoding"}

Headers = list[tuple[str, str]]


@dataclass(frozen=True)
class Answer:
    """What goes back: a status, headers in order, and the bytes of the body."""

    status: int
    headers: Headers = field(default_factory=list)
    body: bytes = b""


@dataclass(frozen=True)
class Head:
    """A request's head.

    Parameters
    ----------
    method, target
        As sent; the target is printable ASCII.
    headers
        By lower-case name; what was sent twice is joined by a comma.
    length
        Bytes of the body.
    keeps
        Whether the connection may be used again.
    expects
        Whether the client waits for ``100 Continue`` before it sends the body.
    """

    method: str
    target: str
    headers: dict[str, str]
    length: int
    keeps: bool
    expects: bool


class RefusedError(Exception):
    """Raised for a request that is answered by the server itself; then the connection is closed."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code

    def answer(self) -> Answer:
        """Return the problem document; it names a request id of its own."""
        return problem(self.status, self.code, str(self), uuid.uuid4().hex)


def problem(status: int, code: str, detail: str, request_id: str, more: Iterable[tuple[str, str]] = ()) -> Answer:
    """Return a problem document (RFC 9457) in the API's shape, for what never reaches the API.

    Parameters
    ----------
    more
        Further headers.
    """
    body = {
        "type": f"urn:cryptovol:problem:{code}", "title": TITLES[code], "status": status, "detail": detail,
        "code": code, "request_id": request_id,
    }  # fmt: skip
    headers = [("Content-Type", PROBLEM), ("X-Request-Id", request_id), *ALWAYS.items(), *more]
    return Answer(status, headers, json.dumps(body).encode())


def head_end(received: bytes | bytearray) -> int:
    """Return how many bytes the head has, or 0 if it is not whole yet.

    Raises
    ------
    RefusedError
        400 if it cannot become a request, which the first bytes tell; 431 if it is too large.
    """
    if received and not _START.match(received[:21]):
        raise malformed("this is not HTTP/1.1: a request begins with a method in capitals")
    end = received.find(END, 0, HEAD_BYTES)
    if end < 0 and len(received) >= HEAD_BYTES:
        raise RefusedError(431, "header_too_large", f"request line and headers exceed {HEAD_BYTES} bytes")
    return end + len(END) if end >= 0 else 0


def malformed(detail: str) -> RefusedError:
    """Return the refusal of what is no well-formed request."""
    return RefusedError(400, "malformed", detail)


def parse(head: bytes) -> Head:
    """Return what a head says.

    Parameters
    ----------
    head
        Up to and with its empty line.

    Raises
    ------
    RefusedError
        400 for anything ambiguous, 411 for a body without a length, 413 and 431 for what is too much.

    Notes
    -----
    RFC 9112, sections 2.2 (no bare CR or LF), 3 (request line), 5.2 (no folding) and 6.3 (length of the body).
    """
    first, *lines = head.removesuffix(END).split(b"\r\n")
    line = _LINE.fullmatch(first)
    if line is None:
        raise malformed("the request line is not METHOD TARGET HTTP/1.1")
    if len(line[2]) > TARGET_BYTES:
        raise RefusedError(
            431, "header_too_large", f"the address has {len(line[2])} bytes, the limit is {TARGET_BYTES}"
        )
    headers = _headers(lines)
    newer = line[3] == b"1"
    if newer and "host" not in headers:
        raise malformed("the header Host is missing")
    expects = _expects(headers, newer)
    tokens = {token.strip() for token in headers.get("connection", "").lower().split(",")}
    keeps = newer and "close" not in tokens  # of HTTP/1.0's own way nobody makes use any more
    return Head(line[1].decode(), line[2].decode(), headers, body_length(headers), keeps, expects)


def _headers(lines: list[bytes]) -> dict[str, str]:
    if len(lines) > HEADERS:
        raise RefusedError(431, "header_too_large", f"there are {len(lines)} headers, the limit is {HEADERS}")
    found: dict[str, str] = {}
    for line in lines:
        parts = _HEADER.fullmatch(line)
        if parts is None:
            raise malformed("a header is not NAME: VALUE on one line")
        name, value = parts[1].decode().lower(), parts[2].decode("latin-1").rstrip(" \t")
        if name in found and name in _ONCE:
            raise malformed(f"the header {name} stands twice")
        found[name] = f"{found[name]},{value}" if name in found else value
    return found


def _expects(headers: dict[str, str], newer: bool) -> bool:
    expected = headers.get("expect", "").lower() if newer else ""
    if expected not in ("", "100-continue"):
        raise malformed("only Expect: 100-continue is known")
    return bool(expected)


def body_length(headers: Mapping[str, str]) -> int:
    """Return how many bytes a body has by its headers, whose names are lower-case; see `parse` for what is refused."""
    if "transfer-encoding" in headers and "content-length" in headers:
        raise malformed("Content-Length and Transfer-Encoding are both given; which one counts is anybody's guess")
    if "transfer-encoding" in headers:
        raise RefusedError(411, "length_required", "send the body whole, with Content-Length and no Transfer-Encoding")
    text = headers.get("content-length", "0")
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise malformed("Content-Length is not a number of bytes")
    if int(text) > BODY_BYTES:
        raise RefusedError(413, "body_too_large", f"the body has {int(text)} bytes, the limit is {BODY_BYTES}")
    return int(text)


def encode(answer: Answer, *, keeps: bool, bodiless: bool = False) -> bytes:
    """Return an answer's bytes, with its length; those of the body are left out for HEAD, and 204 and 304 have none.

    Parameters
    ----------
    keeps
        Whether the connection may be used again; if not, the answer says so.
    bodiless
        Whether the request was HEAD.
    """
    lines = [f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}", f"Date: {formatdate(usegmt=True)}"]
    lines += [f"{name}: {value}" for name, value in answer.headers]
    empty = answer.status in (204, 304)
    if not empty:
        lines.append(f"Content-Length: {len(answer.body)}")
    if not keeps:
        lines.append("Connection: close")
    head = "\r\n".join(lines).encode("latin-1") + END
    return head if empty or bodiless else head + answer.body
