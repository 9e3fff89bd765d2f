"""Errors as RFC 9457 problem documents with a stable `code`."""

from __future__ import annotations

import json
from typing import Any

from chalice.app import Response

from cryptovol.errors import (
    BarSchemaError,
    ConfigError,
    CryptovolError,
    DataError,
    FeatureMismatchError,
    FeatureValueError,
    NotEnoughBarsError,
    TransientError,
    UnknownSymbolError,
)

Headers = dict[str, str | list[str]]  # as Chalice types them

MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = "5"
TITLES = {
    400: "Malformed request", 401: "No valid API key", 403: "Forbidden", 404: "Not found", 405: "Method not allowed",
    413: "Body too large", 415: "Unsupported media type", 422: "Invalid request", 500: "Internal error",
    503: "Not available now",
}  # fmt: skip
# Chalice's own refusals, by status.
CODES = {400: "malformed", 403: "forbidden", 404: "not_found", 405: "method_not_allowed", 415: "unsupported_media_type"}


class Problem(Exception):
    """An answer that is not the one asked for.

    Parameters
    ----------
    status, code
        HTTP status and the stable name of the fault.
    detail
        One sentence: what, where, and the cure.
    headers
        For instance ``Retry-After``.
    more
        Further members of the document, for instance ``missing``.
    """

    def __init__(self, status: int, code: str, detail: str, *, headers: Headers | None = None, **more: Any) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.headers = headers or {}
        self.more = more

    def response(self, request_id: str) -> Response:
        """Return the problem document."""
        body = {
            "type": f"urn:cryptovol:problem:{self.code}",
            "title": TITLES.get(self.status, "Error"),
            "status": self.status,
            "detail": str(self),
            "code": self.code,
            "request_id": request_id,
            **self.more,
        }
        headers: Headers = {"Content-Type": MEDIA_TYPE, **self.headers}
        return Response(json.dumps(body, allow_nan=False), headers=headers, status_code=self.status)


def from_error(error: CryptovolError, *, callers_data: bool) -> Problem:
    """Return the problem that a deliberate error is to an HTTP caller.

    Parameters
    ----------
    callers_data
        Whether the bars or features were the caller's own: then faults of data are the caller's, else ours.
    """
    if isinstance(error, FeatureMismatchError):
        return Problem(422, error.code, str(error), missing=error.missing, unexpected=error.unexpected[:50])
    if isinstance(error, UnknownSymbolError):
        return Problem(404, error.code, str(error))
    if isinstance(error, ConfigError):
        return Problem(422, "invalid_value", str(error))
    if callers_data and isinstance(error, FeatureValueError):
        return Problem(422, error.code, str(error), features=error.features)
    if callers_data and isinstance(error, BarSchemaError):
        return Problem(422, error.code, str(error))
    if callers_data and isinstance(error, NotEnoughBarsError):
        return Problem(422, error.code, str(error), needed=error.needed, found=error.found)
    retry: Headers = {"Retry-After": RETRY_SECONDS} if isinstance(error, TransientError | DataError) else {}
    return Problem(503, error.code, str(error), headers=retry)


def from_chalice(response: Response, request_id: str) -> Response:
    """Return a framework's own error answer as a problem document with its status and headers."""
    message = response.body.get("Message", "") if isinstance(response.body, dict) else ""
    code = CODES.get(response.status_code, "internal")
    kept = {name: value for name, value in response.headers.items() if name.lower() == "allow"}
    return Problem(response.status_code, code, str(message) or "the request failed", headers=kept).response(request_id)
