"""The API's state: what it answers from, opened at the first request and put in place by tests."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from chalicelib import lines
from chalicelib.access import Access, open_access
from chalicelib.problems import Problem

from cryptovol import settings as settings_module
from cryptovol.adapters.telemetry import logger
from cryptovol.errors import ConfigError
from cryptovol.ports import Clock, Meter, Store
from cryptovol.stages.predict import Forecaster
from cryptovol.wiring import Ports, open_ports

if TYPE_CHECKING:
    from aws_lambda_powertools import Logger

    from cryptovol.params import Params
    from cryptovol.settings import Settings

OPEN_WARNING = (
    "THE API IS OPEN: no key is asked for; set CRYPTOVOL_API_KEY_SHA256 anywhere but on your own machine "
    "(`cryptovol keys new` makes a key)"
)


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

    @cached_property
    def access(self) -> Access:
        """Who may call, and how often; raises `ConfigError` where the settings would leave AWS open."""
        return open_access(self.settings, failed=self._unread)

    def _unread(self, error: Exception) -> None:
        self.log.error("the secret of API keys cannot be read; keys held so far stay in force", error=str(error))


def open_service(ports: Ports) -> Service:
    """Return the service over ports; says loudly when no key protects it.

    Raises
    ------
    ConfigError
        If the settings describe no service, or one on AWS without keys.
    """
    log = logger("cryptovol-api")
    log.setLevel(ports.settings.log_level)
    forecaster = Forecaster(
        ports.store, market=ports.settings.market, params=ports.params, clock=ports.clock, meter=ports.meter,
        journal=ports.journal,
    )  # fmt: skip
    service = Service(ports.settings, ports.params, ports.store, ports.meter, ports.clock, forecaster, log)
    if service.access.open:
        lines.write(OPEN_WARNING, level="WARNING", least=ports.settings.log_level)
    return service


class _Current:
    """The process's one service; in an authorizer's process only what it needs of it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._service: Service | None = None
        self._access: Access | None = None

    def get(self) -> Service:
        service = self._service  # looked at again under the lock; once it is there nobody waits
        if service is not None:
            return service
        with self._lock:
            if self._service is None:
                self._service = open_service(open_ports(lean=True))
            return self._service

    def access(self) -> Access:
        with self._lock:
            if self._service is not None:
                return self._service.access
            if self._access is None:
                self._access = open_access(settings_module.load(os.environ), failed=_unread)
            return self._access

    def close(self) -> None:
        if self._service is not None:
            self._service.forecaster.close()

    def put(self, service: Service | None) -> None:
        with self._lock:
            self._service, self._access = service, None


def _unread(error: Exception) -> None:
    logger("cryptovol-authorizer").error("the secret of API keys cannot be read", error=str(error))


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


def current_access() -> Access:
    """Return who may call, without opening store or models where no request is answered.

    Raises
    ------
    ConfigError
        If the settings describe no access, or would leave AWS open.
    """
    return _CURRENT.access()


def install(service: Service | None) -> None:
    """Put a service in place of the environment's; None opens it anew."""
    _CURRENT.put(service)


def close() -> None:
    """Bring records of answers to the store before the process ends; nothing where no request was answered."""
    _CURRENT.close()
