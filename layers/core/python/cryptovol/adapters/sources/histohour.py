"""Reading CryptoCompare's answers: rows into columns, and its three shapes of failure into typed errors.

The shapes: HTTP 200 with ``Response: Error`` and a `Type`; an ``Err`` envelope; a plain 401, 403, 429 or 5xx.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, NoReturn

import numpy as np

from cryptovol.bars import PRICES, Floats, Ints, Mask
from cryptovol.errors import (
    BarSchemaError,
    ConfigError,
    RateLimitedError,
    SourceUnavailableError,
    UnknownSymbolError,
)
from cryptovol.times import HOUR

FIELDS = (*PRICES, "volumefrom", "volumeto")
SECONDS = {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86400.0, "month": 30 * 86400.0}
DEFAULT_WAIT = 60.0
KEY_CURE = "Cure: set CRYPTOVOL_CRYPTOCOMPARE_KEY to a valid key, or CRYPTOVOL_SOURCE=simulated to go without"


@dataclass(frozen=True)
class Reply:
    """One HTTP answer: status, headers, and the whole body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Rows:
    """The rows of a page: time (n,), open high low close volumefrom volumeto (n, 6), and how many were padding."""

    time: Ints
    table: Floats
    padded: int


def read(reply: Reply, *, pair: str, now: int, secret: str = "") -> Rows:
    """Return the rows of an answer, in its order, without the rows the API pads before a coin's listing.

    Parameters
    ----------
    pair
        For messages, for instance ``BTC/USD``.
    now
        Unix seconds, for a `Retry-After` given as a date.
    secret
        Blotted out of whatever the server says.

    Raises
    ------
    UnknownSymbolError, ConfigError, RateLimitedError, SourceUnavailableError
        For the three shapes of failure, and for a body that is not JSON.
    BarSchemaError
        If the JSON has no rows of bars: a field absent, of the wrong type, infinite, or a time off the hour.
    """
    body = _parsed(reply)
    told = _told(body, secret)
    if reply.status != 200:
        _refuse_status(reply, told, now)
    if not isinstance(body, dict):
        raise SourceUnavailableError(f"the market source answered {_kind(reply)} instead of JSON for {pair}")
    if body.get("Err"):
        _refuse_envelope(body["Err"], told, pair)
    if body.get("Response") == "Error":
        _refuse_legacy(body, told, pair)
    data = body.get("Data")
    rows = data.get("Data") if isinstance(data, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise BarSchemaError(f"the answer for {pair} has no list of rows under Data.Data")
    return _rows(rows, pair)


def _parsed(reply: Reply) -> Any:
    """Return the JSON value, or None if the body is none."""
    try:
        return json.loads(reply.body, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return None


def _no_constant(name: str) -> NoReturn:
    raise BarSchemaError(f"the market source sent {name}, which is neither JSON nor a price")


def _kind(reply: Reply) -> str:
    start = reply.body[:1].decode("ascii", "replace")
    kind = reply.headers.get("Content-Type", "no content type").split(";")[0]
    return f"{len(reply.body)} bytes of {kind} that begin with {start!r}"


def _told(body: Any, secret: str) -> str:
    """Return what the server says about its refusal, on one line, short, and without our key."""
    told: Any = None
    if isinstance(body, dict):
        err = body.get("Err")
        told = (err.get("message") if isinstance(err, dict) else None) or body.get("Message") or body.get("message")
    text = " ".join(str(told or "no reason given").split())[:200]
    return text.replace(secret, "***") if secret else text


def _refuse_status(reply: Reply, told: str, now: int) -> NoReturn:
    status = reply.status
    if status in (401, 403):
        raise ConfigError(
            f"the market source refuses us ({status}: {told}): the API key is missing or wrong. {KEY_CURE}"
        )
    if status == 429:
        raise RateLimitedError(f"the market source asks to slow down (429: {told})", _retry_after(reply.headers, now))
    if status >= 500 or status == 408:
        raise SourceUnavailableError(f"the market source failed ({status}: {told}); it may work again later")
    cure = "Cure: check CRYPTOVOL_CRYPTOCOMPARE_URL"
    raise ConfigError(f"the market source does not accept the request ({status}: {told}). {cure}")


def _retry_after(headers: Mapping[str, str], now: int) -> float:
    """Return the seconds a `Retry-After` asks for: a number or an HTTP date; a minute if it is neither."""
    text = headers.get("Retry-After", "").strip()
    try:
        wait = float(text) if text.replace(".", "", 1).isdigit() else parsedate_to_datetime(text).timestamp() - now
    except (ValueError, TypeError, OverflowError):
        return DEFAULT_WAIT
    return max(0.0, wait)


def _refuse_envelope(err: Any, told: str, pair: str) -> NoReturn:
    status = err.get("http_status_code") if isinstance(err, dict) else None
    if status in (401, 403):
        raise ConfigError(f"the market source refuses us ({status}: {told}). {KEY_CURE}")
    if status == 429:
        raise RateLimitedError(f"the market source asks to slow down ({told})", DEFAULT_WAIT)
    if status == 404:
        raise UnknownSymbolError(f"the market source does not know {pair} ({told}). Cure: check symbol and quote")
    if isinstance(status, int) and 400 <= status < 500:
        raise ConfigError(f"the market source does not accept the request for {pair} ({status}: {told})")
    raise SourceUnavailableError(f"the market source failed for {pair} ({told})")


def _refuse_legacy(body: Mapping[str, Any], told: str, pair: str) -> NoReturn:
    kind, said = body.get("Type"), told.lower()
    if kind == 99 or "rate limit" in said:
        raise RateLimitedError(f"the market source asks to slow down ({told})", _window(body.get("RateLimit")))
    if "key" in said and ("auth" in said or "api" in said):
        raise ConfigError(f"the market source refuses us ({told}). {KEY_CURE}")
    absent = "does not exist" in said or "no data for" in said or body.get("ParamWithError") in ("fsym", "tsym")
    if kind in (1, 2) and absent:
        raise UnknownSymbolError(f"the market source does not know {pair} ({told}). Cure: check symbol and quote")
    if kind == 2:
        raise ConfigError(f"the market source does not accept the request for {pair} ({told})")
    raise SourceUnavailableError(f"the market source failed for {pair} (type {kind}: {told})")


def _window(limits: Any) -> float:
    """Return the length in seconds of the longest window whose calls are used up; a minute if it is not told."""
    if not isinstance(limits, dict):
        return DEFAULT_WAIT
    made, most = limits.get("calls_made"), limits.get("max_calls")
    if not isinstance(made, dict) or not isinstance(most, dict):
        return DEFAULT_WAIT
    used = [name for name in SECONDS if _count(made.get(name)) >= _count(most.get(name)) > 0]
    return SECONDS[used[-1]] if used else DEFAULT_WAIT


def _count(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else 0.0


def _rows(rows: Sequence[Mapping[str, Any]], pair: str) -> Rows:
    time = _column(rows, "time", pair)
    table = np.stack([_column(rows, name, pair) for name in FIELDS], axis=1)
    padding: Mask = (time == 0) | (table[:, :4] == 0).all(axis=1)
    kept, table = time[~padding], table[~padding]
    odd = np.flatnonzero(~np.isfinite(kept) | (kept % HOUR != 0) | (kept < 0) | (kept > 2**40))
    if len(odd):
        raise BarSchemaError(f"row {odd[0]} of {pair}: time {kept[odd[0]]} is not the start of an hour in unix seconds")
    return Rows(kept.astype(np.int64), table, int(padding.sum()))


def _column(rows: Sequence[Mapping[str, Any]], name: str, pair: str) -> Floats:
    """Return one field of every row; null, and nothing else, is NaN."""
    values = [row.get(name, _column) for row in rows]  # a function stands for an absent field: JSON has none
    if not {type(value) for value in values} <= {int, float, type(None)}:
        at = next(i for i, value in enumerate(values) if type(value) not in (int, float, type(None)))
        what = "is absent" if values[at] is _column else f"is {values[at]!r:.40}, not a number"
        raise BarSchemaError(f"row {at} of {pair}: field {name} {what}")
    try:
        column = np.array(values, dtype=np.float64)
    except OverflowError:
        column = np.array([math.inf])
    if np.isinf(column).any():
        raise BarSchemaError(f"{pair}: field {name} holds a number too large for a price")
    return column
