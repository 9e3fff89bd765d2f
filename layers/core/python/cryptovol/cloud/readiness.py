"""When is a started process ready, and what does it say if it never is?"""

from __future__ import annotations

import time
import urllib.error
import urllib.request

from cryptovol.cloud.processes import POLL_SECONDS, Child, Spec
from cryptovol.errors import ConfigError, CryptovolError, DataError, TransientError


def wait_ready(child: Child, spec: Spec) -> None:
    """Return once the process answers on its readiness path.

    Raises
    ------
    TransientError
        If it dies or does not answer in time; the message ends with its last words.
    """
    if not spec.ready_path:
        return
    url = spec.url + spec.ready_path
    deadline = time.monotonic() + spec.ready_seconds
    while not answers(url):
        if not child.alive:
            raise _stillborn(child)
        if time.monotonic() > deadline:
            late = f"{spec.name} did not answer {url} within {spec.ready_seconds:g} s"
            raise TransientError(f"{late}; the end of {child.log}:\n{child.tail()}")
        time.sleep(POLL_SECONDS)


def _stillborn(child: Child) -> CryptovolError:
    """Return the error of a process that died while starting, of the kind its exit code tells.

    Our own commands explain themselves in their last line; a foreign program's whole ending is shown.
    """
    kinds = {1: DataError, 2: ConfigError}
    last = child.tail().splitlines()[-1]
    if child.exit_code in kinds and last.startswith("cryptovol "):
        return kinds[child.exit_code](last)
    return TransientError(f"{child.name} died while starting; the end of {child.log}:\n{child.tail()}")


def answers(url: str, *, timeout: float = 2.0) -> bool:
    """Return whether a loopback URL answers 200; proxies are never asked."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=timeout) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError, ValueError):
        return False
