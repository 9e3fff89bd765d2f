"""How far a run is: read from its status objects in the store, shown as a live table or as plain lines."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from cryptovol import keys
from cryptovol.errors import KeyNotFoundError
from cryptovol.ports import Store

if TYPE_CHECKING:
    from rich.table import Table

STAGES = ("ingest", "validate", "featurize", "train", "version", "score")
ROWS = {
    "ingest": "rows_new", "validate": "rows_clean", "featurize": "rows_features", "train": "rows_trained",
    "version": "rows_versioned", "score": "rows_scored",
}  # fmt: skip
FINISHED = ("done", "refused", "failed")
_COLOURS = {"done": "green", "refused": "red", "failed": "red", "running": "cyan", "waiting": "dim"}


@dataclass(frozen=True)
class Status:
    """One stage of one symbol, as its status object tells it.

    Parameters
    ----------
    state
        ``running``, ``done``, ``refused`` or ``failed``.
    seconds
        How long it took; 0 while it runs.
    result, error
        What it returned, or what it said when it failed; empty where there is none.
    """

    symbol: str
    stage: str
    state: str
    seconds: float
    result: Mapping[str, Any]
    error: Mapping[str, Any]

    @property
    def rows(self) -> int | None:
        """Rows the stage wrote, or None before it has."""
        value = self.result.get(ROWS[self.stage])
        return int(value) if value is not None else None

    @property
    def note(self) -> str:
        """What is worth knowing of the outcome, in a few words."""
        if self.error:
            return str(self.error.get("message", "")).splitlines()[0][:100]
        if self.stage == "ingest" and self.result:
            return f"{self.result.get('rows_revised', 0)} revised, from {self.result.get('source', '?')}"
        if self.stage == "train" and self.result:
            models = sorted(self.result.get("models", {}).items(), key=lambda item: int(item[0]))
            return ", ".join(f"{horizon} h {model['decision']}" for horizon, model in models)
        if self.stage == "version" and self.result:
            return f"revision {str(self.result.get('revision', ''))[:12]}"
        return ""


class Watch:
    """Reads the status objects of one run.

    Parameters
    ----------
    store
        Where the stages write them.
    """

    def __init__(self, store: Store, run_id: str, symbols: Sequence[str], quote: str) -> None:
        self._store = store
        self._run_id = run_id
        self._pairs = {symbol: keys.series(symbol, quote) for symbol in symbols}
        self.statuses: dict[tuple[str, str], Status] = {}

    def poll(self) -> list[Status]:
        """Return the stages whose state changed since the last call, in the order of the pipeline."""
        changed = []
        for symbol, pair in self._pairs.items():
            for stage in STAGES:
                found = self._read(symbol, pair, stage)
                if found is not None and found != self.statuses.get((symbol, stage)):
                    self.statuses[symbol, stage] = found
                    changed.append(found)
        return changed

    def _read(self, symbol: str, pair: str, stage: str) -> Status | None:
        try:
            body = json.loads(self._store.get(keys.run(self._run_id, pair, stage)).data)
        except KeyNotFoundError:
            return None
        return Status(
            symbol, stage, body["state"], float(body["seconds"]), body.get("result") or {}, body.get("error") or {}
        )

    @property
    def failures(self) -> list[Status]:
        """The stages that ended in a refusal or a failure."""
        return [status for status in self.statuses.values() if status.state in ("refused", "failed")]


class Display(Protocol):
    """Shows a run to a person. Real ones: `Lines` and `LiveTable`."""

    def show(self, changed: Sequence[Status]) -> None:
        """Take in changed stages."""


class Lines:
    """One plain line per finished stage: for logs, pipes and CI."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._headed = False

    def show(self, changed: Sequence[Status]) -> None:
        """Print the stages that finished."""
        for status in changed:
            if status.state not in FINISHED:
                continue
            if not self._headed:
                print(f"{'symbol':<8}{'stage':<11}{'rows':>8}{'seconds':>9}  outcome", file=self._out)
                self._headed = True
            rows = "" if status.rows is None else f"{status.rows:,}"
            outcome = f"{status.state}  {status.note}".rstrip()
            line = f"{status.symbol:<8}{status.stage:<11}{rows:>8}{status.seconds:>9.1f}  {outcome}"
            print(line, file=self._out, flush=True)


class LiveTable:
    """A table that changes in place, for a terminal."""

    def __init__(self, symbols: Sequence[str]) -> None:
        self._rows = {(symbol, stage): ("waiting", None) for symbol in symbols for stage in STAGES}
        self._statuses: dict[tuple[str, str], Status] = {}
        self._since: dict[tuple[str, str], float] = {}

    def show(self, changed: Sequence[Status]) -> None:
        """Take in changed stages; the table redraws itself."""
        for status in changed:
            place = (status.symbol, status.stage)
            self._statuses[place] = status
            if status.state == "running":
                self._since[place] = time.monotonic()

    def __rich__(self) -> Table:
        """Return the table as it stands now."""
        from rich.table import Table

        table = Table(box=None, pad_edge=False)
        for name, justify in (("symbol", "left"), ("stage", "left"), ("rows", "right"), ("seconds", "right")):
            table.add_column(name, justify=justify)  # type: ignore[arg-type]
        table.add_column("outcome")
        for symbol, stage in self._rows:
            table.add_row(symbol, stage, *self._cells((symbol, stage)))
        return table

    def _cells(self, place: tuple[str, str]) -> tuple[str, str, str]:
        status = self._statuses.get(place)
        if status is None:
            return "", "", f"[{_COLOURS['waiting']}]waiting[/]"
        running = status.state == "running"
        seconds = time.monotonic() - self._since[place] if running else status.seconds
        rows = "" if status.rows is None else f"{status.rows:,}"
        note = status.note.replace("[", "\\[")
        return rows, f"{seconds:.1f}", f"[{_COLOURS[status.state]}]{status.state}[/]  {note}".rstrip()


@contextmanager
def display(symbols: Sequence[str], out: TextIO) -> Iterator[Display]:
    """Yield a live table if `out` is a terminal, else plain lines."""
    if not out.isatty():
        yield Lines(out)
        return
    from rich.console import Console
    from rich.live import Live

    table = LiveTable(symbols)
    with Live(table, console=Console(file=out), refresh_per_second=5, get_renderable=lambda: table.__rich__()):
        yield table
