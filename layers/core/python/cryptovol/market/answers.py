"""From a request to the bytes of its answer, step by step through a shape; a fault that hits spoils some steps."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from cryptovol.errors import UnknownSymbolError
from cryptovol.market.hits import Fault, Hit
from cryptovol.market.markets import Market
from cryptovol.market.pages import page
from cryptovol.market.shapes.coindesk import KEY_REQUIRED
from cryptovol.market.shapes.shape import Answer, Moment, Refused, Request, Shape
from cryptovol.market.wires import Reply

JSON = {"Content-Type": "application/json; charset=UTF-8"}
FAULTLESS = Fault("", "")


def answered(market: Market, shape: Shape, request: Request, clock: int, *, hit: Hit | None, key: str) -> Reply:
    """Return the answer to a request.

    Parameters
    ----------
    clock
        Unix seconds.
    hit
        How a fault hits this request, or None.
    key
        What a venue with keys wants to see, in the header or as ``api_key``; empty if it wants none.
    """
    if shape.keyed and key and key not in (_header_key(request), request.query.get("api_key")):
        return written(KEY_REQUIRED)
    if not shape.serves(request.path):
        return written(shape.elsewhere(request.path))
    return _bars(market, shape, request, clock, hit)


def written(answer: Answer, *, nan: bool = False) -> Reply:
    """Return an answer as bytes of JSON; without `nan` a NaN in it is a `ValueError`."""
    data = json.dumps(answer.body, separators=(",", ":"), allow_nan=nan).encode()
    return Reply(answer.status, {**JSON, **answer.headers}, data)


def health(market: Market) -> Answer:
    """Return what the server says of itself."""
    origin = market.origin
    body: dict[str, Any] = {"status": "ok", "market": origin.market, "source": origin.source}
    return Answer(200, {**body, "symbols": market.symbols()})


def _header_key(request: Request) -> str:
    scheme, _, key = request.authorization.partition(" ")
    return key if scheme == "Apikey" else ""


def _bars(market: Market, shape: Shape, request: Request, clock: int, hit: Hit | None) -> Reply:
    fault = hit.fault if hit else FAULTLESS
    try:
        asked = shape.asked(request, fault.moment(Moment(clock, market.now())))
    except Refused as refused:
        return written(refused.answer)
    try:
        bars = market.bars(asked.symbol, asked.quote)
    except UnknownSymbolError:
        return written(shape.unknown(asked, market))
    told = page(bars, asked)
    if hit:
        told = fault.bars(told, replace(hit, pair=(asked.symbol, asked.quote)))
        asked = fault.named(asked)
    rows = fault.rows(shape.rows(told, asked), shape.close)
    return written(Answer(200, shape.body(rows, asked)), nan=hit is not None)
