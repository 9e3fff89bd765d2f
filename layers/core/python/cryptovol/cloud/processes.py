"""Child processes that may outlive the command that started them.

Each runs in a session of its own, writes to its own log, and is described by a small file under ``var/run``: its
process id, the instant the kernel says it was born, and a fingerprint of what was asked for. A later command finds
it by that file and signals it only if the birth still matches, so a process id that the system has given to
somebody else is never touched.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cryptovol.errors import TransientError

POLL_SECONDS = 0.05
GRACE_SECONDS = 8.0
TAIL_LINES = 15
_exit_codes: dict[int, int] = {}  # of our own children, as `subprocess` counts: negative for a signal


@dataclass(frozen=True)
class Spec:
    """What a process should be.

    Parameters
    ----------
    name
        Names its log and its file under ``var/run``.
    command
        Program and arguments.
    environ
        Its whole environment.
    port
        The loopback port it serves, or None.
    ready_path
        Path that answers 200 once it serves; empty for a process that serves nothing.
    code
        Digest of the code it runs, where that can change under it.
    ready_seconds
        How long it may take to become ready.
    """

    name: str
    command: tuple[str, ...]
    environ: Mapping[str, str]
    port: int | None = None
    ready_path: str = ""
    code: str = ""
    ready_seconds: float = 60.0

    @property
    def fingerprint(self) -> str:
        """Digest of all that would make a running process differ from this one."""
        parts = [list(self.command), sorted(self.environ.items()), self.code]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    @property
    def url(self) -> str:
        """Where it serves."""
        return f"http://127.0.0.1:{self.port}"


@dataclass(frozen=True)
class Child:
    """A process that was started, by this command or an earlier one."""

    name: str
    pid: int
    born: str
    fingerprint: str
    port: int | None
    log: str

    @property
    def alive(self) -> bool:
        """Whether this very process still runs."""
        _reap(self.pid)
        return birth(self.pid) == self.born

    @property
    def url(self) -> str:
        """Where it serves."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def exit_code(self) -> int | None:
        """The exit code, negative for a signal; None while it runs or if an earlier command started it."""
        return None if self.alive else _exit_codes.get(self.pid)

    def tail(self) -> str:
        """Return the last lines of its log."""
        return log_tail(Path(self.log))


def log_tail(log: Path, lines: int = TAIL_LINES) -> str:
    """Return the last lines of a log file, or a word that there are none."""
    with suppress(OSError):
        text = log.read_bytes()[-20000:].decode("utf-8", "replace").rstrip()
        if text:
            return "\n".join(text.splitlines()[-lines:])
    return "(its log is empty)"


def birth(pid: int) -> str:
    """Return what identifies the process now behind a process id, or an empty text if there is none.

    A zombie counts as none. On Linux the text is the boot and the clock tick of the birth, elsewhere what ``ps``
    says.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return _birth_by_ps(pid) if not Path("/proc/self/stat").exists() else ""
    return "" if fields[0] in "ZX" else f"{boot}:{fields[19]}"


def _birth_by_ps(pid: int) -> str:
    answer = subprocess.run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    state, _, started = answer.stdout.strip().partition(" ")
    return "" if not started or state.startswith("Z") else started.strip()


def _reap(pid: int) -> None:
    """Collect the exit status if the process was our own child; without this it would stay a zombie."""
    with suppress(ChildProcessError):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            _exit_codes[pid] = os.waitstatus_to_exitcode(status)


def start(spec: Spec, folder: Path, cwd: Path) -> Child:
    """Start a process in its own session and write its file.

    Parameters
    ----------
    folder
        ``var``: logs go to ``logs/``, the process's file to ``run/``.
    """
    log = folder / "logs" / f"{spec.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "ab") as out:
        out.write(f"---- {time.strftime('%Y-%m-%dT%H:%M:%S%z')} {' '.join(spec.command)}\n".encode())
        out.flush()
        try:
            process = subprocess.Popen(
                spec.command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=dict(spec.environ),
                cwd=cwd,
                start_new_session=True,
            )
        except OSError as error:
            raise TransientError(f"cannot start {spec.name}: {error}. Cure: `make setup`") from error
    child = Child(spec.name, process.pid, birth(process.pid), spec.fingerprint, spec.port, str(log))
    # The child is followed by process id, across commands; subprocess need not warn that it still runs.
    process.returncode = 0
    _write(_file(folder, spec.name), child)
    return child


def find(folder: Path, name: str) -> Child | None:
    """Return the living process of that name, started by this or an earlier command; None if there is none."""
    child = read(folder, name)
    return child if child is not None and child.alive else None


def read(folder: Path, name: str) -> Child | None:
    """Return what the process's file says, living or not; None if there is no readable file."""
    try:
        return Child(**json.loads(_file(folder, name).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def names(folder: Path) -> list[str]:
    """Return the names of all processes that have a file."""
    return sorted(path.stem for path in (folder / "run").glob("*.json"))


def stop(folder: Path, child: Child, *, grace: float = GRACE_SECONDS) -> bool:
    """End a process and its group: TERM, wait, KILL; remove its file; return whether it was running."""
    was_alive = child.alive
    # With the leader gone its workers may live on; their group's number is not given away before they are gone.
    if was_alive or (not birth(child.pid) and _same_boot(child) and _group_alive(child.pid)):
        _signal_group(child.pid, signal.SIGTERM)
        if not _wait_until(lambda: not _group_alive(child.pid), grace):
            _signal_group(child.pid, signal.SIGKILL)
            _wait_until(lambda: not _group_alive(child.pid), grace)
    _file(folder, child.name).unlink(missing_ok=True)
    return was_alive


def _file(folder: Path, name: str) -> Path:
    return folder / "run" / f"{name}.json"


def _write(path: Path, child: Child) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".tmp")
    fresh.write_text(json.dumps(child.__dict__, indent=1))
    fresh.replace(path)


def _signal_group(pid: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def _group_alive(pid: int) -> bool:
    _reap(pid)
    try:
        os.killpg(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # macOS answers so for a group of zombies
        return False
    return True


def _same_boot(child: Child) -> bool:
    return birth(os.getpid()).partition(":")[0] == child.born.partition(":")[0]


def _wait_until(done: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True
