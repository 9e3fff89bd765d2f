"""Feature table → model bundle, scores, tracked run, ledger entry: one challenger per horizon, promoted or not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from cryptovol import (
    bundle, card, card_text, champions, codehash, history, keys, leaks, ledger, plots, promotion, shadow, spec, tables, training,
)  # fmt: skip
from cryptovol.bars import Floats
from cryptovol.bundle import Bundle
from cryptovol.errors import BundleRefusedError, DataError
from cryptovol.events import Result, StageEvent
from cryptovol.params import Params
from cryptovol.ports import Store, TrackedRun, Tracker
from cryptovol.promotion import Verdict
from cryptovol.tables import Table
from cryptovol.times import HOUR, parse_instant
from cryptovol.training import Built, TrainingTable
from cryptovol.tuning.outcome import in_force


def run(event: StageEvent, *, store: Store, tracker: Tracker, params: Params, git_commit: str = "") -> Result:
    """Train one challenger per horizon, decide on each, and return what happened.

    A challenger that loses is recorded and not promoted; that is an outcome, not an error. The same event again
    finds its own ledger entries and changes nothing.

    Returns
    -------
    dict
        The event's fields and ``models``: per horizon the decision, reason, bundle, version and scores;
        ``rows_trained``.

    Raises
    ------
    NotEnoughBarsError
        If there is too little labelled history to fit and to score on.
    LeakError
        If a target in the table is not that of the coming hours.
    """
    manifest = history.load_manifest(store, event.need("features_key"))
    if manifest is None:
        raise DataError(f"no feature table under {event.need('features_key')}; run featurize first")
    table = history.read(store, manifest)
    _audit(table, params, float(manifest.body.get("target_coverage", params.featurize.target_coverage)))
    lineage = {
        "features_sha256": manifest.sha256,
        "clean_sha256": event.given.get("clean_sha256", ""),
        "raw_sha256": event.given.get("raw_sha256", ""),
        "source": event.given.get("source", ""),
        "git_commit": git_commit,
    }
    horizons = params.featurize.horizons
    models = {str(h): _one(event, h, table, lineage, store=store, tracker=tracker, params=params) for h in horizons}
    return event.result(models=models, rows_trained=max(m["rows"] for m in models.values()))


def _audit(table: Table, params: Params, coverage: float) -> None:
    for horizon in params.featurize.horizons:
        leaks.audit_target(
            table["time"], table["log_return"], table[f"target_{horizon}"], horizon=horizon, coverage=coverage
        )


def _one(
    event: StageEvent,
    horizon: int,
    table: Table,
    lineage: Mapping[str, Any],
    *,
    store: Store,
    tracker: Tracker,
    params: Params,
) -> dict[str, Any]:
    market = event.need("market")
    labelled = _labelled(table, horizon, params)
    tuned = in_force(store, market, event.pair, labelled, params=params)
    params, lineage = replace(params, train=tuned.train), {**lineage, **tuned.lineage()}
    inputs = _inputs_sha256(lineage, horizon, params)
    past = ledger.reconcile(store, market, event.pair, horizon)
    past = shadow.settle(event, horizon, past, store=store, params=params)
    for entry in reversed(past):
        if entry.body.get("inputs_sha256") == inputs:
            champions.set_aliases(tracker, store, market, event.pair, horizon, entry=past[-1])
            return _outcome(entry.body, repeated=True)
    built = _fit(event, labelled, params, study=tuned.study)
    trained = built.bundle
    bundle.save(store, keys.bundle(market, event.pair, horizon, sha256=trained.sha256), built.files)
    verdict = _judge(built, table, store, market, event.pair, params=params)
    known = {**lineage, "ledger_previous": past[-1].sha256 if past else ""}
    tracked = _track(tracker, built, verdict, event=event, lineage=known, params=params)
    challenger = _identity(trained, tracked.version)
    entry = ledger.append(
        store, market, event.pair, horizon,
        decision="promoted" if verdict.promote else "rejected", outcome=verdict.outcome, after=len(past),
        champion=challenger if verdict.promote else (past[-1].body["champion"] if past else None),
        challenger=challenger, reason=verdict.reason, numbers=verdict.numbers, scores=trained.scores,
        as_of=event.as_of_text, run_id=event.run_id, inputs_sha256=inputs,
        lineage={**lineage, "mlflow_run": tracked.run_id, "tracking_url": tracked.url},
        rows=trained.header["data"]["rows"],
    )  # fmt: skip
    champions.set_aliases(tracker, store, market, event.pair, horizon, entry=entry)
    return _outcome(entry.body, repeated=False)


def _identity(trained: Bundle, version: str) -> dict[str, str]:
    """Return what the ledger calls a model by."""
    told = {name: trained.header[name] for name in ("name", "trained_at")}
    return {"bundle_sha256": trained.sha256, **told, "version": version}


def _labelled(table: Table, horizon: int, params: Params) -> TrainingTable:
    columns = (table["time"], table["values"], table["log_return"], table[f"target_{horizon}"])
    return TrainingTable(*columns, horizon=horizon, coverage=params.featurize.window_coverage)


def _inputs_sha256(lineage: Mapping[str, Any], horizon: int, params: Params) -> str:
    """Return the digest of everything the bundle's bytes depend on."""
    depends = {
        "features": lineage["features_sha256"],
        "study": lineage["tuning_study"],
        "horizon": horizon,
        "train": asdict(params.train),
        "promotion": asdict(params.promotion),
        "code": codehash.model_code_sha256(),
    }
    return tables.sha256(json.dumps(depends, sort_keys=True).encode())


