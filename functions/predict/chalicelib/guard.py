"""What API Gateway is told when the app is packaged: whom to ask about keys, and which origin's pages may call."""

from __future__ import annotations

from collections.abc import Mapping

from chalice.app import AuthRequest, AuthResponse, Chalice, ChaliceAuthorizer, CORSConfig
from chalicelib.access import HEADER, authorized
from chalicelib.headers import CORS_READS, CORS_SENDS
from chalicelib.service import current_access

from cryptovol import settings
from cryptovol.errors import ConfigError

TTL_SECONDS = 300  # for how long API Gateway remembers an answer about a key; the app itself asks at every request
PREFLIGHT_SECONDS = 600
UNDECIDED = "undecided"  # whom only the app can judge


def authorizer(app: Chalice, environ: Mapping[str, str]) -> ChaliceAuthorizer | None:
    """Register API Gateway's authorizer and return it for the routes that ask for a key.

    None where no real API Gateway stands before the app: Chalice's local gateway looks for a token in the header
    ``authorization`` alone and would refuse every caller. There the app's own question is the one that counts.
    """
    if not settings.on_aws(environ):
        return None
    decorate = app.authorizer(ttl_seconds=TTL_SECONDS, header=HEADER)
    found: ChaliceAuthorizer = decorate(authorize)
    return found


def authorize(request: AuthRequest) -> AuthResponse:
    """Let a caller with a valid key through to every route, or raise what API Gateway answers with 401.

    All routes, because API Gateway keeps the answer for the key, not for the route. Settings that describe no access
    are the app's to tell: it refuses every request, and says what to set.
    """
    try:
        name = authorized(current_access(), request.token)
    except ConfigError:
        name = ""
    return AuthResponse(routes=["*"], principal_id=name or UNDECIDED)


def preflight(environ: Mapping[str, str]) -> CORSConfig | bool:
    """Return what a browser's preflight is answered with; False, and no answer, where no other origin is let in."""
    try:
        origin = settings.load(environ).cors_origin
    except ConfigError:
        return False  # every request is answered with what is wrong
    if not origin:
        return False
    return CORSConfig(
        allow_origin=origin, allow_headers=CORS_SENDS, expose_headers=CORS_READS, max_age=PREFLIGHT_SECONDS
    )
