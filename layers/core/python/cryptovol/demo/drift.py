"""`cryptovol demo drift`: the market changes, the alert fires, a retraining starts, the gate decides, the alert clears."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptovol import ledger
from cryptovol.cloud import fleet
from cryptovol.demo import compared, page, regime, watchers
from cryptovol.demo.loop import HORIZON, HOURLY, MARKET, PAIR, PIPELINE, Loop, small
from cryptovol.demo.story import Event, Story
from cryptovol.demo.watchers import Prometheus, until
from cryptovol.errors import ModelError
from cryptovol.events import Result
from cryptovol.params import Params
from cryptovol.settings import Settings
from cryptovol.times import HOUR, format_instant, parse_instant

HISTORY = 26_304  # hours before the change: what a new pair is given
STEP = 50  # hours between two looks while nothing happens
ROUNDS = 12  # looks after which the demo gives up on the detector
AFTER = 145  # hours that the new champion is watched and held against the old one
HOUR_SECONDS = 4.0  # of wall time that an hour lasts in the alert rules
ALERT = "DataDrift"


@dataclass(frozen=True)
class Told:
    """What the demo came to: the page, and what it took."""

    page: Path
    seconds: float
    events: tuple[Event, ...]
    entry: Mapping[str, Any]
    cleared: bool


def run(
    folder: Path, *, params: Params, settings: Settings, environ: Mapping[str, str], tell: Callable[[Event], None]
) -> Told:
    """Run the demo in a folder, which is emptied first, and write its page.

    Raises
    ------
    ConfigError
        If Prometheus is not installed.
    TransientError
        If the alert does not fire or does not clear.
    """
    watchers.program()
    if folder.exists():
        fleet.down(folder)
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    alerts = Path("monitoring/prometheus/rules/alerts.yml")
    lines = folder / "functions.log"
    with _loop(folder, lines, params, settings) as loop:
        story = Story(time.time, lambda: loop.now, tell)
        with watchers.watching(
            folder, lines, alerts, times=3600 / HOUR_SECONDS, environ=environ, clock=time.time
        ) as prometheus:
            story.add("demo", "A metrics sidecar and Prometheus run", {"rules": "rules.yml", "metrics": lines.name})
            body = _Drift(loop, story, prometheus).play()
    target = folder.with_suffix(".html")
    target.write_text(page.render(body), encoding="utf-8")
    return Told(target, story.seconds, tuple(story.events), body["entry"], body["cleared"])


@contextmanager
def _loop(folder: Path, lines: Path, params: Params, settings: Settings) -> Iterator[Loop]:
    """Open a loop over the planted market; its clock stands a day before the change."""
    change = parse_instant(params.market.start) + HOUR * HISTORY
    until_ = change + HOUR * (STEP * ROUNDS + AFTER + 24)
    bars = regime.path(params.market, "BTC", until=until_, change=change)
    with lines.open("a", encoding="utf-8") as out:
        yield Loop(folder / "store", bars, out, small(params, HISTORY), settings, now=change - 24 * HOUR)


class _Drift:
    """The play, in its acts."""

    def __init__(self, loop: Loop, story: Story, prometheus: Prometheus) -> None:
        self.loop, self.story, self.prometheus = loop, story, prometheus
        self.change = loop.now + 24 * HOUR
        self.name, self.ratio = "", 0.0

    def play(self) -> dict[str, Any]:
        """Return what the page shows."""
        began = time.time()
        self._first_champion()
        self._wait_for_drift()
        before, old = self.loop.forecast(), self.loop.champion()
        decision = self._fire_and_decide()
        entry = self._retrain(decision)
        cleared = self._settle(entry["decision"] == "promoted")
        after = self.loop.forecast()
        self._watch_on()
        return {
            "events": self.story.events, "entry": entry, "decision": decision, "cleared": cleared,
            "forecasts": {"before": before, "after": after}, "change": format_instant(self.change),
            "ratio": self.prometheus.history(f'data_drift_ratio{{model="{self.name}"}}', since=began),
            "firing": self.prometheus.history(f'ALERTS{{alertname="{ALERT}",alertstate="firing"}}', since=began),
            "began": self.story.began, "last_ratio": self.ratio, "limit": self.loop.params.watch.drift_ratio,
            "compared": compared.on_later_hours(self.loop, old, self.loop.champion(), since=parse_instant(entry["as_of"])),
        }  # fmt: skip

    def _first_champion(self) -> None:
        trained = self.loop.run(PIPELINE, "first")["models"][str(HORIZON)]
        if trained["decision"] != "promoted":
            raise ModelError(f"the first model was not promoted: {trained['reason']}")
        self.name = trained["champion"]["name"]
        self.story.add("ledger", f"The first model is trained and serves ({trained['outcome']})", _entry(self.loop))
        self.loop.now += 23 * HOUR
        self._look()
        self.loop.now += HOUR
        self.story.add("demo", f"Planted: {regime.TOLD}", {"from": format_instant(self.change)})

    def _look(self) -> float:
        """Run the hourly DAG, wait until Prometheus has seen the evaluation, and return the ratio it shows."""
        done = self.loop.run(HOURLY, f"hour-{self.loop.now // HOUR}")
        at = 'data_drift_last_evaluation_timestamp_seconds{model="%s"}' % self.name
        until(lambda: self.prometheus.value(at) == self.loop.now, "Prometheus does not show the evaluation")
        ratio = self.ratio = self.prometheus.value(f'data_drift_ratio{{model="{self.name}"}}') or 0.0
        told = f"Drift ratio {ratio:.3f}, {ratio * 36:.0f} of 36 features"
        drifted = [name for name, value in done["drift_scores"][self.name].items() if value > 1.0]
        self.story.add(
            "Prometheus", told, {"data_drift_ratio": ratio, "drifted": drifted, "forecasts": done["forecasts"]}
        )
        return ratio

    def _wait_for_drift(self) -> None:
        """Let the market go on until an evaluation is beyond the limit."""
        for _ in range(ROUNDS):
            self.loop.now += STEP * HOUR
            ratio = self._look()
            watched = self.loop.run(("watch",), f"watch-{self.loop.now // HOUR}")
            if ratio > self.loop.params.watch.drift_ratio:
                self.story.add("store", f"The watch waits: {watched['reason']}", _decided(watched))
                return
        until(lambda: False, f"the detector saw nothing in {ROUNDS * STEP} hours of the market", 0)

    def _fire_and_decide(self) -> Result:
        """An hour later the alert fires, and the watch, which runs after it, decides."""
        self.loop.now += HOUR
        self._look()
        alert = until(self._firing, f"the alert {ALERT} does not fire", 60)
        self.story.add("Prometheus", f"Alert {ALERT} fires: {alert['annotations']['summary']}", alert)
        decision = self.loop.run(("watch",), f"watch-{self.loop.now // HOUR}")
        if not decision["retrain"]:
            raise ModelError(f"the alert fires and yet the watch decides {decision['watch']}: {decision['reason']}")
        self.story.add("store", f"The watch decides to retrain: {decision['reason']}", _decided(decision))
        return decision

    def _firing(self) -> dict[str, Any] | None:
        found = self.prometheus.alerts().get(ALERT)
        return found if found is not None and found["state"] == "firing" else None

    def _retrain(self, decision: Result) -> dict[str, Any]:
        own = decision["retraining"]
        tuned = self.loop.run(("tune",), own)["tuning"][str(HORIZON)]
        self.story.add("store", "Tuning has searched new parameters", tuned)
        self.loop.run(PIPELINE, own)
        entry = _entry(self.loop)
        self.story.add(
            "ledger", f"The gate decides: {entry['decision']} ({entry['outcome']}). {entry['reason']}", entry
        )
        return entry

    def _settle(self, promoted: bool) -> bool:
        """Evaluate again an hour later, by the champion that serves now; return whether the alert has cleared."""
        self.loop.now += HOUR
        self._look()
        if promoted:
            until(lambda: ALERT not in self.prometheus.alerts(), f"the alert {ALERT} does not clear", 60)
        cleared = ALERT not in self.prometheus.alerts()
        told = "has cleared" if cleared else "goes on, for the champion that it is about stays"
        self.story.add("Prometheus", f"Alert {ALERT} {told}", {"alerts": sorted(self.prometheus.alerts())})
        again = self.loop.run(("watch",), f"watch-{self.loop.now // HOUR}")
        self.story.add("store", f"The watch starts nothing more: {again['reason']}", _decided(again))
        return cleared

    def _watch_on(self) -> None:
        """Look twice more, days later: has it stayed clear?"""
        for hours in (AFTER // 2, AFTER - AFTER // 2):
            self.loop.now += hours * HOUR
            self._look()
        alerts = sorted(self.prometheus.alerts())
        told = "there" if ALERT in alerts else "neither firing nor pending"
        self.story.add("Prometheus", f"{AFTER} hours later the alert is {told}", {"alerts": alerts})


def _entry(loop: Loop) -> dict[str, Any]:
    """Return what the newest entry of the ledger says."""
    entry = ledger.entries(loop.ports.store, MARKET, PAIR, HORIZON)[-1]
    names = ("entry", "previous_sha256", "decision", "outcome", "reason", "as_of", "run_id", "numbers", "challenger")
    return {**{name: entry.body[name] for name in names}, "sha256": entry.sha256}


def _decided(result: Result) -> dict[str, Any]:
    names = ("retrain", "watch", "reason", "evaluations", "cool_down_until", "retraining", "decision_key")
    return {name: result[name] for name in names if name in result}
