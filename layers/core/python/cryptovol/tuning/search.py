"""The search: candidates by a tree-structured Parzen estimator, compared fold by fold, the hopeless ones cut short.

References
----------
Bergstra, Bardenet, Bengio, Kégl (2011), Algorithms for Hyper-Parameter Optimization.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptovol import codehash, tables
from cryptovol.params import TrainParams
from cryptovol.tuneparams import TuneParams
from cryptovol.tuning import journal, space
from cryptovol.tuning.blocks import Blocks
from cryptovol.tuning.journal import StoredStudy, Trial

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial
    from optuna.trial import Trial as OpenTrial

Clock = Callable[[], float]  # seconds, for the budget alone
BEST_SHARE = 0.25  # of the complete trials PED-ANOVA explains: of fifty the usual tenth would be a handful

Progress = Callable[[int, int, float], None]  # trials done, trials in all, best QLIKE so far


def study_name(features_sha256: str, horizon: int, train: TrainParams, tune: TuneParams, *, coverage: float) -> str:
    """Return the digest of everything a trial's values depend on, so that a study never mixes two worlds.

    The budget is left out: raising it goes on with the same study.
    """
    depends = {
        "features": features_sha256,
        "horizon": horizon,
        "coverage": coverage,
        "train": asdict(train),
        "tune": asdict(replace(tune, trials=0, seconds=0)),
        "space": {"version": space.VERSION, "bounds": space.bounds(tune.space, train)},
        "code": [codehash.model_code_sha256(), _own_code_sha256()],
    }
    return tables.sha256(json.dumps(depends, sort_keys=True).encode())[:32]


def _own_code_sha256() -> str:
    """Return the hash of what decides a trial's values here."""
    files = (Path(__file__).parent / f"{name}.py" for name in ("blocks", "search", "space"))
    return tables.sha256(b"".join(path.read_bytes() for path in files))


def run(
    study: StoredStudy,
    blocks: Blocks,
    train: TrainParams,
    tune: TuneParams,
    *,
    starts: Sequence[space.Values],
    seconds: float,
    clock: Clock = time.monotonic,
    progress: Progress | None = None,
) -> list[Trial]:
    """Return the study's trials by slot, after adding those its budget still allows.

    A trial depends on the study's data, its slot and the trials before it alone: a search stopped and taken up again
    ends as one that was never stopped. Trials already stored count against the budget, in number and in seconds; the
    first trial is always run, so that there is a result.

    Parameters
    ----------
    train
        The training block of `params.yaml`; what is not searched is taken from it.
    starts
        What the first slots try: the parameters in force, then others worth a try.
    seconds
        After so many in all trials together no further one is begun.
    """
    while True:
        stored = study.trials()
        trials = [journal.read(trial) for trial in stored]
        if progress and any(trial.complete for trial in trials):
            progress(len(trials), tune.trials, journal.best(trials).mean)
        spent = sum(trial.seconds for trial in trials)
        if trials and (len(trials) >= tune.trials or spent >= seconds):
            return trials
        start = starts[len(trials)] if len(trials) < len(starts) else None
        study.add(_trial(stored, blocks, train, tune, start=start, clock=clock))


def _trial(
    past: Sequence[FrozenTrial],
    blocks: Blocks,
    train: TrainParams,
    tune: TuneParams,
    *,
    start: space.Values | None,
    clock: Clock,
) -> FrozenTrial:
    """Return the next trial after `past`, scored and finished, as optuna keeps it."""
    from optuna.trial import TrialState, create_trial

    began = clock()
    rehearsal = _study(past, train, tune)
    if start is not None:
        rehearsal.enqueue_trial(dict(start))
    trial = rehearsal.ask(space.distributions(space.bounds(tune.space, train)))
    losses = _losses(trial, blocks, space.with_values(train, trial.params), usual=past[0] if past else None)
    pruned = len(losses) < len(blocks.folds)
    frozen = rehearsal.get_trials(deepcopy=False)[-1]
    return create_trial(
        state=TrialState.PRUNED if pruned else TrialState.COMPLETE,
        value=None if pruned else _mean(losses),
        params=frozen.params,
        distributions=frozen.distributions,
        intermediate_values=frozen.intermediate_values,
        user_attrs={"slot": len(past), "qlike": losses, "seconds": round(clock() - began, 3)},
    )


def _losses(trial: OpenTrial, blocks: Blocks, params: TrainParams, *, usual: FrozenTrial | None) -> list[float]:
    """Return the QLIKE of each fold, of fewer than all if the trial overflows or the pruner has seen enough.

    What is reported is the mean difference from the first trial on the same folds: some folds are harder than others,
    for every candidate alike.
    """
    losses: list[float] = []
    for number in range(len(blocks.folds)):
        loss = blocks.loss(number, params)
        if loss == float("inf"):
            break
        losses.append(loss)
        beside = usual.user_attrs["qlike"] if usual is not None else losses
        trial.report(_mean(losses) - _mean(beside[: len(losses)]), number)
        if trial.should_prune() and number + 1 < len(blocks.folds):
            break
    return losses


def _mean(losses: Sequence[float]) -> float:
    return sum(losses) / len(losses)


def _study(past: Sequence[FrozenTrial], train: TrainParams, tune: TuneParams) -> Study:
    """Return a study in memory that knows the trials so far and draws the next one by its slot.

    Drawing in memory keeps half a trial out of the store; a sampler seeded by the slot draws the same after a stop.
    """
    import optuna

    seed = int.from_bytes(hashlib.sha256(f"{train.seed}/{len(past)}".encode()).digest()[:4], "big")
    made = optuna.create_study(
        direction="minimize",
        sampler=optuna.samplers.TPESampler(seed=seed, n_startup_trials=tune.startup_trials, multivariate=True),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=tune.prune_after_trials, n_warmup_steps=1),
    )
    for trial in past:
        made.add_trial(trial)
    return made


def importances(past: Sequence[FrozenTrial], train: TrainParams, tune: TuneParams) -> dict[str, Any]:
    """Return each number's share of what decides the best trials, largest first, and by which method.

    Empty where there are too few complete trials to tell. fANOVA needs scikit-learn, which functions do not carry; there
    it is PED-ANOVA, which the result names.

    References
    ----------
    Hutter, Hoos, Leyton-Brown (2014), An Efficient Approach for Assessing Hyperparameter Importance.
    Watanabe, Bansal, Hutter (2023), PED-ANOVA: Efficiently Quantifying Hyperparameter Importance in Arbitrary Subspaces.
    """
    from optuna import importance

    complete = sum(trial.state.name == "COMPLETE" for trial in past)
    whole = find_spec("sklearn") is not None
    told: dict[str, Any] = {
        "method": "fANOVA" if whole else "PED-ANOVA (no scikit-learn here)",
        "complete": complete,
        "shares": {},
    }
    if complete < tune.startup_trials:
        return {**told, "remark": f"fewer than the {tune.startup_trials} complete trials it takes to tell"}
    evaluator: importance.BaseImportanceEvaluator = (
        importance.FanovaImportanceEvaluator(seed=train.seed)
        if whole
        else importance.PedAnovaImportanceEvaluator(target_quantile=BEST_SHARE, evaluate_on_local=False)
    )
    found = importance.get_param_importances(_study(past, train, tune), evaluator=evaluator)
    return {**told, "shares": {name: float(share) for name, share in found.items()}}
