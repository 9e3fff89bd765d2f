"""`tuned.json`: what a search found, and whether a retrain may use it."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cryptovol import keys, tables
from cryptovol.errors import ConfigError, KeyNotFoundError
from cryptovol.params import Params, TrainParams
from cryptovol.ports import Store
from cryptovol.times import format_instant, parse_instant
from cryptovol.training import TrainingTable
from cryptovol.tuning import journal, space
from cryptovol.tuning.blocks import untouched_row
from cryptovol.tuning.journal import Trial

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class InForce:
    """The training block a retrain uses.

    Parameters
    ----------
    train
        The block, tuned or as in `params.yaml`.
    study
        The study the numbers are from; empty if they are those of `params.yaml`.
    note
        Why they are what they are, in one sentence.
    """

    train: TrainParams
    study: str
    note: str

    def lineage(self) -> dict[str, str]:
        """Return what the ledger and the tracker keep of it."""
        return {"tuning_study": self.study, "tuning": self.note}


def in_force(store: Store, market: str, pair: str, table: TrainingTable, *, params: Params) -> InForce:
    """Return the tuned training block, or that of `params.yaml` with the reason why.

    Parameters
    ----------
    table
        What is to be trained on. A search that saw a label of the window this training is judged on is not used: its
        choice would flatter the scores.
    """
    try:
        data = store.get(keys.tuned(market, pair, table.horizon)).data
    except KeyNotFoundError:
        return InForce(params.train, "", "never tuned: parameters of params.yaml")
    untouched_from = int(table.time[untouched_row(table, params.train.window_hours)])
    try:
        body = json.loads(data)
        reason = _objection(body, params, untouched_from)
    except (ValueError, TypeError, KeyError, ConfigError) as error:
        reason = f"it cannot be read ({type(error).__name__}: {error})"
    if reason:
        _log.warning("%s %d h: tuned.json is not used: %s", pair, table.horizon, reason)
        return InForce(params.train, "", f"tuned.json is not used: {reason}; parameters of params.yaml")
    return InForce(space.with_values(params.train, body["params"]), str(body["study"]), f"tuned as of {body['as_of']}")


def _objection(body: Any, params: Params, untouched_from: int) -> str:
    """Return why the file must not be used, or an empty text; raises what a malformed field raises."""
    if not isinstance(body, Mapping):
        return "it is no JSON object"
    if body.get("space") != space.VERSION:
        return f"it is of search space {body.get('space')!r}, this version has {space.VERSION}"
    if body["base"] != space.values_of(params.train):
        return "params.yaml has other train parameters than it was tuned from; run `cryptovol tune` again"
    reason = space.objection(body["params"], space.bounds(params.tune.space, params.train))
    if reason:
        return reason
    if not isinstance(body["study"], str) or not body["study"]:
        return f"it is of study {body['study']!r}"
    parse_instant(body["as_of"])
    seen = parse_instant(body["seen_until"])
    if seen > untouched_from:
        return (
            f"its search saw hours up to {body['seen_until']}, and this training is judged from "
            f"{format_instant(untouched_from)} on"
        )
    return ""


def summary(trials: Sequence[Trial], train: TrainParams) -> dict[str, Any]:
    """Return what a search found: parameters and QLIKE per fold of the best trial and of the ones in force before."""
    best, first = journal.best(trials), trials[0]
    return {
        "space": space.VERSION,
        "base": space.values_of(train),
        "params": best.values,
        "before": first.values,
        "qlike": {"tuned": list(best.qlike), "in_force": list(first.qlike)},
        "best_slot": best.slot,
        "trials": {
            "all": len(trials), "complete": sum(t.complete for t in trials), "pruned": sum(not t.complete for t in trials),
        },
        "seconds": round(sum(trial.seconds for trial in trials), 3),
    }  # fmt: skip


def write(store: Store, key: str, body: Mapping[str, Any]) -> bool:
    """Write the outcome and return True, unless what is there must stay: then return False.

    That is a file of the same study's same trials, so that a repeated event leaves the run that found it in place, and
    one of a later instant.
    """
    try:
        there = json.loads(store.get(key).data)
    except (KeyNotFoundError, ValueError):
        there = None
    if isinstance(there, dict):
        same = (there.get("study"), there.get("trials")) == (body["study"], body["trials"])
        if same or str(there.get("as_of", "")) > body["as_of"]:
            return False
    store.put(key, tables.encode_json(body))
    return True
