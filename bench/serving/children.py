"""Processes the benchmark starts and ends, each by its own id."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

GRACE_SECONDS = 10.0
MOST_SECONDS = 400.0


class FailedError(Exception):
    """A process did not do what it was started for; the message ends with what it printed last."""


@contextmanager
def running(
    command: Sequence[str], environ: Mapping[str, str], log: Path, *, stdout: int | None = None,
    seconds: float = MOST_SECONDS,
) -> Iterator[subprocess.Popen[bytes]]:  # fmt: skip
    """Yield a process in a group of its own, whose output goes to a file; end the group afterwards.

    Parameters
    ----------
    stdout
        ``subprocess.PIPE`` to talk with it; then standard input is a pipe too, and only errors go to the file.
    seconds
        After which it is killed, so that nobody waits for a stuck one for ever.
    """
    with log.open("ab") as file:
        child = subprocess.Popen(
            list(command), env=dict(environ), stdin=stdout or subprocess.DEVNULL, stdout=stdout or file, stderr=file,
            start_new_session=True,
        )  # fmt: skip
    watch = threading.Timer(seconds, _signal, (child, signal.SIGKILL))
    watch.daemon = True
    watch.start()
    try:
        yield child
    finally:
        watch.cancel()
        _end(child)


def _signal(child: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, number)


def _end(child: subprocess.Popen[bytes]) -> None:
    """End a process and, servers having workers, the group it leads."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        _signal(child, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(GRACE_SECONDS)
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            with contextlib.suppress(BrokenPipeError):
                pipe.close()


def tail(log: Path, lines: int = 5) -> str:
    """Return the last lines of a log in one line; empty if there are none."""
    try:
        return " / ".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return ""


def read_json(child: subprocess.Popen[bytes], log: Path) -> Any:
    """Return the next line a process writes, decoded; raise `FailedError` if it ends instead."""
    assert child.stdout is not None
    line = child.stdout.readline()
    if not line:
        raise FailedError(f"it ended: {tail(log)}")
    return json.loads(line)


def peak_mb(child: subprocess.Popen[bytes]) -> float:
    """Return the peak resident memory of a process and its group in megabytes, added up; NaN where /proc is not."""
    found = [_peak_bytes(path) for path in Path("/proc").glob("[0-9]*") if _group(path) == child.pid]
    return sum(found) / 1e6 if found else float("nan")


def _group(process: Path) -> int:
    """Return the process group of a folder of /proc, -1 if the process has ended."""
    try:
        # The name in brackets may hold spaces and brackets itself; what follows the last one does not.
        return int((process / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[2])
    except (OSError, IndexError, ValueError):
        return -1


def _peak_bytes(process: Path) -> int:
    try:
        lines = (process / "status").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)


def wait_until(ready: Any, child: subprocess.Popen[bytes], log: Path, seconds: float) -> None:
    """Return once `ready()` is true.

    Raises
    ------
    FailedError
        If the process ends first, or the time is over.
    """
    deadline = time.monotonic() + seconds
    while not ready():
        if child.poll() is not None:
            raise FailedError(f"it ended with {child.returncode}: {tail(log)}")
        if time.monotonic() > deadline:
            raise FailedError(f"not ready within {seconds:.0f} s: {tail(log)}")
        time.sleep(0.05)
