"""What the routes answer: forecasts, health, model card, metrics."""

from __future__ import annotations

import binascii
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from chalice.app import Request as HttpRequest
from chalice.app import Response
from chalicelib import bodies, decoding
from chalicelib.problems import Headers, Problem, from_error, told
from chalicelib.serve import request_id
from chalicelib.service import Service

from cryptovol import card, card_text, keys, ledger, tables
from cryptovol.errors import (
    CryptovolError,
    KeyNotFoundError,
    LedgerBrokenError,
    NotEnoughBarsError,
    StoreUnavailableError,
)
from cryptovol.forecasts import Ask, Forecast
from cryptovol.serving import Served
from cryptovol.times import HOUR, format_instant

CACHE_SECONDS = 15
JSON = decoding.JSON
MARKDOWN = "text/markdown"


def answer(body: Any, headers: Headers | None = None, *, status: int = 200) -> Response:
    """Return a JSON answer, encoded at once: Chalice's own encoder takes nine times as long."""
    text = msgspec.json.encode(body, enc_hook=_plain).decode()
    return Response(text, headers={"Content-Type": JSON, **(headers or {})}, status_code=status)


def _plain(value: Any) -> Any:
    """Return the Python number in one of numpy's."""
    return value.item()


def predict(service: Service, event: HttpRequest) -> Response:
    """Return the forecast that the body asks for."""
    params, own = service.params, request_id(event)
    decoding.check_headers(event.headers)
    body = decoding.decode(_raw(event))
    asked = bodies.request(body, symbols=params.symbols, quote=params.quote, request_id=own)
    try:
        return answer(_forecast(service, asked))
    except CryptovolError as error:
        raise _told(error, asked) from error


def _told(error: CryptovolError, asked: bodies.Request) -> Problem:
    """Return the problem; a look back to where there are too few bars is the caller's choice, not our fault."""
    chosen = asked.ask.as_of is not None and isinstance(error, NotEnoughBarsError)
    return from_error(error, callers_data=asked.callers_data or chosen)


def _raw(event: HttpRequest) -> bytes:
    """Return the body's bytes, however the gateway wrapped them."""
    try:
        raw = event.raw_body
    except (UnicodeEncodeError, binascii.Error):
        raise decoding.malformed("the gateway's wrapping of it cannot be undone") from None
    return raw if isinstance(raw, bytes) else raw.encode()


def _forecast(service: Service, asked: bodies.Request) -> Forecast:
    if asked.bars is not None:
        return service.forecaster.of_bars(asked.ask, asked.bars)
    if asked.instances is not None:
        return service.forecaster.of_features(asked.ask, asked.instances)
    if asked.features is not None:
        return _only(service.forecaster.of_features(asked.ask, [asked.features]))
    return service.forecaster.stored(asked.ask)


def _only(batch: Forecast) -> Forecast:
    """Return a batch of one as a single forecast."""
    (prediction,) = batch["predictions"]
    return {**{name: value for name, value in batch.items() if name != "predictions"}, **prediction}


def forecast(service: Service, event: HttpRequest, symbol: str) -> Response:
    """Return the forecast from stored bars, or 304 where the caller has it already."""
    asked = bodies.from_query(symbol, _query(event), request_id=request_id(event))
    try:
        body = service.forecaster.stored(asked.ask)
    except CryptovolError as error:
        raise _told(error, asked) from error
    lasting = {name: value for name, value in body.items() if name not in ("request_id", "data_age_seconds")}
    # Weak: the age of the data and the request's id differ from answer to answer.
    etag = f'W/"{tables.sha256(msgspec.json.encode(lasting, enc_hook=_plain))[:20]}"'
    headers: Headers = {"ETag": etag, "Cache-Control": f"private, max-age={CACHE_SECONDS}"}
    held = [tag.strip() for tag in event.headers.get("if-none-match", "").split(",")]
    if etag in held or "*" in held:
        return Response("", headers=headers, status_code=304)
    return answer(body, headers)


def _query(event: HttpRequest) -> dict[str, list[str]]:
    return dict(event.to_original_event().get("multiValueQueryStringParameters") or {})


def model(service: Service, event: HttpRequest) -> Response:
    """Return the card of the champion that serves a symbol and horizon, as JSON or, where it is preferred, Markdown."""
    ask = bodies.card_query(_query(event), default=service.params.symbols[0], request_id=request_id(event))
    served = service.forecaster.served(ask)
    found, champion, header = served.bundle, served.champion, served.bundle.header
    decision = _decision(service, served)
    made = card.build(
        header, found.scores, bundle_sha256=found.sha256, lineage=decision.get("lineage", {}),
        decision=decision, version=champion.version,
    )  # fmt: skip
    headers: Headers = {"Vary": "Accept"}
    if _prefers_markdown(event.headers.get("accept", "")):
        kind: Headers = {"Content-Type": f"{MARKDOWN}; charset=utf-8"}
        return Response(card_text.markdown(made), headers={**headers, **kind})
    more = {"header": dict(header), "levels": list(found.levels), "refused": served.refused or None}
    return answer({**made, **more, "scores": {**found.scores, **made["scores"]}}, headers)


