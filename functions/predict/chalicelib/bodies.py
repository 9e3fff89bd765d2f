"""Requests → what the forecaster is asked. Everything is checked here, by name, before any of it is used."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
import numpy as np
from chalicelib import refusals
from chalicelib.refusals import invalid
from chalicelib.schemas import (
    BODIES,
    DAYS,
    LAST_SECOND,
    Bar,
    CardQuery,
    HistoryQuery,
    OfBars,
    OfSymbol,
    Options,
    SymbolQuery,
)
from msgspec import UNSET

from cryptovol import bars as bars_module
from cryptovol.bars import Bars
from cryptovol.errors import ConfigError
from cryptovol.forecasts import CALLER, Ask
from cryptovol.times import parse_instant

Query = Mapping[str, Sequence[str]]
Kind = TypeVar("Kind", bound=msgspec.Struct)


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
    kind = next((BODIES[name] for name in BODIES if name in body), OfSymbol)
    given = _checked(body, kind)
    ask = _ask(given, given.symbol or symbols[0], request_id)
    if isinstance(given, OfBars):
        return Request(ask, bars=_bars(given.bars, ask.symbol, quote))
    # The rows as they were decoded: what the schema holds is that they have the 36 names and a number for each.
    return Request(ask, features=body.get("features"), instances=body.get("instances"))


def from_query(symbol: str, query: Query, *, request_id: str) -> Request:
    """Return the checked request of ``GET /forecast/{symbol}``; see `request`."""
    named = name(symbol)
    return Request(_ask(_checked(_values(query), Options), named, request_id))


def card_query(query: Query, *, default: str, request_id: str) -> Ask:
    """Return what ``GET /model`` asks for; see `request`."""
    given = _checked(_values(query), CardQuery)
    return Ask((given.symbol or default).upper(), horizon=given.horizon_hours, request_id=request_id)


def history_query(symbol: str, query: Query, *, request_id: str) -> tuple[Ask, int]:
    """Return what ``GET /history/{symbol}`` asks for, and of how many days; see `request`."""
    named, given = name(symbol), _checked(_values(query), HistoryQuery)
    return Ask(named, horizon=given.horizon_hours, request_id=request_id), given.days or DAYS


def name(symbol: str) -> str:
    """Return the coin in an address, in capitals; raise the problem of anything else."""
    return _checked({"symbol": symbol}, SymbolQuery).symbol.upper()


def _values(query: Query) -> dict[str, Any]:
    for name, texts in query.items():
        if len(texts) > 1:
            raise invalid(name, "is given twice")
    return {name: _from_text(texts[0]) if name != "as_of" else _seconds(texts[0]) for name, texts in query.items()}


def _from_text(text: str) -> Any:
    """Return the number or truth value that a text in an address is, else the text; null is none."""
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return text
    return found if isinstance(found, bool | int | float) else text


def _seconds(text: str) -> int | str:
    """Return unix seconds where the text is a number too long for a date: ``20250501`` is one, of ISO 8601."""
    return int(text) if text.isascii() and text.isdigit() and 8 < len(text) < 16 else text


def _checked(body: Mapping[str, Any], kind: type[Kind]) -> Kind:
    try:
        return msgspec.convert(_whole(body), kind)
    except msgspec.ValidationError as error:
        raise refusals.refusal(error, body, refusals.members(kind)) from None


def _whole(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the body with ``24.0`` hours as 24: to JSON they are the same number, to msgspec they are not."""
    horizon = body.get("horizon_hours")
    if isinstance(horizon, float) and horizon.is_integer():
        return {**body, "horizon_hours": int(horizon)}
    return body


def _ask(given: Any, symbol: str, request_id: str) -> Ask:
    return Ask(
        symbol.upper(),
        horizon=given.horizon_hours,
        level=given.level,
        as_of=None if given.as_of is None else _instant(given.as_of, "as_of"),
        allow_stale=given.allow_stale,
        explain=given.explain,
        request_id=request_id,
    )


def _instant(value: int | str, field: str) -> int:
    if isinstance(value, int):
        return value
    try:
        found = parse_instant(value)
    except (ConfigError, OverflowError) as error:
        raise invalid(field, f"must be unix seconds or ISO 8601: {error}") from error
    if not 0 <= found <= LAST_SECOND:
        raise invalid(field, "must lie between the years 1970 and 9999")
    return found


def _bars(given: list[Bar], symbol: str, quote: str) -> Bars:
    rows = [(bar.open, bar.high, bar.low, bar.close, bar.volume_base, _quoted(bar)) for bar in given]
    table = np.array(rows, dtype=np.float64)
    return bars_module.make(
        [_instant(bar.time, f"bars[{i}].time") for i, bar in enumerate(given)], table[:, :4],
        volume_base=table[:, 4], volume_quote=table[:, 5], symbol=symbol, quote=quote, source=CALLER, fetched_at=0,
    )  # fmt: skip


def _quoted(bar: Bar) -> float:
    return math.nan if bar.volume_quote is UNSET else bar.volume_quote
