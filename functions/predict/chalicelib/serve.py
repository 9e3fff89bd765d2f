"""Around every route: who may call, problem documents, headers, metrics and one log line per request."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from typing import Any

from chalice.app import Request as HttpRequest
from chalice.app import Response
from chalicelib import access, lines
from chalicelib.headers import secured
from chalicelib.problems import MEDIA_TYPE, Problem, from_chalice, from_error
from chalicelib.service import Service, current

from cryptovol import tracing
from cryptovol.errors import CryptovolError

# Routes that are not counted: scrapes and start-up probes would change what is scraped.
QUIET = {"/health", "/metrics", "/openapi.json"}
View = Callable[..., Any]
METHODS = {"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"}


def request_id(event: HttpRequest) -> str:
    """Return the id Lambda, or its local stand-in, gave the request."""
    return str(getattr(event.lambda_context, "aws_request_id", ""))


def observed(event: HttpRequest, get_response: Callable[[HttpRequest], Response]) -> Response:
    """Answer one request: ask who calls, let the route answer, count and log what came of it."""
    started = time.perf_counter()
    try:
        service = current()
    except Problem as problem:
        return _finished(problem.response(request_id(event)), event, "")
    caller = ""
    try:
        where = access.address(event.to_original_event())
        caller = service.access.admit(event.path, event.headers.get(access.HEADER), where)
        response = get_response(event)
    except Problem as problem:
        response = problem.response(request_id(event))
    response = _finished(response, event, service.settings.cors_origin)
    if event.path not in QUIET:
        _record(service, event, response.status_code, time.perf_counter() - started, caller)
    return response


def _finished(response: Response, event: HttpRequest, origin: str) -> Response:
    """Return the answer as it leaves: a framework's refusal as a problem document, every header in place."""
    own, body = request_id(event), response.body
    refused = response.status_code >= 400 and response.headers.get("Content-Type", "") != MEDIA_TYPE
    if refused and isinstance(body, dict) and "Code" in body:
        response = from_chalice(response, own)
    tls = event.headers.get("x-forwarded-proto", "") == "https"
    response.headers = secured({**response.headers, "X-Request-Id": own}, tls=tls, origin=origin)
    return response


def _record(service: Service, event: HttpRequest, status: int, seconds: float, caller: str) -> None:
    """Count the request and log one line; a full disk or a closed pipe there is no reason to lose the answer."""
    labels = {
        "endpoint": event.path,
        "method": event.method if event.method in METHODS else "OTHER",
        "status": str(status),
    }
    service.meter.add("http_requests_total", 1, labels)
    service.meter.add("prediction_latency", seconds, {"endpoint": event.path})
    with suppress(OSError):
        lines.write(
            least=service.settings.log_level, request_id=request_id(event), **labels,
            milliseconds=round(seconds * 1e3, 3), caller=caller, **tracing.fields(event.headers),
        )  # fmt: skip
        service.meter.flush()


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
                return _refused(problem, event)
            except CryptovolError as error:
                found = from_error(error, callers_data=False)
                found.__cause__ = error
                return _refused(found, event)
            except Exception:
                current().log.exception("a route failed", request_id=request_id(event))
                return Problem(500, "internal", "an unforeseen error; it is logged").response(request_id(event))

        return answered

    return decorate


def _refused(problem: Problem, event: HttpRequest) -> Response:
    """Return the problem document; what is wrong on our side, and no caller's business, goes to the log."""
    if problem.status >= 500 and problem.__cause__ is not None:
        current().log.warning(
            "a request could not be served", request_id=request_id(event), code=problem.code,
            reason=str(problem.__cause__),
        )  # fmt: skip
    return problem.response(request_id(event))
