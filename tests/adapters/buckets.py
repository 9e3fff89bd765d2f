"""A server on loopback in the place of S3, which gives prepared answers."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Asked:
    """One request as it came; names of headers in small letters."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Script:
    """A server that keeps connections and gives the prepared answers in turn, the last one for ever."""

    url: str
    answers: list[tuple[int, dict[str, str], bytes]] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    connections: set[int] = field(default_factory=set)

    def add(self, status: int, body: bytes = b"", **headers: str) -> None:
        """Prepare an answer; a ``Content-Length`` that is given is a lie after which the connection ends."""
        self.answers.append((status, headers, body))

    def refuse(self, status: int, code: str) -> None:
        """Prepare a refusal as S3 words it."""
        self.add(status, f"<Error><Code>{code}</Code><Message>why {code}</Message></Error>".encode())


def listing(*keys: str) -> bytes:
    """Return S3's answer to ListObjectsV2."""
    about = "<LastModified>2025-01-01T00:00:00.000Z</LastModified><Size>1</Size>"
    entries = "".join(f"<Contents><Key>{key}</Key>{about}</Contents>" for key in keys)
    return f"<ListBucketResult>{entries}<IsTruncated>false</IsTruncated></ListBucketResult>".encode()


@contextmanager
def scripted(tls: ssl.SSLContext | None = None) -> Iterator[Script]:
    """Serve a script while the context lasts, in plain or over TLS."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # head and body in one piece

        def answer(self) -> None:
            found.connections.add(self.client_address[1])
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            found.asked.append(Asked(self.path, {name.lower(): value for name, value in self.headers.items()}, body))
            status, headers, data = found.answers.pop(0) if len(found.answers) > 1 else found.answers[0]
            self.send_response(status)
            for name, value in {"Content-Length": str(len(data)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(b"" if self.command == "HEAD" else data)
            self.close_connection |= "Content-Length" in headers

        do_GET = do_PUT = do_HEAD = answer

        def handle(self) -> None:
            with suppress(ssl.SSLError):  # a client that does not trust us
                super().handle()

        def log_message(self, format: str, *args: Any) -> None:
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    found = Script(f"http{'s' if tls else ''}://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield found
    server.shutdown()
    server.server_close()
    thread.join(10)
