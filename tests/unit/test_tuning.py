"""The search for parameters: what it looks at, what it finds, and that a stop changes nothing."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cryptovol import params as params_module
from cryptovol.errors import ConfigError, DataError, NotEnoughBarsError
from cryptovol.testing import MemoryStore
from cryptovol.training import TrainingTable
from cryptovol.tuning import blocks, journal, pictures, search, space

ALL = params_module.load(Path("params.yaml"))
TRAIN = replace(
    ALL.train, threads=1, window_hours=300, least_rows=300, ridge=30.0, forest=replace(ALL.train.forest, trees=20)
)
SPACE = replace(ALL.tune.space, trees=(10, 40), depth=(2, 4))
TUNE = replace(
    ALL.tune, trials=12, seconds=1e9, folds=3, test_hours=100, startup_trials=4, prune_after_trials=3, space=SPACE
)
LOG = "models/m/btc-usd/h24/tuning/s/log/"


def table(n: int = 1600, *, horizon: int = 24, seed: int = 0) -> TrainingTable:
    """Return made-up hours whose log volatility is a straight line and a step that only trees can learn."""
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((n, 36))
    log = -5 + 0.3 * values[:, 0] + 0.8 * (values[:, 1] > 0.5) + 0.05 * rng.standard_normal(n)
    target = np.exp(log)
    target[-horizon:] = np.nan
    return TrainingTable(3600 * np.arange(n), values, np.zeros(n), target, horizon, 0.75)


class Bowl:
    """Stands in for `Blocks`: a loss known in closed form, least at ridge 10 and depth 3; remembers every call."""

    def __init__(self, folds: int = 3) -> None:
        self.folds = tuple(range(folds))
        self.calls: list[tuple[int, float]] = []
        self.stop_at: int | None = None

    def loss(self, number: int, params: object) -> float:
        """Return the loss of one fold; raise `KeyboardInterrupt` at the call that was planned."""
        self.calls.append((number, params.ridge))
        if len(self.calls) == self.stop_at:
            raise KeyboardInterrupt
        return 0.3 + 0.1 * number + 0.02 * np.log(params.ridge / 10) ** 2 + 0.01 * abs(params.forest.depth - 3)


def searched(store: MemoryStore, bowl: object, tune=TUNE, *, starts=None, clock=lambda: 0.0, seconds=1e9, seen=None):
    """Run the search of one study over a store."""
    study = journal.StoredStudy(store, LOG, "s")
    own = [space.values_of(TRAIN)] if starts is None else starts
    return search.run(study, bowl, TRAIN, tune, starts=own, seconds=seconds, clock=clock, progress=seen)


# ---------------------------------------------------------------- the hours


def test_blocks_are_purged_spread_and_end_a_horizon_before_the_untouched_window():
    """Each fit ends a horizon before its block, each block lies in its part, none reaches the promotion's window."""
    found = blocks.plan(table(), TRAIN, TUNE)
    assert found.untouched == 1600 - 24 - 300
    assert [fold.start - fold.train_end for fold in found.folds] == [24, 24, 24]
    assert found.folds[-1].stop == found.untouched - 24
    gaps = np.diff([fold.stop for fold in found.folds])
    assert gaps.min() == gaps.max() >= 100 and found.folds[0].train_end >= 300
    assert found.seen_until == 3600 * found.untouched


def test_nothing_of_the_untouched_window_changes_a_value():
    """Garbage in its features, and in every label that reaches into it, leaves the losses bit for bit as they were."""
    clean = table()
    first = blocks.plan(clean, TRAIN, TUNE)
    values, target = clean.values.copy(), clean.target.copy()
    values[first.untouched :] = 1e6
    target[first.untouched - 24 : -24] = 1e3
    poisoned = blocks.plan(replace(clean, values=values, target=target), TRAIN, TUNE)
    for number in range(3):
        assert poisoned.loss(number, TRAIN) == first.loss(number, TRAIN)
    target[first.untouched - 25] = 1e3  # one row earlier is looked at: the test can fail
    assert blocks.plan(replace(clean, target=target), TRAIN, TUNE).loss(2, TRAIN) != first.loss(2, TRAIN)


