"""The processes of one project folder: used again, replaced, watched and stopped together."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cryptovol.cloud import processes, readiness
from cryptovol.cloud.processes import Child, Spec
from cryptovol.cloud.state import State
from cryptovol.errors import TransientError


class Fleet:
    """The processes one command needs. Safe under threads: parts are started side by side.

    Parameters
    ----------
    root
        The processes' working folder.
    state
        The folder that keeps their logs, files and ports.
    """

    def __init__(self, root: Path, state: State) -> None:
        self.root = root
        self.folder = state.folder
        self.started: list[Child] = []
        self.children: dict[str, Child] = {}
        self._state = state
        self._lock = threading.Lock()
        self._closing = False

    def port(self, name: str) -> int:
        """Return the port of the process of that name if it runs, else the one it had or will have."""
        there = processes.find(self.folder, name)
        return there.port if there is not None and there.port else self._state.port(name)

    def ensure(self, spec: Spec) -> Child:
        """Return the ready process that `spec` describes, using again or replacing one of an earlier command."""
        there = processes.find(self.folder, spec.name)
        same = there is not None and there.fingerprint == spec.fingerprint
        child = there if there is not None and same else self.start(spec)
        self.children[spec.name] = child
        readiness.wait_ready(child, spec)
        return child

    def start(self, spec: Spec) -> Child:
        """Start a process that `stop_started` will end; what an earlier command left of that name is ended first."""
        left = processes.read(self.folder, spec.name)
        if left is not None:
            processes.stop(self.folder, left)
        with self._lock:
            if self._closing:
                raise TransientError(f"{spec.name} is not started: another part has failed")
            child = processes.start(spec, self.folder, self.root)
            self.started.append(child)
        return child

    def dead(self) -> Child | None:
        """Return a part that should run and does not, if any."""
        return next((child for child in self.children.values() if not child.alive), None)

    def stop_started(self) -> list[str]:
        """Stop what this lane started, all at once, and return the names."""
        with self._lock:
            self._closing = True
            mine, self.started = self.started, []
        return stop_all(self.folder, mine)


def stop_all(folder: Path, children: list[Child]) -> list[str]:
    """Stop processes side by side and return the names of those that ran."""
    if not children:
        return []
    with ThreadPoolExecutor(len(children)) as pool:
        ran = list(pool.map(lambda child: processes.stop(folder, child), children))
    return [child.name for child, was in zip(children, ran, strict=True) if was]


def down(folder: Path) -> list[str]:
    """Stop every process that any command left running in a project's ``var`` and return the names."""
    known = (processes.read(folder, name) for name in processes.names(folder))
    return stop_all(folder, [child for child in known if child is not None])
