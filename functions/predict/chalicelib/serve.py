"""Around every route: key, problem documents, headers, metrics and one log line per request."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import wraps
from typing import Any

from chalice.app import Request as HttpRequest
from chalice.app import Response
from chalicelib.problems import MEDIA_TYPE, Problem, from_chalice, from_error
from chalicelib.service import Service, current

from cryptovol.errors import CryptovolError

OPEN = {"/", "/health", "/metrics", "/openapi.json"}  # routes that ask for no key
# Routes that are not counted: scrapes and start-up probes would change what is scraped.
QUIET = {"/health", "/metrics", "/openapi.json"}
View = Callable[..., Any]
METHODS = {"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"}
HEADERS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}


def request_id(event: HttpRequest) -> str:
    """Return the id Lambda, or its local stand-in, gave the request."""
    return str(getattr(event.lambda_context, "aws_request_id", ""))


def observed(event: HttpRequest, get_response: Callable[[HttpRequest], Response]) -> Response:
    """Answer one request: ask for the key, let the route answer, count and log what came of it."""
    started = time.perf_counter()
    own = request_id(event)
    try:
        service = current()
        response = _admitted(service, event, get_response)
    except Problem as problem:
        return _finished(problem.response(own), own)
    response = _finished(response, own)
    if event.path not in QUIET:
        _record(service, event, response.status_code, time.perf_counter() - started)
    return response


def _admitted(service: Service, event: HttpRequest, get_response: Callable[[HttpRequest], Response]) -> Response:
    if event.path not in OPEN and not service.admits(event.headers.get("x-api-key", "")):
        refused = Problem(
            401, "unauthorized", "send a valid key in the header x-api-key", headers={"WWW-Authenticate": "ApiKey"}
        )
        return refused.response(request_id(event))
    return get_response(event)


def _finished(response: Response, own: str) -> Response:
    kind = response.headers.get("Content-Type", "")
    if (
        response.status_code >= 400
        and kind != MEDIA_TYPE
        and isinstance(response.body, dict)
        and "Code" in response.body
    ):
        response = from_chalice(response, own)
    response.headers = {**HEADERS, **response.headers, "X-Request-Id": own}
    return response


def _record(service: Service, event: HttpRequest, status: int, seconds: float) -> None:
    method = event.method if event.method in METHODS else "OTHER"
    labels = {"endpoint": event.path, "method": method, "status": str(status)}
    service.meter.add("http_requests_total", 1, labels)
    service.meter.add("prediction_latency", seconds, {"endpoint": event.path})
    service.meter.flush()
    seen: dict[str, Any] = {**labels, "milliseconds": round(seconds * 1e3, 3)}
    service.log.info("request", request_id=request_id(event), **seen)


def answering(request: Callable[[], HttpRequest | None]) -> Callable[[View], Callable[..., Any]]:
    """Return a decorator for views: it hands them the request, and turns their errors into problem documents.

    Nothing unforeseen reaches the caller; it is logged with its trace.
    """

    def decorate(view: View) -> Callable[..., Any]:
        @wraps(view)
        def answered(**captured: str) -> Any:
            event = request()
            assert event is not None, "Chalice calls views with a request"
            try:
                return view(event, **captured)
            except Problem as problem:
                return problem.response(request_id(event))
            except CryptovolError as error:
                return from_error(error, callers_data=False).response(request_id(event))
            except Exception:
                current().log.exception("a route failed", request_id=request_id(event))
                return Problem(500, "internal", "an unforeseen error; it is logged").response(request_id(event))

        return answered

    return decorate