def test_a_fold_is_fitted_on_its_own_past_alone():
    """What comes after a block, and what its labels could not have been known for, changes nothing in it."""
    clean = table()
    first = blocks.plan(clean, TRAIN, TUNE)
    target = clean.target.copy()
    target[first.folds[0].train_end : first.folds[0].start] = 1e3
    target[first.folds[0].stop : -24] = 1e3
    assert blocks.plan(replace(clean, target=target), TRAIN, TUNE).loss(0, TRAIN) == first.loss(0, TRAIN)


@pytest.mark.parametrize(("stride", "rows"), [(1, 24), (5, 5), (7, 4), (23, 2), (25, 1)])
def test_a_thinned_fit_leaves_out_as_many_of_its_rows_as_share_hours(monkeypatch, stride, rows):
    """A horizon of 24 h spans five rows that are five hours apart: so many are purged, not 24 of them."""
    seen, fit = [], blocks.model.fit

    def watched(values, target, train, *, horizon):
        seen.append(horizon)
        return fit(values, target, train, horizon=horizon)

    monkeypatch.setattr(blocks.model, "fit", watched)
    plan = blocks.plan(table(3000), replace(TRAIN, members=2), replace(TUNE, stride_hours=stride))
    assert np.isfinite(plan.loss(2, replace(TRAIN, members=2)))
    assert seen == [rows] and rows * stride >= 24


@pytest.mark.parametrize("n", [10, 200, 324, 700, 940])
def test_too_few_hours_are_refused_with_both_numbers(n):
    """The message names what is needed and what is there."""
    with pytest.raises(NotEnoughBarsError, match="labelled hours") as caught:
        blocks.plan(table(n), TRAIN, TUNE)
    assert caught.value.needed > 0


@pytest.mark.parametrize("wrong", [{"stride_hours": 6}, {"stride_hours": 0}, {"folds": 0}, {"test_hours": 0}])
def test_blocks_that_make_no_sense_are_refused_by_name(wrong):
    """A stride that would see some hours of the day only is a wrong parameter, as is no fold at all."""
    with pytest.raises(ConfigError, match=r"tune\.folds"):
        blocks.plan(table(), TRAIN, replace(TUNE, **wrong))


def test_a_thinned_fit_weighs_its_penalties_as_the_whole_one():
    """On a fifth of the rows every penalty that is held against a sum over rows is a fifth."""
    thin = blocks.thinned(TRAIN, 5)
    assert (thin.ridge, thin.least_rows) == (TRAIN.ridge / 5, 60)
    assert thin.forest.l2 == TRAIN.forest.l2 / 5
    assert thin.forest.min_child_weight == TRAIN.forest.min_child_weight / 5
    assert replace(thin.forest, l2=0, min_child_weight=0) == replace(TRAIN.forest, l2=0, min_child_weight=0)


# ---------------------------------------------------------------- the search


def test_the_search_finds_planted_better_parameters():
    """A ridge so strong that it flattens the line, and a forest too slow to learn, are left behind by the search."""
    poor = replace(TRAIN, ridge=1e5, forest=replace(TRAIN.forest, trees=10, learning_rate=0.01, l2=300.0))
    tune = replace(TUNE, trials=10)
    plan = blocks.plan(table(), poor, tune)
    study = journal.StoredStudy(MemoryStore(), LOG, "s")
    trials = search.run(study, plan, poor, tune, starts=[space.values_of(poor)], seconds=1e9)
    assert trials[0].values == space.values_of(poor)
    assert journal.best(trials).mean < 0.8 * trials[0].mean
    assert journal.best(trials).values["ridge"] < 1e4


