"""The API as a WSGI application (PEP 3333), for gunicorn or any other such server.

It trusts no server: lengths are judged here again, so that the limits hold whoever reads the socket.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from cryptovol.cloud import wire
from cryptovol.cloud.gateway import Asked, Gateway

Environ = dict[str, Any]


class Application:
    """A gateway behind WSGI."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request."""
        try:
            answer = self.gateway.answer(asked(environ))
        except wire.RefusedError as refused:
            answer = refused.answer()
        headers = list(answer.headers)
        if answer.status not in (204, 304):
            headers.append(("Content-Length", str(len(answer.body))))
        start_response(f"{answer.status} {HTTPStatus(answer.status).phrase}", headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" or answer.status in (204, 304) else [answer.body]


def asked(environ: Environ) -> Asked:
    """Return the request of a WSGI environment.

    Raises
    ------
    RefusedError
        411 for a body without a length, 413 for one above the limit, 400 for one that ends early.
    """
    headers = {name[5:].replace("_", "-").lower(): value for name, value in environ.items() if name.startswith("HTTP_")}
    for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if environ.get(name):
            headers[name.replace("_", "-").lower()] = environ[name]
    length = wire.body_length(headers)
    body = environ["wsgi.input"].read(length) if length else b""
    if len(body) < length:
        raise wire.malformed("the request ends before it is whole")
    return Asked(environ["REQUEST_METHOD"], _target(environ), headers, body, environ.get("REMOTE_ADDR", ""))


def _target(environ: Environ) -> str:
    """Return path and query as they were sent, where the server keeps them, or else encoded again."""
    if "RAW_URI" in environ:
        return str(environ["RAW_URI"])
    path = quote(environ.get("PATH_INFO", "").encode("latin-1"))
    query = environ.get("QUERY_STRING", "")
    return f"{path}?{query}" if query else path
