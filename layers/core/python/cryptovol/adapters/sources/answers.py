"""Reading any venue's answer: JSON or not, what a refusal says, and which error an HTTP status is."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from typing import Any, NoReturn
from urllib.parse import urlsplit

from cryptovol.adapters.sources.dialect import Ask, Reply
from cryptovol.errors import (
    AccessError,
    BarSchemaError,
    ConfigError,
    RateLimitedError,
    SourceUnavailableError,
    UnknownSymbolError,
)
from cryptovol.settings import url_setting

DEFAULT_WAIT = 60.0
OTHER_VENUE = "Cure: ask another venue, with CRYPTOVOL_SOURCE or sources.order in params.yaml"
LONGEST_TEXT = 200


def parsed(reply: Reply) -> Any:
    """Return the JSON value, or None if the body is none.

    Raises `BarSchemaError` for NaN and infinities, which are no JSON, where bars were to come.
    """
    try:
        with _no_collector():
            return json.loads(reply.body, parse_constant=_no_constant if reply.status == 200 else None)
    except (ValueError, RecursionError):
        return None


@contextmanager
def _no_collector() -> Iterator[None]:
    """Keep the garbage collector out: it would walk a page's thousands of new rows again and again, for nothing."""
    active = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if active:
            gc.enable()


def _no_constant(name: str) -> NoReturn:
    raise BarSchemaError(f"the market source sent {name}, which is neither JSON nor a price")


def field(body: Any, *names: str) -> Any:
    """Return a value from nested objects, or None where there is none."""
    for name in names:
        body = body.get(name) if isinstance(body, dict) else None
    return body


def said(*candidates: Any) -> str:
    """Return the first text among what an answer says of its refusal: on one line, printable and short."""
    text = next((each for each in candidates if isinstance(each, str) and each.strip()), "no reason given")
    line = " ".join(text.split())
    return "".join(letter if letter.isprintable() else "?" for letter in line)[:LONGEST_TEXT]


def shown(value: Any) -> str:
    """Return a value from an answer for a message: short, and never the whole of a nested one."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    return repr(value)[:40]


def not_json(reply: Reply, venue: str, ask: Ask) -> SourceUnavailableError:
    """Return the error for a body that is no JSON, or not of the kind the venue sends."""
    start = reply.body[:1].decode("ascii", "replace")
    kind = said(reply.headers.get("Content-Type", "no content type").split(";")[0])
    return SourceUnavailableError(
        f"{venue} answered {len(reply.body)} bytes of {kind} that begin with {start!r} instead of JSON for {ask.pair}"
    )


def unknown(venue: str, ask: Ask, why: str) -> UnknownSymbolError:
    """Return the error for a pair the venue does not have."""
    return UnknownSymbolError(f"{venue} does not know {ask.pair} ({why}). Cure: check symbol and quote")


def refuse_status(
    reply: Reply, venue: str, why: str, *, now: int, cure: str = OTHER_VENUE, wait: float = DEFAULT_WAIT
) -> None:
    """Raise the error an HTTP status stands for; return if the status is 200.

    Parameters
    ----------
    why
        What the answer itself says.
    now
        Unix seconds, for a `Retry-After` given as a date.
    cure
        For a venue that refuses us.
    wait
        Seconds to wait where a rate limit does not say how long.
    """
    status = reply.status
    if status == 200:
        return
    if status in (401, 403):
        raise AccessError(f"{venue} refuses us ({status}: {why}). {cure}")
    if status == 451:
        raise AccessError(f"{venue} does not serve the region this machine is in ({status}: {why}). {cure}")
    if status in (418, 429) or (status == 503 and "Retry-After" in reply.headers):
        raise RateLimitedError(f"{venue} asks to slow down ({status}: {why})", retry_after(reply.headers, now, wait))
    if 300 <= status < 400:
        raise SourceUnavailableError(_redirect(reply, venue))
    if 400 <= status < 500 and status != 408:
        setting = url_setting(venue)
        raise ConfigError(f"{venue} does not accept the request ({status}: {why}). Cure: check {setting}")
    raise SourceUnavailableError(f"{venue} failed ({status}: {why}); it may work again later")


def _redirect(reply: Reply, venue: str) -> str:
    try:
        host = urlsplit(reply.headers.get("Location", "")).hostname
    except ValueError:
        host = None
    return (
        f"{venue} redirects to {said(host)} ({reply.status}), which is not followed. "
        f"Cure: check the network's own log-in page, and {url_setting(venue)}"
    )


def retry_after(headers: Mapping[str, str], now: int, default: float = DEFAULT_WAIT) -> float:
    """Return the seconds a `Retry-After` asks for, a number or an HTTP date; `default` if it is neither."""
    text = headers.get("Retry-After", "").strip()
    plain = text.isascii() and text.replace(".", "", 1).isdigit()
    try:
        wait = float(text) if plain else parsedate_to_datetime(text).timestamp() - now
    except (ValueError, TypeError, OverflowError, OSError):
        return default
    return max(0.0, wait)
