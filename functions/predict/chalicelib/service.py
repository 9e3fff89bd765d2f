"""The API's state: what it answers from, opened at the first request and put in place by tests."""

from __future__ import annotations

import hashlib
import hmac
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chalicelib.problems import Problem

from cryptovol.adapters.telemetry import logger
from cryptovol.errors import ConfigError
from cryptovol.ports import Clock, Meter, Store
from cryptovol.stages.predict import Forecaster
from cryptovol.wiring import Ports, open_ports

if TYPE_CHECKING:
    from aws_lambda_powertools import Logger

    from cryptovol.params import Params
    from cryptovol.settings import Settings


@dataclass(frozen=True)
class Service:
    """Everything a route needs."""

    settings: Settings
    params: Params
    store: Store
    meter: Meter
    clock: Clock
    forecaster: Forecaster
    log: Logger

    def admits(self, key: str) -> bool:
        """Return whether an ``x-api-key`` opens the API; every accepted digest is compared, in constant time."""
        if not self.settings.api_keys:
            return True
        digest = hashlib.sha256(key.encode(errors="replace")).hexdigest()
        matches = [hmac.compare_digest(digest, accepted) for accepted in self.settings.api_keys]
        return any(matches)


def open_service(ports: Ports) -> Service:
    """Return the service over ports; says loudly when no key protects it."""
    log = logger("cryptovol-api")
    if not ports.settings.api_keys:
        log.warning(
            "THE API IS OPEN: no key is asked for; set CRYPTOVOL_API_KEY_SHA256 anywhere but on your own machine"
        )
    forecaster = Forecaster(
        ports.store, market=ports.settings.market, params=ports.params, clock=ports.clock, meter=ports.meter
    )
    return Service(ports.settings, ports.params, ports.store, ports.meter, ports.clock, forecaster, log)


class _Current:
    """The process's one service."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._service: Service | None = None

    def get(self) -> Service:
        with self._lock:
            if self._service is None:
                self._service = open_service(open_ports())
            return self._service

    def put(self, service: Service | None) -> None:
        with self._lock:
            self._service = service


_CURRENT = _Current()


def current() -> Service:
    """Return the service, opening it from the environment at the first call.

    Raises
    ------
    Problem
        503 if the environment does not describe one.
    """
    try:
        return _CURRENT.get()
    except ConfigError as error:
        raise Problem(503, error.code, str(error)) from error


def install(service: Service | None) -> None:
    """Put a service in place of the environment's; None opens it anew."""
    _CURRENT.put(service)