def test_the_search_is_never_worse_than_the_parameters_in_force():
    """They are the first trial, complete; where nothing beats them they are the result."""
    ideal = {**space.values_of(TRAIN), "ridge": 10.0, "depth": 3}
    trials = searched(MemoryStore(), Bowl(), starts=[ideal, space.values_of(TRAIN)])
    assert trials[0].complete and trials[1].values == space.values_of(TRAIN)
    assert journal.best(trials).slot == 0 and journal.best(trials).values == ideal


def test_hopeless_trials_are_cut_short_and_never_chosen():
    """A trial worse than the median after two folds is not fitted on the third; it is on record, and not the best."""
    bowl = Bowl()
    trials = searched(MemoryStore(), bowl, replace(TUNE, trials=30))
    cut = [trial for trial in trials if not trial.complete]
    assert cut and {len(trial.qlike) for trial in cut} == {2}
    assert len(bowl.calls) == sum(len(trial.qlike) for trial in trials) < 90
    assert journal.best(trials).complete


def test_a_candidate_that_overflows_is_cut_short():
    """An infinite loss ends the trial; if even the parameters in force overflow there is an error, not a result."""

    class Overflowing(Bowl):
        def loss(self, number, params):
            return super().loss(number, params) if params.ridge == TRAIN.ridge else np.inf

    trials = searched(MemoryStore(), Overflowing(), replace(TUNE, trials=3))
    assert [(trial.complete, len(trial.qlike)) for trial in trials] == [(True, 3), (False, 0), (False, 0)]
    with pytest.raises(DataError, match="no trial could be scored"):
        journal.best(trials[1:])


@pytest.mark.parametrize("stop_at", [1, 2, 10, 23])
def test_a_search_stopped_in_the_middle_ends_as_one_that_was_not(stop_at):
    """Killed within any trial and taken up again, it gives the same trials and repeats no finished one."""
    whole, broken, store = Bowl(), Bowl(), MemoryStore()
    expected = searched(MemoryStore(), whole)
    broken.stop_at = stop_at
    with pytest.raises(KeyboardInterrupt):
        searched(store, broken)
    stored = dict(store.objects)
    done = len(journal.StoredStudy(store, LOG, "s").trials())
    broken.stop_at = None
    broken.calls.clear()
    assert searched(store, broken) == expected
    assert broken.calls == whole.calls[sum(len(trial.qlike) for trial in expected[:done]) :]
    assert {key: store.objects[key] for key in stored} == stored


def test_a_used_up_budget_of_trials_computes_nothing_and_a_larger_one_goes_on():
    """The stored trials are the result; twelve and then twenty are the same as twenty at once."""
    store, bowl = MemoryStore(), Bowl()
    first = searched(store, bowl)
    assert len(first) == 12
    bowl.calls.clear()
    before = dict(store.objects)
    assert searched(store, bowl) == first
    assert bowl.calls == [] and store.objects == before
    more = replace(TUNE, trials=20)
    assert searched(store, bowl, more) == searched(MemoryStore(), Bowl(), more)


def test_a_budget_of_seconds_counts_stored_trials_and_always_runs_the_first():
    """Trials of two seconds fit thrice in five; called again nothing is left; without any time there is one."""
    ticks = iter(range(0, 1000, 2))
    store, bowl = MemoryStore(), Bowl()
    assert len(searched(store, bowl, clock=lambda: float(next(ticks)), seconds=5.0)) == 3
    assert len(searched(store, bowl, clock=lambda: float(next(ticks)), seconds=5.0)) == 3
    assert len(searched(MemoryStore(), bowl, seconds=0.0)) == 1


def test_a_second_tuner_of_the_same_study_overwrites_nothing_and_changes_nothing():
    """One that begins and ends while the other is within a trial: both see the one study that a lone tuner makes."""
    store, other = MemoryStore(), Bowl()

    class Overtaken(Bowl):
        def loss(self, number, params):
            if len(self.calls) == 4:
                self.calls.append((number, params.ridge))
                searched(store, other)
                self.before = dict(store.objects)
            return super().loss(number, params)

    slow = Overtaken()
    expected = searched(MemoryStore(), Bowl())
    assert searched(store, slow) == expected
    assert searched(store, Bowl()) == expected
    assert {key: store.objects[key] for key in slow.before} == slow.before
    assert len(slow.calls) < len(other.calls)


