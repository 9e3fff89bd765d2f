"""The headers of the API's answers: what a browser may do with one, and whose pages may read it.

The page at ``/`` brings a content policy of its own.
"""

from __future__ import annotations

from collections.abc import Mapping

from cryptovol.web import ALWAYS

# Two years. An answer over plain HTTP must not carry it: RFC 6797, section 7.2.
TRANSPORT = "max-age=63072000"
# What another origin's page may send, beside what Chalice lets it (Content-Type, X-Api-Key), and read.
CORS_SENDS = ("If-None-Match",)
CORS_READS = ("ETag", "Retry-After", "X-Request-Id")


def secured(own: Mapping[str, str | list[str]], *, tls: bool, origin: str) -> dict[str, str | list[str]]:
    """Return an answer's headers with those that every answer carries; the answer's own win.

    Parameters
    ----------
    own
        The answer's headers.
    tls
        Whether the request came over TLS, as API Gateway or a proxy in front tells.
    origin
        The one other origin that may read answers, or an empty text.
    """
    more: dict[str, str | list[str]] = {**ALWAYS, **own}
    if tls:
        more.setdefault("Strict-Transport-Security", TRANSPORT)
    if origin:
        varied = str(own.get("Vary", ""))
        more |= {
            "Access-Control-Allow-Origin": origin,
            "Access-Control-Expose-Headers": ", ".join(CORS_READS),
            "Cross-Origin-Resource-Policy": "cross-origin",
            "Vary": f"{varied}, Origin" if varied else "Origin",
        }
    return more
