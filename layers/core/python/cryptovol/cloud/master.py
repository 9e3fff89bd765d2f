"""Several processes behind one port: gunicorn's master, our worker.

The master only listens, forks and restarts; it loads neither the app nor a cloud client, so a child inherits no thread,
no open connection and no lock. That also keeps macOS content, which ends a forked child that uses its frameworks.
"""

from __future__ import annotations

import os
import socket
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]
from gunicorn.errors import HaltServer  # type: ignore[import-untyped]

from cryptovol.cloud.gateway import PROJECT, Asked, load
from cryptovol.cloud.lines import Lines
from cryptovol.cloud.wire import PATIENCE
from cryptovol.cloud.worker import Worker
from cryptovol.cloud.wsgi import Application
from cryptovol.errors import ConfigError

GRACE_SECONDS = 8  # `docker stop` gives ten
KEEPALIVE_SECONDS = 60
CONNECTIONS = 500  # of one worker; each may hold one body, 1 MB
STUCK_SECONDS = 30


@dataclass(frozen=True)
class Plan:
    """How to serve.

    Parameters
    ----------
    workers, threads
        Processes, and requests that each answers at a time.
    recycle
        Requests after which a worker is replaced, give or take a tenth; 0 for never.
    patience
        Seconds a client has to send a request, and to take the answer.
    """

    host: str
    port: int
    workers: int
    threads: int
    recycle: int = 0
    patience: float = PATIENCE
    project: Path = PROJECT


class Master(BaseApplication):  # type: ignore[misc]
    """The application as gunicorn asks for it: settings for the master, the app for each worker."""

    def __init__(self, plan: Plan, listener: socket.socket, ready: Callable[[], None]) -> None:
        self._plan = plan
        self._listener = listener
        self._ready = ready
        super().__init__()

    def load_config(self) -> None:
        """Set what differs from gunicorn's defaults; its files and environment variables are not read."""
        for name, value in self._settings().items():
            self.cfg.set(name, value)

    def _settings(self) -> dict[str, Any]:
        plan = self._plan
        return {
            "bind": [f"fd://{self._listener.fileno()}"],
            "workers": plan.workers,
            "threads": plan.threads,
            "worker_class": type("Worker", (Worker,), {"patience": plan.patience}),
            "worker_connections": CONNECTIONS,
            "worker_tmp_dir": _scratch(),
            "max_requests": plan.recycle,
            "max_requests_jitter": plan.recycle // 10,
            "timeout": STUCK_SECONDS,
            "graceful_timeout": GRACE_SECONDS,
            "keepalive": KEEPALIVE_SECONDS,
            "limit_request_line": 8190,
            # Nobody is believed about where a request comes from or how it was secured.
            "forwarded_allow_ips": "",
            "forwarder_headers": "",
            "control_socket_disable": True,
            "loglevel": "warning",
            "when_ready": lambda server: self._ready(),
            "post_worker_init": _warm,
            "worker_exit": _close,
        }

    def load(self) -> Application:
        """Return the app; in a worker, after the fork."""
        return Application(load(self._plan.project))


def _warm(worker: Any) -> None:
    """Open the store and the champion beside the first requests, which would otherwise wait for it."""
    asked = Asked("GET", "/health", {"host": "localhost"})
    threading.Thread(target=worker.wsgi.gateway.answer, args=(asked,), daemon=True).start()


def _close(server: Any, worker: Any) -> None:
    application = getattr(worker, "wsgi", None)
    if application is not None:
        application.gateway.close()


def _scratch() -> str | None:
    """Return a folder in memory where there is one: a container's file system may be read-only, and its disk slow."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; port 0 takes a free one.

    Raises
    ------
    ConfigError
        If the address is not to be had.
    """
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise ConfigError(f"cannot serve on {host}:{port}: {error.strerror}; choose another --port, or 0") from error


def serve(plan: Plan, listener: socket.socket, ready: Callable[[], None]) -> int:
    """Serve until SIGTERM or Ctrl-C, and return the exit code: 0, or 3 if the workers cannot start.

    Parameters
    ----------
    listener
        What `listen` returned; it is gunicorn's from now on.
    ready
        Called once connections are taken.
    """
    if not (plan.project / "app.py").exists():
        raise ConfigError(f"there is no {plan.project}/app.py here; run from the project folder")
    with tempfile.TemporaryFile(dir=_scratch()) as lock:
        sys.stdout = Lines(1, lock)
        try:
            Master(plan, listener, ready).run()
        except SystemExit as ended:
            return int(ended.code or 0)
        except HaltServer as ended:  # raised once more while the master ends for the same reason
            return int(ended.exit_status)
    return 0