def test_progress_tells_how_many_trials_and_the_best_so_far():
    """It begins with what is stored, ends with all, and the best never gets worse."""
    seen, store = [], MemoryStore()
    searched(store, Bowl(), seen=lambda *told: seen.append(told))
    assert [done for done, _, _ in seen] == list(range(1, 13)) and {total for _, total, _ in seen} == {12}
    best = [value for _, _, value in seen]
    assert best == sorted(best, reverse=True)
    searched(store, Bowl(), seen=lambda *told: seen.append(told))
    assert seen[12:] == [seen[11]]


def test_a_study_is_named_by_everything_but_its_budget():
    """Other data, horizon, folds, bounds or training block: another study; another budget: the same."""

    def name(features="f", horizon=24, train=TRAIN, tune=TUNE, coverage=0.75):
        return search.study_name(features, horizon, train, tune, coverage=coverage)

    others = {
        name(features="g"), name(horizon=6), name(train=replace(TRAIN, seed=8)), name(train=replace(TRAIN, ridge=31.0)),
        name(tune=replace(TUNE, folds=2)), name(tune=replace(TUNE, space=replace(SPACE, l2=(1.0, 2.0)))),
        name(coverage=0.8),
    }  # fmt: skip
    assert len(others | {name()}) == 8
    assert name(tune=replace(TUNE, trials=99, seconds=1.0)) == name()


# ---------------------------------------------------------------- what is shown


def test_pictures_of_the_same_trials_have_the_same_bytes():
    """History and importance are drawn, the trials are listed, and drawing again gives the same files.

    Of trials at random, none cut short, the number that decides the loss is found to matter most.
    """
    store = MemoryStore()
    trials = searched(store, Bowl(), replace(TUNE, trials=40, startup_trials=40, prune_after_trials=99))
    study = journal.StoredStudy(store, LOG, "s")
    told = search.importances(study.trials(), TRAIN, TUNE)
    assert next(iter(told["shares"])) == "ridge" and sum(told["shares"].values()) == pytest.approx(1.0)
    files = pictures.artifacts("m", trials, told)
    assert set(files) == {"trials.json", "importance.json", "plots/history.svg", "plots/importance.svg"}
    assert pictures.artifacts("m", trials, search.importances(study.trials(), TRAIN, TUNE)) == files
    assert b"best so far" in files["plots/history.svg"] and b"fANOVA" in files["plots/importance.svg"]


def test_where_scikit_learn_is_absent_another_method_tells_the_importance(monkeypatch):
    """As in a function: the shares come from what needs numpy alone, and the artifact says so."""
    store = MemoryStore()
    trials = searched(store, Bowl(), replace(TUNE, trials=30))
    monkeypatch.setattr(search, "find_spec", lambda name: None)
    told = search.importances(journal.StoredStudy(store, LOG, "s").trials(), TRAIN, TUNE)
    assert told["method"] == "PED-ANOVA (no scikit-learn here)" and sum(told["shares"].values()) == pytest.approx(1.0)
    assert b"no scikit-learn here" in pictures.artifacts("m", trials, told)["plots/importance.svg"]


def test_too_few_trials_have_a_sentence_in_place_of_their_importance():
    """One trial says nothing about eight numbers, and the artifact says so."""
    store = MemoryStore()
    trials = searched(store, Bowl(), replace(TUNE, trials=1))
    told = search.importances(journal.StoredStudy(store, LOG, "s").trials(), TRAIN, TUNE)
    files = pictures.artifacts("m", trials, told)
    assert "plots/importance.svg" not in files and b"fewer than the 4 complete trials" in files["importance.json"]