def _decision(service: Service, served: Served) -> Mapping[str, Any]:
    """Return the ledger's entry that made the champion; nothing where it cannot be read: the card does without."""
    header, champion = served.bundle.header, served.champion
    pair = keys.series(header["symbol"], header["quote"])
    try:
        entry = ledger.one(service.store, header["market"], pair, served.bundle.horizon, champion.entry)
    except (StoreUnavailableError, LedgerBrokenError):
        return {}
    return entry.body if entry else {}


def _prefers_markdown(accept: str) -> bool:
    """Return whether an ``Accept`` header names Markdown, and JSON, itself or by a pattern, with no more weight."""
    weights = {"": 0.0}
    for part in accept.lower().split(","):
        kind, *options = (text.strip() for text in part.split(";"))
        given = next((text[2:] for text in options if text.startswith("q=")), "1")
        weights[kind] = float(given) if re.fullmatch(r"[01](\.\d{0,3})?", given) else 0.0
    json_weight = max(weights.get(kind, 0.0) for kind in ("application/json", "application/*"))
    return weights.get(MARKDOWN, 0.0) > 0 and weights[MARKDOWN] >= json_weight


def _identity(served: Served) -> dict[str, Any]:
    champion = served.champion
    return {
        "name": champion.name,
        "version": champion.version,
        "trained_at": champion.trained_at,
        "bundle_sha256": served.bundle.sha256,
    }


def health(service: Service) -> Response:
    """Return what serves and how old it is; 503 when nothing can be forecast.

    Old data alone is no 503: another instance would have no newer, and a caller may allow it.
    """
    series = [_series(service, Ask(s, horizon=h)) for s in service.params.symbols for h in service.forecaster.horizons]
    store = "unreachable" if service.forecaster.store_fault else "ok"
    able = any("model" in one and "as_of" in one for one in series)
    good = store == "ok" and all("code" not in one and not one["stale"] and not one["refused"] for one in series)
    status = "ok" if good else "degraded" if able else "unready"
    body = {"status": status, "market": service.settings.market, "store": store, "series": series}
    return answer(body, status=200 if able else 503)


def _series(service: Service, ask: Ask) -> dict[str, Any]:
    found: dict[str, Any] = {"symbol": ask.symbol, "horizon_hours": ask.horizon}
    try:
        served = service.forecaster.served(ask)
        found |= {"model": _identity(served), "refused": served.refused or None}
        known = service.forecaster.moment(ask)
    except CryptovolError as error:
        return {**found, "code": from_error(error, callers_data=False).code, "detail": told(error)}
    age = service.clock() - known.as_of
    stale = age > service.params.predict.freshness_hours * HOUR
    return {**found, "as_of": format_instant(known.as_of), "data_age_seconds": age, "stale": stale}


def metrics(service: Service, event: HttpRequest) -> Response:
    """Return the sidecar's committed series, as its own ``/metrics`` does."""
    from cryptovol.sidecar import exposition

    state: Path | None = service.settings.metrics_state
    if state is None or not state.exists():
        raise Problem(
            404, "no_metrics_here", "this process keeps no metrics; scrape the metrics sidecar (`cryptovol sidecar`)"
        )
    body, content_type = exposition.render(state, event.headers.get("accept", ""))
    return Response(body.decode(), headers={"Content-Type": content_type})


def contract() -> Response:
    """Return the OpenAPI document; what makes it is loaded with the first request for it."""
    from chalicelib import openapi

    return Response(openapi.encoded().decode(), headers={"Content-Type": JSON})


def scoreboard(service: Service, symbol: str) -> Response:
    """Return the newest scoreboard of a symbol.

    Raises
    ------
    Problem
        404 if there is none yet, 503 if what is stored is no scoreboard.
    """
    pair = keys.series(bodies.name(symbol), service.params.quote)
    try:
        stored = service.store.get(keys.scoreboard(service.settings.market, pair))
    except KeyNotFoundError as error:
        raise Problem(404, "no_scoreboard", f"{pair} has no scoreboard yet; the score stage writes it") from error
    try:
        return answer(msgspec.json.decode(stored.data, type=dict[str, Any]))
    except (msgspec.DecodeError, ValueError) as error:
        raise Problem(503, "data", f"the scoreboard of {pair} cannot be read; run the score stage again") from error