def _fit(event: StageEvent, labelled: TrainingTable, params: Params, *, study: str) -> Built:
    market = event.need("market")
    own = "" if market == "live" else f"{market}-"
    header = {
        "name": f"cryptovol-{own}{event.pair}-h{labelled.horizon}",
        "symbol": event.symbol,
        "quote": event.quote,
        "market": market,
        "source": event.given.get("source", market),
        "trained_at": event.as_of_text,
        "spec": spec.current(labelled.coverage),
        "tuning_study": study,
    }
    return training.build_bundle(labelled, params.train, header=header)


def _judge(built: Built, table: Table, store: Store, market: str, pair: str, *, params: Params) -> Verdict:
    """Return the verdict on the challenger's untouched window, and on whether its files say what was trained."""
    trained, window = built.bundle, built.bundle.window
    current = ledger.champion(store, market, pair, trained.horizon)
    rival: Floats | None = None
    unloadable = ""
    if current is not None:
        try:
            held = champions.fetch(store, market, pair, trained.horizon, sha256=current.bundle_sha256)
            rival = _untouched(held, window["time"], table)
        except BundleRefusedError as error:
            unloadable = f"the champion cannot serve ({error})"  # nor be compared: HAR alone is the bar
    verdict = promotion.decide(
        window["realized"], window["predicted"], window["har"], rival, horizon=trained.horizon,
        params=params.promotion, unloadable=unloadable,
    )  # fmt: skip
    sound = promotion.exported(_doubted(verdict, trained, params), built.export_difference)
    return promotion.awaited(sound, params.promotion)


def _doubted(verdict: Verdict, trained: Bundle, params: Params) -> Verdict:
    """Return the verdict, turned into a refusal if the challenger is too good to be true."""
    limit = params.promotion.suspect_r2_log[params.featurize.horizons.index(trained.horizon)]
    r2_log = float(trained.scores["model"]["r2_log"])
    doubt = leaks.suspicious(r2_log, horizon=trained.horizon, limit=limit)
    if not (doubt and verdict.promote):
        return verdict
    return Verdict("suspicious", f"{doubt}; else {verdict.reason}", {**verdict.numbers, "r2_log": r2_log})


def _untouched(champion: Bundle, time: Any, table: Table) -> Floats:
    """Return the champion's out-of-sample forecasts at `time`, shape (n,), NaN where it has none.

    Hours up to the end of its training come from its own walk-forward forecasts, later ones from the model itself.
    """
    out = np.full(len(time), np.nan)
    own = dict(zip(champion.window["time"].tolist(), champion.window["predicted"].tolist(), strict=True))
    later = np.asarray(time) + HOUR > parse_instant(champion.header["trained_at"])
    out[~later] = [own.get(int(t), np.nan) for t in time[~later]]
    rows = np.searchsorted(table["time"], time[later])
    out[later] = champion.predict(table["values"][rows])
    return out


def _track(
    tracker: Tracker,
    built: Built,
    verdict: Verdict,
    *,
    event: StageEvent,
    lineage: Mapping[str, Any],
    params: Params,
) -> TrackedRun:
    trained, scores = built.bundle, built.bundle.scores
    flat = dict(scores["model"])
    for name, errors in scores["baselines"].items():
        flat.update({f"{name}.{error}": value for error, value in errors.items()})
    flat.update({f"coverage.{level}": value for level, value in scores["coverage"].items()})
    flat.update({"dm_har.statistic": scores["dm_har"]["statistic"], "dm_har.p": scores["dm_har"]["p"]})
    tags = {
        "market": event.need("market"), "symbol": event.symbol, "quote": event.quote, "as_of": event.as_of_text,
        "run_id": event.run_id, "bundle_sha256": trained.sha256, "decision": verdict.reason, **lineage,
    }  # fmt: skip
    names = trained.header["spec"]["names"]
    artifacts = {f"bundle/{name}": data for name, data in built.files.items()}
    artifacts["features.txt"] = ("\n".join(names) + "\n").encode()
    artifacts["model_card.md"] = _card(trained, verdict, lineage)
    artifacts.update({f"plots/{name}": data for name, data in plots.training(trained).items()})
    return tracker.log(
        trained.header["name"],
        params={"horizon": trained.horizon, **asdict(params.train)},
        metrics=flat,
        fold_metrics={"fold_qlike": scores["fold_qlike"]},
        artifacts=artifacts,
        tags={name: str(value) for name, value in tags.items()},
    )


def _card(trained: Bundle, verdict: Verdict, lineage: Mapping[str, Any]) -> bytes:
    """Return the model card as it is before the ledger's entry and the registered version exist."""
    told = {
        "decision": "promoted" if verdict.promote else "rejected", "outcome": verdict.outcome, "reason": verdict.reason,
    }  # fmt: skip
    made = card.build(trained.header, trained.scores, bundle_sha256=trained.sha256, lineage=lineage, decision=told)
    return card_text.markdown(made).encode()


def _outcome(body: Mapping[str, Any], *, repeated: bool) -> dict[str, Any]:
    """Return what the next stages and people need of a ledger entry."""
    scores = body["scores"]
    return {
        "decision": body["decision"], "outcome": body.get("outcome", ""), "repeated": repeated, "reason": body["reason"],
        "entry": body["entry"],
        "challenger": body["challenger"], "champion": body["champion"], "rows": body["rows"],
        "qlike": {"model": scores["model"]["qlike"], **{n: s["qlike"] for n, s in scores["baselines"].items()}},
        "tracking_url": body["lineage"]["tracking_url"], "tuning": body["lineage"].get("tuning", ""),
    }  # fmt: skip
