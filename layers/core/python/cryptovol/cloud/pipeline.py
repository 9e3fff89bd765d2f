"""One run of the DAG on a lane that is up, watched until it ends."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptovol.cloud import airflow_run, embedded, processes
from cryptovol.cloud.lane import Lane
from cryptovol.cloud.processes import Child
from cryptovol.cloud.progress import STAGES, Display, Status, Watch
from cryptovol.errors import CryptovolError, StoreUnavailableError, TransientError
from cryptovol.ports import Store
from cryptovol.times import format_instant

POLL_SECONDS = 0.25


@dataclass(frozen=True)
class Request:
    """What to run: symbols against a quote currency, as of an instant in unix seconds."""

    symbols: tuple[str, ...]
    quote: str
    as_of: int
    run_id: str


def run(lane: Lane, store: Store, request: Request, display: Display) -> dict[tuple[str, str], Status]:
    """Run the DAG once and return the last status of each symbol's stages.

    Raises
    ------
    TransientError
        If a part of the lane dies meanwhile, or the DAG fails without any stage saying why.
    StoreUnavailableError
        If the emulator could not keep what was written.
    """
    log = Path(lane.fleet.children[embedded.NAME].log)
    since = log.stat().st_size
    as_of = format_instant(request.as_of)
    conf = {"symbols": list(request.symbols), "quote": request.quote, "as_of": as_of, "run_id": request.run_id}
    spec = airflow_run.test_spec(lane.root, lane.airflow_environ, as_of=as_of, conf=conf)
    watch = Watch(store, request.run_id, request.symbols, request.quote)
    child = lane.fleet.start(spec)
    try:
        _follow(lane, child, watch, display)
    finally:
        processes.stop(lane.folder, child)
    if watch.failures:
        embedded.require_space(lane.folder, least=embedded.FULL_BYTES)
    lost = embedded.unsaved(log, since)
    if lost:
        raise StoreUnavailableError(f"the local cloud could not write to the disk: {lost}. Cure: free some space")
    ended = {symbol for (symbol, stage), status in watch.statuses.items() if status.error or stage == STAGES[-1]}
    if set(request.symbols) - ended or (child.exit_code != 0 and not watch.failures):
        raise TransientError(
            f"the DAG ended before its stages did, none says why; the end of {child.log}:\n{child.tail()}"
        )
    return watch.statuses


def _follow(lane: Lane, child: Child, watch: Watch, display: Display) -> None:
    """Show progress until Airflow has ended; stop it if a part of the lane has died."""
    running = True
    while running:
        running = child.alive
        dead = lane.fleet.dead()
        if dead is not None:
            raise TransientError(_obituary(dead))
        try:
            display.show(watch.poll())
        except StoreUnavailableError:
            # A death is noticed by the next look at the process; anything else is the store's own error.
            if lane.fleet.dead() is None:
                raise
        if running:
            time.sleep(POLL_SECONDS)


def _obituary(dead: Child) -> str:
    code = dead.exit_code
    how = f" by signal {-code}" if code is not None and code < 0 else f" with exit code {code}" if code else ""
    return (
        f"{dead.name} (pid {dead.pid}) ended{how} while the pipeline ran. "
        f"Cure: run again; what was stored is kept. Its log: {dead.log}"
    )


def exit_code(statuses: Sequence[Status]) -> int:
    """Return the exit code that a run's outcomes stand for: the highest of its errors', by their code.

    1 is a refusal, 2 a wrong setting, 3 a failure outside; a crash counts as the last.
    """
    kinds = {kind.code: kind.exit_code for kind in _kinds(CryptovolError)}
    return max((kinds.get(status.error.get("code", ""), 3) for status in statuses if status.error), default=0)


def _kinds(kind: type[CryptovolError]) -> list[type[CryptovolError]]:
    return [kind, *(deeper for sub in kind.__subclasses__() for deeper in _kinds(sub))]
