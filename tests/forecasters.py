"""A forecaster over a store, a clock and a meter that a test moves and breaks by hand."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from cryptovol import features
from cryptovol.adapters.telemetry import MemoryMeter
from cryptovol.bars import Bars, Floats
from cryptovol.errors import StoreUnavailableError
from cryptovol.forecasts import Ask
from cryptovol.held import Start, at_once
from cryptovol.params import Params
from cryptovol.ports import Journal, Stored
from cryptovol.stages.predict import Forecaster
from cryptovol.testing import MemoryStore, make_bars
from cryptovol.times import HOUR, format_instant
from tests.served import MARKET, make_bundle, promote, put_bars

BARS = make_bars(1500, seed=5)
END = int(BARS.time[-1]) + HOUR
BTC = Ask("BTC", request_id="r-1")


class FaultyStore(MemoryStore):
    """A store that a test can put out of reach, make hang or fill with garbage, and that counts reads.

    `away` makes every call fail, `full` every write; while `answers` is cleared, reads hang; where a key has one of the
    texts in `garbage`, other bytes are read.
    """

    def __init__(self) -> None:
        super().__init__()
        self.away = False
        self.full = False
        self.reads = 0
        self.answers = threading.Event()
        self.answers.set()
        self.garbage: dict[str, bytes] = {}

    def get(self, key: str) -> Stored:
        """Return the object, or what the fault makes of it."""
        self.reads += 1
        if not self.answers.wait(30) or self.away:
            raise StoreUnavailableError("the store is away")
        for part, data in self.garbage.items():
            if part in key:
                return Stored(data, "garbage")
        return super().get(key)

    def put_new(self, key: str, data: bytes) -> bool:
        """Write the object if the key is free, unless the store is away or full."""
        if self.away or self.full:
            raise StoreUnavailableError("the store is away or full")
        return super().put_new(key, data)


class MemoryJournal:
    """`ports.Journal` in two lists; with `able` false it takes no entries over."""

    def __init__(self) -> None:
        self.able = True
        self.records: list[dict[str, Any]] = []
        self.entries: list[tuple[str, dict[str, Any]]] = []

    def record(self, answer: Mapping[str, Any]) -> None:
        """Keep the record."""
        self.records.append(dict(answer))

    def entry(self, key: str, body: Mapping[str, Any]) -> bool:
        """Keep the entry, if able."""
        if self.able:
            self.entries.append((key, dict(body)))
        return self.able

    def close(self) -> None:
        """Do nothing."""


class Bench:
    """A forecaster with fresh bars and a champion per horizon; looks at the store are run at once."""

    def __init__(
        self, params: Params, *, journal: Journal | None = None, start: Start = at_once, empty: bool = False
    ) -> None:
        self.params = params
        self.store = FaultyStore()
        self.meter = MemoryMeter()
        self.now = END + 600
        if not empty:
            put_bars(self.store, BARS)
            for horizon in (6, 24):
                promote(self.store, make_bundle(horizon=horizon, trained_at=format_instant(END)))
        self.forecaster = self.another(journal=journal, start=start)

    def another(self, *, journal: Journal | None = None, start: Start = at_once, late: int = 0) -> Forecaster:
        """Return a forecaster that knows nothing yet, as a new process would have, over the same store."""
        return Forecaster(
            self.store, market=MARKET, params=self.params, clock=lambda: self.now + late, meter=self.meter,
            journal=journal, start=start,
        )  # fmt: skip

    def log(self) -> dict[str, Any]:
        """Return the scoring log's entries by key."""
        found = {key: self.store.objects[key] for key in self.store.keys(f"predictions/{MARKET}/")}
        return {key: json.loads(data) for key, data in found.items()}


def expected(bars: Bars = BARS) -> Floats:
    """Return the features of the last bar, computed over the whole history."""
    row: Floats = features.build(bars, coverage=0.75).values[-1]
    return row


def eventually(true: Callable[[], object], *, seconds: float = 20.0) -> bool:
    """Return whether something comes true in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if true():
            return True
        time.sleep(0.01)
    return False
