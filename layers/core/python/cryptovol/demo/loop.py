"""The functions of the three DAGs, called in this process in the DAGs' order, on a clock that the demo turns."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TextIO

from cryptovol import champions, edge, events, hourly, keys, ledger, watching
from cryptovol.adapters.telemetry import EmfMeter, QuietMeter
from cryptovol.bars import Bars
from cryptovol.bundle import Bundle
from cryptovol.errors import ModelNotFoundError
from cryptovol.events import Result, StageEvent
from cryptovol.params import Params
from cryptovol.settings import Settings
from cryptovol.stages import featurize, ingest, score, train, tune, validate
from cryptovol.testing import FixedSource
from cryptovol.times import format_instant
from cryptovol.wiring import Ports

MARKET, SYMBOL, HORIZON = "demo", "BTC", 24
PAIR = keys.series(SYMBOL, "USD")
Step = Callable[[StageEvent, Ports, Params], Result]
STEPS: dict[str, Step] = {
    "ingest": lambda e, p, q: ingest.run(e, store=p.store, source=p.source, clock=p.clock, params=q),
    "validate": lambda e, p, q: validate.run(e, store=p.store, params=q),
    "featurize": lambda e, p, q: featurize.run(e, store=p.store, params=q),
    "tune": lambda e, p, q: tune.run(e, store=p.store, tracker=p.tracker, params=q, market=MARKET),
    "train": lambda e, p, q: train.run(e, store=p.store, tracker=p.tracker, params=q),
    "forecast": lambda e, p, q: hourly.run(e, store=p.store, params=q, clock=p.clock, meter=QuietMeter()),
    "score": lambda e, p, q: score.run(e, store=p.store, params=q),
    "watch": lambda e, p, q: watching.run(e, store=p.store, params=q, market=MARKET),
}
PIPELINE = ("ingest", "validate", "featurize", "train", "score")  # `volatility_pipeline`
HOURLY = ("ingest", "validate", "featurize", "forecast", "score")  # `score_forecasts`


def small(params: Params, history_hours: int) -> Params:
    """Return the shipped parameters with what makes a run short: one horizon and a search of few trials.

    Models, limits, cool-down, promotion and gate are those that ship. A model may serve for a month, because the six-hourly
    pipeline rests.
    """
    return replace(
        params,
        symbols=(SYMBOL,), quote="USD",
        ingest=replace(params.ingest, history_hours=history_hours),
        featurize=replace(params.featurize, horizons=(HORIZON,)),
        tune=replace(params.tune, trials=8, seconds=60, startup_trials=4),
        promotion=replace(params.promotion, suspect_r2_log=params.promotion.suspect_r2_log[-1:]),
        predict=replace(params.predict, expiry_hours=720),
    )  # fmt: skip


@dataclass
class Loop:
    """A market, a store, and a clock.

    Parameters
    ----------
    folder
        Of the store.
    bars
        Of the whole market; what has not closed at `now` is not there yet.
    lines
        Where metric lines go.
    now
        The market's unix seconds; every function has this clock.
    """

    folder: Path
    bars: Bars
    lines: TextIO
    params: Params
    settings: Settings
    now: int = 0
    ports: Ports = field(init=False)

    def __post_init__(self) -> None:
        self.ports = Ports(self.settings, self.params, self.folder, clock=lambda: self.now)
        self.ports.source = FixedSource(self.bars, market=MARKET, source="simulated")
        self.ports.meter = EmfMeter(self.lines)

    def run(self, stages: tuple[str, ...], run_id: str, **given: object) -> Result:
        """Run stages on the last full hour, each on what the one before returned; return the last result."""
        own = {"symbol": SYMBOL, "quote": "USD", "as_of": format_instant(self.now), "run_id": run_id}
        event: Result = {**given, **own}
        for stage in stages:
            event = edge.perform(stage, STEPS[stage], events.parse(event), self.ports)
        return event

    def champion(self) -> Bundle:
        """Return the bundle that serves."""
        found = ledger.champion(self.ports.store, MARKET, PAIR, HORIZON)
        if found is None:
            raise ModelNotFoundError("the first training promoted no model, so there is none to watch")
        return champions.fetch(self.ports.store, MARKET, PAIR, HORIZON, sha256=found.bundle_sha256)

    def forecast(self) -> Result:
        """Return the newest entry of the prediction log."""
        newest = list(self.ports.store.keys(keys.predictions(MARKET, PAIR, HORIZON)))[-1]
        body: Result = json.loads(self.ports.store.get(newest).data)
        return {
            "key": newest,
            **{n: body[n] for n in ("as_of", "served_at", "volatility", "interval", "baselines", "model")},
        }
