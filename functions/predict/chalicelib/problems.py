"""Errors as RFC 9457 problem documents with a stable `code`."""

from __future__ import annotations

import json
from typing import Any

from chalice.app import Response
from chalicelib.codes import CODES

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
TEXT = 64  # longest text of a caller's that is repeated in a problem document
DETAIL = 500  # longest detail
MARKUP = str.maketrans({sign: f"\\u{ord(sign):04x}" for sign in "<>&"})  # in JSON they stand in texts alone
# The framework's and the gateway's own refusals, by status.
BY_STATUS = {
    400: "malformed", 401: "unauthorized", 403: "forbidden", 404: "not_found", 405: "method_not_allowed", 408: "timeout",
    411: "length_required", 413: "body_too_large", 415: "unsupported_media_type", 429: "rate_limited",
    431: "header_too_large",
}  # fmt: skip


class Problem(Exception):
    """An answer that is not the one asked for.

    Parameters
    ----------
    status, code
        HTTP status and the stable name of the fault; `codes.CODES` has the ones there are.
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

    def document(self, request_id: str) -> dict[str, Any]:
        """Return the members of the problem document."""
        return {
            "type": f"urn:cryptovol:problem:{self.code}",
            "title": CODES[self.code].title if self.code in CODES else "Error",
            "status": self.status,
            "detail": clipped(str(self), DETAIL),
            "code": self.code,
            "request_id": request_id,
            **self.more,
        }

    def response(self, request_id: str) -> Response:
        """Return the problem document as an answer.

        It may repeat what a caller sent, so every character outside ASCII and every sign of HTML is escaped.
        """
        headers: Headers = {"Content-Type": MEDIA_TYPE, **self.headers}
        body = json.dumps(self.document(request_id), allow_nan=False).translate(MARKUP)
        return Response(body, headers=headers, status_code=self.status)


def clipped(text: str, length: int = TEXT) -> str:
    """Return the beginning of a text, marked where it was longer."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


def from_error(error: CryptovolError, *, callers_data: bool) -> Problem:
    """Return the problem that a deliberate error is to an HTTP caller.

    Parameters
    ----------
    callers_data
        Whether the bars or features were the caller's own: then faults of data are the caller's, else ours.
    """
    if isinstance(error, FeatureMismatchError):
        surplus = [clipped(name) for name in error.unexpected[:50]]
        return Problem(422, error.code, str(error), missing=error.missing, unexpected=surplus)
    if isinstance(error, UnknownSymbolError):
        return Problem(404, error.code, str(error))
    if type(error) is ConfigError:
        return Problem(422, "invalid_value", str(error))
    if callers_data and isinstance(error, FeatureValueError):
        return Problem(422, error.code, str(error), features=error.features)
    if callers_data and isinstance(error, BarSchemaError):
        return Problem(422, error.code, str(error))
    if callers_data and isinstance(error, NotEnoughBarsError):
        return Problem(422, error.code, str(error), needed=error.needed, found=error.found)
    retry: Headers = {"Retry-After": RETRY_SECONDS} if isinstance(error, TransientError | DataError) else {}
    return Problem(503, _public(error), told(error), headers=retry)


def told(error: CryptovolError) -> str:
    """Return what a caller may know of a fault of ours: not where a store is that fails, nor what it answered."""
    return CODES[_public(error)].when if isinstance(error, TransientError) else str(error)


def _public(error: CryptovolError) -> str:
    """Return the error's code, or that of the nearest kind above it that callers are told about."""
    codes = (str(getattr(kind, "code", "")) for kind in type(error).__mro__)
    return next((code for code in codes if code in CODES and 503 in CODES[code].statuses), "error")


def from_chalice(response: Response, request_id: str) -> Response:
    """Return a framework's own error answer as a problem document with its status and its ``Allow``.

    Its text is left out: it repeats what the caller sent.
    """
    code = BY_STATUS.get(response.status_code, "internal")
    kept = {name: value for name, value in response.headers.items() if name.lower() == "allow"}
    told = CODES[code]
    return Problem(response.status_code, code, f"{told.when} {told.cure}", headers=kept).response(request_id)
