"""Requests → what the forecaster is asked. Everything is checked here, by name, before any of it is used."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
from chalicelib.problems import Problem

from cryptovol import bars as bars_module
from cryptovol.bars import Bars
from cryptovol.errors import ConfigError
from cryptovol.forecasts import CALLER, Ask
from cryptovol.times import parse_instant

BODY_BYTES = 1_000_000
INSTANCES = 1000
TEXT = 64  # longest text that is echoed in an error or looked up
OPTIONS = ("symbol", "horizon_hours", "level", "as_of", "allow_stale")
PAYLOADS = ("bars", "features", "instances")
BAR_FIELDS = ("time", "open", "high", "low", "close", "volume_base")
BAR_OPTIONAL = ("volume_quote",)


@dataclass(frozen=True)
class Request:
    """A checked request: the ask and at most one of bars, or rows of features."""

    ask: Ask
    bars: Bars | None = None
    features: Mapping[str, float] | None = None
    instances: list[Mapping[str, float]] | None = None

    @property
    def callers_data(self) -> bool:
        """Whether the caller sent the data the forecast stands on."""
        return self.bars is not None or self.features is not None or self.instances is not None


def decode(raw: bytes) -> dict[str, Any]:
    """Return the JSON object of a body.

    Raises
    ------
    Problem
        413 if it is too large; 400 if it is no JSON object, has a name twice, or numbers JSON does not have.
    """
    if len(raw) > BODY_BYTES:
        raise Problem(413, "body_too_large", f"the body has {len(raw)} bytes, the limit is {BODY_BYTES}")
    try:
        body = json.loads(raw.decode(), parse_constant=_refuse_constant, object_pairs_hook=_unique)
    except RecursionError:
        raise Problem(400, "malformed", "the body is nested too deeply") from None
    except ValueError as error:
        raise Problem(400, "malformed", f"the body is not JSON: {str(error)[:200]}") from None
    if not isinstance(body, dict):
        raise Problem(400, "malformed", f"the body must be a JSON object, not {_kind(body)}")
    return body


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a JSON number")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands twice in one object")
    return found


def request(body: Mapping[str, Any], *, symbols: tuple[str, ...], quote: str, request_id: str) -> Request:
    """Return the checked request.

    Parameters
    ----------
    symbols, quote
        What is served; features without a symbol are of the first.

    Raises
    ------
    Problem
        422 naming the field.
    """
    unknown = [name for name in body if name not in (*OPTIONS, *PAYLOADS)]
    if unknown:
        known = ", ".join((*OPTIONS, *PAYLOADS))
        raise invalid(unknown[0], f"is unknown; known are {known}")
    given = [name for name in PAYLOADS if name in body]
    if len(given) > 1:
        raise invalid(given[1], f"cannot be given together with {given[0]}")
    if "symbol" not in body and given not in (["features"], ["instances"]):
        raise invalid("symbol", "is missing; send a symbol, features or instances")
    ask = _ask(body, symbols[0], request_id)
    if given == ["bars"]:
        return Request(ask, bars=_bars(body["bars"], ask.symbol, quote))
    if given == ["features"]:
        return Request(ask, features=_features(body["features"], "features"))
    if given == ["instances"]:
        return Request(ask, instances=_instances(body["instances"]))
    return Request(ask)


def from_query(symbol: str, query: Mapping[str, list[str]] | None, *, request_id: str) -> Request:
    """Return the checked request of ``GET /forecast/{symbol}``; see `request`."""
    body: dict[str, Any] = {"symbol": symbol}
    for name, values in (query or {}).items():
        if name not in OPTIONS[1:]:
            raise invalid(name, f"is unknown; known are {', '.join(OPTIONS[1:])}")
        if len(values) > 1:
            raise invalid(name, "is given twice")
        body[name] = _from_text(values[0]) if name != "as_of" else values[0]
    return Request(_ask(body, symbol, request_id))


def _from_text(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return text


def _ask(body: Mapping[str, Any], default: str, request_id: str) -> Ask:
    symbol = _text(body.get("symbol", default), "symbol").upper()
    horizon, level, stale = body.get("horizon_hours"), body.get("level"), body.get("allow_stale", False)
    if horizon is not None and (isinstance(horizon, bool) or not isinstance(horizon, int) or abs(horizon) > 10**6):
        raise invalid("horizon_hours", "must be a whole number of hours")
    if not isinstance(stale, bool):
        raise invalid("allow_stale", "must be true or false")
    as_of = body.get("as_of")
    return Ask(
        symbol,
        horizon=horizon,
        level=None if level is None else number(level, "level"),
        as_of=None if as_of is None else _instant(as_of, "as_of"),
        allow_stale=stale,
        request_id=request_id,
    )


def invalid(field: str, message: str) -> Problem:
    """Return the problem of one wrong field."""
    shown = field[:TEXT]
    return Problem(422, "invalid_value", f"{shown} {message}", field=shown)


def number(value: Any, field: str) -> float:
    """Return a finite number; raise the problem of the field for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise invalid(field, f"must be a number, not {_kind(value)}")
    try:
        found = float(value)
    except OverflowError:
        found = math.inf
    if not math.isfinite(found):
        raise invalid(field, "must be a finite number")
    return found


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def _text(value: Any, field: str) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= TEXT:
        raise invalid(field, f"must be a text of 1 to {TEXT} characters")
    return value


def _instant(value: Any, field: str) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**40:
        return value
    try:
        return parse_instant(_text(value, field))
    except (ConfigError, OverflowError) as error:
        raise invalid(field, f"must be unix seconds or ISO 8601: {error}") from error


def _features(value: Any, field: str) -> Mapping[str, float]:
    if not isinstance(value, dict):
        raise invalid(field, f"must be an object of feature names and numbers, not {_kind(value)}")
    return {name: number(each, f"{field}.{name}") for name, each in value.items()}


def _instances(value: Any) -> list[Mapping[str, float]]:
    if not isinstance(value, list) or not 0 < len(value) <= INSTANCES:
        raise invalid("instances", f"must be a list of 1 to {INSTANCES} objects of features")
    return [_features(each, f"instances[{i}]") for i, each in enumerate(value)]


def _bars(value: Any, symbol: str, quote: str) -> Bars:
    if not isinstance(value, list) or not value:
        raise invalid("bars", "must be a list of bars that is not empty")
    rows = [_bar(each, f"bars[{i}]") for i, each in enumerate(value)]
    table = np.array([row[1:] for row in rows], dtype=np.float64)
    return bars_module.make(
        [int(row[0]) for row in rows], table[:, :4], volume_base=table[:, 4], volume_quote=table[:, 5],
        symbol=symbol, quote=quote, source=CALLER, fetched_at=0,
    )  # fmt: skip


def _bar(value: Any, field: str) -> tuple[float, ...]:
    if not isinstance(value, dict):
        raise invalid(field, f"must be an object, not {_kind(value)}")
    for name in BAR_FIELDS:
        if name not in value:
            raise invalid(f"{field}.{name}", f"is missing; a bar has {', '.join(BAR_FIELDS)}")
    for name in value:
        if name not in (*BAR_FIELDS, *BAR_OPTIONAL):
            raise invalid(f"{field}.{name}", f"is unknown; a bar has {', '.join(BAR_FIELDS)}")
    numbers = [number(value[name], f"{field}.{name}") for name in BAR_FIELDS[1:]]
    quote = number(value["volume_quote"], f"{field}.volume_quote") if "volume_quote" in value else math.nan
    return (_instant(value["time"], f"{field}.time"), *numbers, quote)
