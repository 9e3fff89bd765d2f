"""``GET /history/{symbol}``: forecasts of past hours beside what came, for the page's chart and for anyone's own."""

from __future__ import annotations

import json
from typing import Any, Literal

import msgspec
from chalice.app import Request as HttpRequest
from chalice.app import Response
from chalicelib import bodies
from chalicelib.problems import Headers, Problem
from chalicelib.service import Service

from cryptovol import keys, record, tables
from cryptovol.errors import DataError, KeyNotFoundError
from cryptovol.forecasts import Ask
from cryptovol.serving import Served
from cryptovol.times import HOUR, format_instant, parse_instant

RECENT = 24  # newest entries of the log that are read one by one, after those that the score stage has gathered
NOTES = {
    record.LIVE: "The forecast that was served first at its hour, from the prediction log.",
    record.HELD_OUT: "Forecast at training by fits on earlier hours only; the model that serves has since been fitted on"
    " these hours, and the width of its intervals was set on them.",
}


class HistoryPoint(msgspec.Struct):
    """One hour: what was forecast at `as_of` for the hours after it, and what came. Volatilities are per hour."""

    as_of: str
    kind: Literal["live", "held-out"]
    forecast: float
    lower: float | None
    upper: float | None
    realized: float | None
    har: float | None


class History(msgspec.Struct):
    """The newest days, oldest hour first; hours without a forecast are left out.

    `scored_as_of` is when served forecasts last met what was realized, null where they never did. `notes` says what
    each kind of point is.
    """

    symbol: str
    horizon_hours: int
    market: str
    model: str
    level: float
    days: int
    scored_as_of: str | None
    live: int
    held_out: int
    notes: dict[str, str]
    points: list[HistoryPoint]


def view(service: Service, event: HttpRequest, symbol: str) -> Response:
    """Return the history of one symbol and horizon, or 304 where the caller has it already."""
    query = dict(event.to_original_event().get("multiValueQueryStringParameters") or {})
    ask, days = bodies.history_query(symbol, query, request_id="")
    try:
        body = msgspec.json.encode(_history(service, ask, days))
    except (ValueError, LookupError, TypeError, AttributeError) as error:  # what is stored is not what was written
        detail = f"past forecasts of {ask.symbol} cannot be read; run the score stage again"
        raise Problem(503, "data", detail) from error
    etag = f'"{tables.sha256(body)[:20]}"'
    headers: Headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
    held = [tag.strip().removeprefix("W/") for tag in event.headers.get("if-none-match", "").split(",")]
    if etag in held or "*" in held:
        return Response("", headers=headers, status_code=304)
    return Response(body.decode(), headers={**headers, "Content-Type": "application/json"})


def _history(service: Service, ask: Ask, days: int) -> History:
    served = service.forecaster.served(ask)
    level = service.params.predict.level
    scored = _scored(service, ask, served)
    recent = record.live(_recent(service, ask, served, after=scored.get("as_of", format_instant(0))), {}, level=level)
    live = [*scored.get("points", []), *recent]
    points = record.joined(record.held_out(served.bundle, level=level), live, hours=24 * days)
    if not points:
        raise Problem(404, "no_history", f"{ask.symbol} has no forecasts of past hours yet; run the pipeline once")
    made = [HistoryPoint(**{**point, "as_of": format_instant(point["as_of"])}) for point in points]
    count = sum(point.kind == record.LIVE for point in made)
    return History(
        symbol=ask.symbol,
        horizon_hours=served.bundle.horizon,
        market=service.settings.market,
        model=served.champion.name,
        level=level,
        days=days,
        scored_as_of=scored.get("as_of"),
        live=count,
        held_out=len(made) - count,
        notes=NOTES,
        points=made,
    )


def _scored(service: Service, ask: Ask, served: Served) -> dict[str, Any]:
    """Return what the score stage left of the prediction log; nothing where it never ran."""
    pair = keys.series(ask.symbol, service.params.quote)
    try:
        stored = service.store.get(keys.live(service.settings.market, pair, served.bundle.horizon))
    except KeyNotFoundError:
        return {}
    return dict(json.loads(stored.data))


def _recent(service: Service, ask: Ask, served: Served, *, after: str) -> list[dict[str, Any]]:
    """Return the newest log entries after an instant; what came is not known of them."""
    try:
        newest = service.forecaster.moment(ask).as_of
    except DataError:
        return []
    pair = keys.series(ask.symbol, service.params.quote)
    prefix = keys.predictions(service.settings.market, pair, served.bundle.horizon)
    first = prefix + keys.compact(format_instant(max(newest - RECENT * HOUR, parse_instant(after)))) + "~"
    days = sorted({format_instant(newest - hours * HOUR)[:10].replace("-", "") for hours in (RECENT, 0)})
    found = [key for day in days for key in service.store.keys(prefix + day) if key > first]
    return [json.loads(service.store.get(key).data) for key in found[-RECENT:]]
