"""Feature table → better ridge and forest parameters per horizon, searched before the hours promotion looks at."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from cryptovol import history, keys
from cryptovol.errors import DataError
from cryptovol.events import Result, StageEvent
from cryptovol.history import Manifest
from cryptovol.params import Params
from cryptovol.ports import Store, Tracker
from cryptovol.tables import Table
from cryptovol.times import format_instant
from cryptovol.training import TrainingTable
from cryptovol.tuning import blocks, journal, outcome, pictures, search, space

Progress = Callable[[int, int, int, float], None]  # horizon, trials done, trials in all, best QLIKE so far
_log = logging.getLogger(__name__)


def run(
    event: StageEvent,
    *,
    store: Store,
    tracker: Tracker,
    params: Params,
    market: str = "live",
    clock: search.Clock = time.monotonic,
    progress: Progress | None = None,
) -> Result:
    """Search parameters for each horizon within the budget, and keep what was found for the next retrain.

    Reads the feature table the event names, or the newest one that is not newer than the event. The same event again
    finds its studies in the store and computes nothing; a stopped one goes on where it was.

    Parameters
    ----------
    market
        Of the table, where the event names none.
    clock
        Seconds, for the budget.

    Returns
    -------
    dict
        The event's fields and ``tuning``: per horizon the study, its trials, the parameters and QLIKE per fold before and
        after; ``rows_tuned``.

    Raises
    ------
    DataError
        If there is no feature table.
    NotEnoughBarsError
        If too few hours lie before the untouched window.
    """
    market = event.given.get("market", market)
    manifest = _table(store, market, event)
    table = history.read(store, manifest)
    found = {}
    for horizon in params.featurize.horizons:
        seen = _seen(progress, horizon)
        found[str(horizon)] = _one(
            event, horizon, table, manifest,
            store=store, tracker=tracker, params=params, market=market, clock=clock, progress=seen,
        )  # fmt: skip
    return event.result(market=market, tuning=found, rows_tuned=max(body["rows"] for body in found.values()))


def _seen(progress: Progress | None, horizon: int) -> search.Progress | None:
    return None if progress is None else lambda done, total, best: progress(horizon, done, total, best)


def _table(store: Store, market: str, event: StageEvent) -> Manifest:
    """Return the feature table to tune on."""
    prefix = keys.features(market, event.pair)
    if "features_key" in event.given:
        found = history.load_manifest(store, event.given["features_key"])
    else:
        found = history.load_manifest(store, history.head_key(prefix))
        if found is not None and found.as_of > event.as_of:
            newest = history.state_key(prefix, event.as_of_text)
            past = [key for key in store.keys(history.state_key(prefix, "").removesuffix(".json")) if key <= newest]
            found = history.load_manifest(store, past[-1]) if past else None
    if found is None:
        raise DataError(
            f"no feature table of {event.pair} in market {market} as of {event.as_of_text}; run featurize first"
        )
    return found


def _one(
    event: StageEvent,
    horizon: int,
    table: Table,
    manifest: Manifest,
    *,
    store: Store,
    tracker: Tracker,
    params: Params,
    market: str,
    clock: search.Clock,
    progress: search.Progress | None,
) -> dict[str, Any]:
    columns = (table["time"], table["values"], table["log_return"], table[f"target_{horizon}"])
    coverage = params.featurize.window_coverage
    labelled = TrainingTable(*columns, horizon=horizon, coverage=coverage)
    plan = blocks.plan(labelled, params.train, params.tune)
    name = search.study_name(manifest.sha256, horizon, params.train, params.tune, coverage=coverage)
    study = journal.StoredStudy(store, keys.tuning_log(market, event.pair, horizon, study=name), name)
    before = outcome.in_force(store, market, event.pair, labelled, params=params)
    _log.info("%s %d h: the search starts from: %s", event.pair, horizon, before.note)
    present, written = space.values_of(before.train), space.values_of(params.train)
    trials = search.run(
        study, plan, params.train, params.tune,
        starts=[present] if present == written else [present, written],
        seconds=params.tune.seconds / len(params.featurize.horizons), clock=clock, progress=progress,
    )  # fmt: skip
    body = {
        **outcome.summary(trials, params.train),
        "study": name, "features_sha256": manifest.sha256, "as_of": event.as_of_text, "run_id": event.run_id,
        "seen_until": format_instant(plan.seen_until), "horizon": horizon, "rows": plan.rows,
    }  # fmt: skip
    key = keys.tuned(market, event.pair, horizon)
    url = _note(tracker, _name(event, market, horizon), body, study, trials, market=market, params=params)
    return {**body, "repeated": not outcome.write(store, key, body), "tuned_key": key, "tracking_url": url}


def _name(event: StageEvent, market: str, horizon: int) -> str:
    own = "" if market == "live" else f"{market}-"
    return f"cryptovol-{own}{event.pair}-h{horizon}"


def _note(
    tracker: Tracker,
    model: str,
    body: Mapping[str, Any],
    study: journal.StoredStudy,
    trials: list[journal.Trial],
    *,
    market: str,
    params: Params,
) -> str:
    """Tell the tracker of the search and return the link to its run."""
    tuned, before = (sum(body["qlike"][which]) / len(body["qlike"][which]) for which in ("tuned", "in_force"))
    complete = [trial for trial in trials if trial.complete]
    files = pictures.artifacts(model, trials, search.importances(study.trials(), params.train, params.tune))
    tags = {name: str(body[name]) for name in ("study", "features_sha256", "as_of", "run_id", "seen_until")}
    return tracker.note(
        f"{model}-tuning",
        identity=f"{body['study']}-{len(trials)}",
        params={"horizon": body["horizon"], **body["params"]},
        metrics={"qlike": tuned, "qlike_in_force": before, "trials": len(trials), "seconds": body["seconds"]},
        series={
            "trial_qlike": [trial.mean for trial in complete],
            "best_qlike": pictures.best_so_far(trials),
            "fold_qlike": body["qlike"]["tuned"],
        },
        artifacts=files,
        tags={**tags, "market": market},
    ).url
