"""What CryptoCompare and CoinDesk Data share: the key, and refusals in an ``Err`` envelope.

The same key serves both hosts. An envelope's `type` is not the legacy API's `Type`: 2 means "key required" in the one
and "bad parameter" in the other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from cryptovol.adapters.sources import answers
from cryptovol.adapters.sources.answers import DEFAULT_WAIT, field, retry_after, said, shown
from cryptovol.adapters.sources.dialect import Ask, Reply
from cryptovol.errors import AccessError, ConfigError, RateLimitedError, SourceUnavailableError

KEY_CURE = "Cure: set CRYPTOVOL_CRYPTOCOMPARE_KEY to a valid key, or CRYPTOVOL_SOURCE=simulated to go without"
KEY_REQUIRED = 2
OVER_LIMIT = 99
SECONDS = {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86400.0, "month": 30 * 86400.0}


def opened(reply: Reply, venue: str, ask: Ask, *, now: int) -> dict[str, Any]:
    """Return the answer's object; raise what a status or an envelope says instead of rows."""
    body = answers.parsed(reply)
    if field(body, "Err"):
        _refuse(body["Err"], reply, venue, ask, now)
    why = said(field(body, "Message"), field(body, "message"))
    answers.refuse_status(reply, venue, why, now=now, cure=KEY_CURE, wait=window(field(body, "RateLimit")))
    if not isinstance(body, dict):
        raise answers.not_json(reply, venue, ask)
    return body


def _refuse(err: Any, reply: Reply, venue: str, ask: Ask, now: int) -> None:
    """Raise what an ``Err`` envelope says; its own status counts before the answer's."""
    why, kind, told = said(field(err, "message"), err), field(err, "type"), field(err, "http_status_code")
    status = told if type(told) is int else reply.status
    if status in (401, 403) or (status == 200 and kind == KEY_REQUIRED):
        raise AccessError(f"{venue} refuses us ({status}: {why}). {KEY_CURE}")
    if status == 429 or kind == OVER_LIMIT:
        raise RateLimitedError(f"{venue} asks to slow down ({status}: {why})", retry_after(reply.headers, now))
    if status == 404 or (status == 400 and field(err, "other_info", "param") == "instrument"):
        raise answers.unknown(venue, ask, why)
    if 400 <= status < 500 and status not in (408, 451):
        raise ConfigError(f"{venue} does not accept the request for {ask.pair} ({status}: {why})")
    answers.refuse_status(reply, venue, why, now=now, cure=KEY_CURE)
    raise SourceUnavailableError(f"{venue} failed for {ask.pair} (type {shown(kind)}: {why})")


def window(limits: Any) -> float:
    """Return the length in seconds of the longest window whose calls are used up; a minute if it is not told."""
    made, most = field(limits, "calls_made"), field(limits, "max_calls")
    if not isinstance(made, Mapping) or not isinstance(most, Mapping):
        return DEFAULT_WAIT
    used = [name for name in SECONDS if _count(made.get(name)) >= _count(most.get(name)) > 0]
    return SECONDS[used[-1]] if used else DEFAULT_WAIT


def _count(value: Any) -> float:
    """Return a JSON number as it is, anything else as 0."""
    if type(value) is int:
        return float(min(value, 2**62))
    return value if type(value) is float and math.isfinite(value) else 0.0
