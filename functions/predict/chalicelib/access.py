"""Who may call: the one place that decides, for API Gateway's authorizer and for every request that reaches the app.

The app asks here at every request, whatever stood before it; the authorizer asks here too, so that on AWS a call without
a valid key ends before the function is started. A caller is a key's name or, where no key is asked for, an address.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from chalicelib.limits import Limiter
from chalicelib.problems import RETRY_SECONDS, Problem

from cryptovol.errors import ConfigError, TransientError
from cryptovol.keyring import Keyring

if TYPE_CHECKING:
    from cryptovol.settings import Settings

HEADER = "x-api-key"
OPEN = frozenset({"/", "/health", "/metrics", "/openapi.json"})  # routes that ask for no key and have no limit
RATE_PER_MINUTE = 600  # of one key, where nothing is set
BURST_SECONDS = 6  # a burst is so many seconds' worth of the rate, where nothing is set
NO_KEYS = (
    "CRYPTOVOL_CLOUD=aws and no API key is set: an open API is for your own machine. Cure: `cryptovol keys new`, then "
    "set CRYPTOVOL_API_KEY_SHA256 to the digest, or CRYPTOVOL_API_KEYS_SECRET to a secret that holds it"
)


class Access:
    """Keys and rates of one process. Safe under threads.

    Parameters
    ----------
    keyring
        The keys in force.
    limiter
        How often one caller may ask; None is no limit.
    """

    def __init__(self, keyring: Keyring, limiter: Limiter | None) -> None:
        self._keyring = keyring
        self._limiter = limiter

    @property
    def open(self) -> bool:
        """Whether no key is asked for."""
        return not self._keyring.required

    def admit(self, path: str, key: str | None, address: str) -> str:
        """Return the caller's name if the request may be answered; open routes have none.

        Parameters
        ----------
        path
            The route's template.
        key
            What came in ``x-api-key``.
        address
            Where the request came from, as the gateway tells.

        Raises
        ------
        Problem
            401 without a valid key, 429 over the rate, 503 while the keys cannot be read.
        """
        if path in OPEN:
            return ""
        caller = address if self.open else self.identify(key)
        wait = 0 if self._limiter is None else self._limiter.wait(caller)
        if wait:
            detail = f"too many requests; ask again in {wait} s"
            raise Problem(429, "rate_limited", detail, headers={"Retry-After": str(wait)})
        return caller

    def identify(self, key: str | None) -> str:
        """Return the name of a key; an absent one is refused like a wrong one, and both look alike.

        Raises
        ------
        Problem
            401 if it is no key of ours, 503 while the keys cannot be read.
        """
        try:
            name = self._keyring.owner(key) if key else None
        except TransientError as error:
            detail = "the API keys cannot be checked now"
            raise Problem(503, "keys_unavailable", detail, headers={"Retry-After": RETRY_SECONDS}) from error
        if name is None:
            detail = f"send a valid key in the header {HEADER}"
            raise Problem(401, "unauthorized", detail, headers={"WWW-Authenticate": "ApiKey"})
        return name


class Unauthorized(Exception):
    """What API Gateway turns into 401: an authorizer's error whose message is this very word."""

    def __init__(self) -> None:
        super().__init__("Unauthorized")


def authorized(access: Access, key: str | None) -> str:
    """Return whom the authorizer lets through: the key's name, or nobody's where only the app can say why not.

    Keys that cannot be read are no wrong key. API Gateway knows no 503 here, so such a call goes on to the app, which
    asks again, and answers it.

    Raises
    ------
    Unauthorized
        If the key is wrong.
    """
    try:
        return "" if access.open else access.identify(key)
    except Problem as problem:
        if problem.status == 401:
            raise Unauthorized from None
        return ""


def open_access(
    settings: Settings,
    *,
    failed: Callable[[Exception], None],
    reader: Callable[[str], Callable[[], str]] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Access:
    """Return the access that the settings describe.

    Parameters
    ----------
    failed
        Told of every failure to read the secret.
    reader
        Returns, for a secret's id, what fetches it; None is AWS Secrets Manager.

    Raises
    ------
    ConfigError
        If real AWS is meant and no key is set.
    """
    fetch = (reader or _secret_reader)(settings.api_keys_secret) if settings.api_keys_secret else None
    keyring = Keyring(settings.api_keys, fetch, clock=clock, failed=failed)
    if settings.on_aws and not keyring.required:
        raise ConfigError(NO_KEYS)
    return Access(keyring, _limiter(settings, keyed=keyring.required))


def _secret_reader(secret_id: str) -> Callable[[], str]:
    from cryptovol.adapters.secrets import reader

    return reader(secret_id)


def _limiter(settings: Settings, *, keyed: bool) -> Limiter | None:
    """Return the limiter; an open API, which is a process on somebody's own machine, has one only if it is set."""
    rate = settings.rate_per_minute
    if rate is None:
        rate = RATE_PER_MINUTE if keyed else 0
    if not rate:
        return None
    return Limiter(rate, settings.rate_burst or max(1, math.ceil(rate * BURST_SECONDS / 60)))


def address(event: Mapping[str, Any]) -> str:
    """Return where a Lambda proxy event came from; API Gateway tells it, and nothing that a caller sends is believed."""
    identity = event.get("requestContext", {}).get("identity", {})
    return str(identity.get("sourceIp", ""))
