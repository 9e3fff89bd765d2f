"""``GET /``: one HTML page for people, the list of routes for programs.

The page is one document without any outside host: its style and its scripts are put into it here, from the files beside
this module, and are allowed by their hashes alone (W3C, Content Security Policy Level 3).
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from chalice.app import Request as HttpRequest
from chalice.app import Response
from chalicelib.problems import Headers

from cryptovol import __version__

STATIC = Path(__file__).with_name("static")
SCRIPTS = ("text.js", "feed.js", "chart.js", "cards.js", "panels.js", "page.js")  # in the order they are run in
JSON, HTML = "application/json", "text/html"


def view(event: HttpRequest, routes: Mapping[str, Any]) -> Response:
    """Return the page, 304 where the caller has it already, or the routes where JSON is preferred.

    Parameters
    ----------
    routes
        As Chalice keeps them: path to what answers there, by method.
    """
    headers: Headers = {"Vary": "Accept"}
    if _prefers_json(event.headers.get("accept", "")):
        named = {path: sorted(entries) for path, entries in routes.items()}
        return Response({"name": "cryptovol", "version": __version__, "routes": named}, headers=headers)
    text, etag = document(), f'"{_digest(document()).hex()[:20]}"'
    headers |= {"ETag": etag, "Cache-Control": "no-cache", "Content-Security-Policy": csp()}
    if etag in [tag.strip().removeprefix("W/") for tag in event.headers.get("if-none-match", "").split(",")]:
        return Response("", headers=headers, status_code=304)
    return Response(text, headers={**headers, "Content-Type": f"{HTML}; charset=utf-8"})


def _prefers_json(accept: str) -> bool:
    """Return whether an ``Accept`` header gives JSON more weight than HTML, or as much and names JSON alone."""
    weights: dict[str, float] = {}
    for part in accept.lower().split(","):
        kind, *options = (text.strip() for text in part.split(";"))
        given = next((text[2:] for text in options if text.startswith("q=")), "1")
        weights[kind] = float(given) if re.fullmatch(r"[01](\.\d{0,3})?", given) else 0.0
    json, html = (
        next((weights[kind] for kind in (name, f"{name.partition('/')[0]}/*", "*/*") if kind in weights), 0.0)
        for name in (JSON, HTML)
    )
    return json > html or (json == html > 0 and JSON in weights and HTML not in weights)


@cache
def document() -> str:
    """Return the page as one HTML document."""
    page = (STATIC / "page.html").read_text(encoding="utf-8")
    return page.replace("{{style}}", style()).replace("{{script}}", script())


@cache
def style() -> str:
    """Return the text of the page's one style element."""
    return (STATIC / "page.css").read_text(encoding="utf-8")


@cache
def script() -> str:
    """Return the text of the page's one script element."""
    parts = "\n".join((STATIC / name).read_text(encoding="utf-8") for name in SCRIPTS)
    return f'(function () {{\n"use strict";\n{parts}\n}})();\n'


@cache
def csp() -> str:
    """Return the page's content security policy: its own style and script, requests to its own origin, nothing else."""
    hashes = {
        name: base64.b64encode(_digest(text)).decode() for name, text in (("style", style()), ("script", script()))
    }
    allowed = [f"{name}-src 'sha256-{digest}'" for name, digest in hashes.items()]
    rest = ("connect-src 'self'", "img-src data:", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'")
    return "; ".join(("default-src 'none'", *allowed, *rest))


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
