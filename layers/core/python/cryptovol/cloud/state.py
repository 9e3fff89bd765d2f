"""What the lane keeps under ``var``: remembered ports, where things are, and the lock that admits one command."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import socket
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cryptovol.errors import ConfigError

LOOPBACK = "127.0.0.1"
PORTS = range(20000, 32000)


def port_is_free(port: int) -> bool:
    """Return whether a loopback port can be served."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # Servers set this too: a port in TIME_WAIT after a restart is free for them.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def free_port(taken: Collection[int] = ()) -> int:
    """Return a loopback port that nothing serves and that is not among `taken`.

    A server binds its port seconds after it was chosen. The port is therefore below those the kernel hands out to
    outgoing connections, any of which could sit on it by then.

    Raises
    ------
    ConfigError
        If a hundred tries found none.
    """
    for _ in range(100):
        port = PORTS[secrets.randbelow(len(PORTS))]
        if port not in taken and port_is_free(port):
            return port
    raise ConfigError(f"no free port was found between {PORTS[0]} and {PORTS[-1]}. Cure: stop what uses them")


def wanted_port(port: int, *, name: str) -> int:
    """Return a port the user asked for; raise `ConfigError` if it is taken or none."""
    if not 0 < port < 65536:
        raise ConfigError(f"{port} is not a port; use 1 to 65535")
    if not port_is_free(port):
        raise ConfigError(
            f"port {port} is taken by another program. Cure: --port with another number for {name}, or none"
        )
    return port


class State:
    """The lane's folder.

    Parameters
    ----------
    folder
        ``var`` of the project.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._choosing = threading.Lock()

    def port(self, name: str) -> int:
        """Return the port this name had last time, so that addresses stay, or a fresh one if that is taken."""
        with self._choosing:
            known = self._read("ports.json")
            port = known.get(name)
            if not isinstance(port, int) or not port_is_free(port):
                port = free_port(set(known.values()))
                self._write("ports.json", {**known, name: port})
            return port

    def lane(self) -> dict[str, Any]:
        """Return where the lane's parts are, or an empty dict when it was never up."""
        return self._read("lane.json")

    def write_lane(self, lane: Mapping[str, Any]) -> None:
        """Record where the lane's parts are."""
        self._write("lane.json", lane)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Admit one command at a time; raise `ConfigError` naming the other one. Freed by the kernel at any death."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.folder / "lane.lock", "a+", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                holder = file.read().strip() or "another process"
                raise ConfigError(
                    f"cryptovol is already at work in this folder ({holder}). Cure: stop it with Ctrl-C, or use its API"
                ) from None
            file.truncate(0)
            file.write(f"pid {os.getpid()}")
            file.flush()
            try:
                yield
            finally:
                file.truncate(0)

    def _read(self, name: str) -> dict[str, Any]:
        try:
            value = json.loads((self.folder / name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return value if isinstance(value, dict) else {}

    def _write(self, name: str, value: Mapping[str, Any]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        fresh = self.folder / f"{name}.tmp"
        fresh.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        fresh.replace(self.folder / name)
