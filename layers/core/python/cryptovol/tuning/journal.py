"""A study kept in the store, as optuna's journal: one object per record, written only if its number is free.

So nothing is ever overwritten: of two tuners one takes a number and the other the next, and a killed one leaves whole
records or none. There is one record when the study begins and one per finished trial; a trial that was cut short leaves
no trace and is done again.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from cryptovol import tables
from cryptovol.errors import DataError, KeyNotFoundError
from cryptovol.ports import Store

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial


class StoreJournal:
    """What `optuna.storages.JournalStorage` reads from and appends to: `BaseJournalBackend` over a `Store`.

    Parameters
    ----------
    prefix
        Before the records' numbers, with its closing slash.
    """

    def __init__(self, store: Store, prefix: str) -> None:
        self._store = store
        self._prefix = prefix
        self._records: list[dict[str, Any]] = []

    def read_logs(self, log_number_from: int) -> list[dict[str, Any]]:
        """Return the records from a number on, those of other writers included.

        Raises
        ------
        DataError
            If a record is not what was written.
        """
        while (record := self._next()) is not None:
            self._records.append(record)
        return self._records[log_number_from:]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Write records under the next free numbers, in order."""
        for log in logs:
            data = tables.encode_json(log)
            while not self._store.put_new(self._key(), data):
                self.read_logs(0)
            self._records.append(json.loads(data))

    def _key(self) -> str:
        return f"{self._prefix}{len(self._records):08d}.json"

    def _next(self) -> dict[str, Any] | None:
        key = self._key()
        try:
            record = json.loads(self._store.get(key).data)
        except KeyNotFoundError:
            return None
        except ValueError as error:
            raise DataError(f"{key} is not a record of a study: {error}. Cure: delete the study's folder") from error
        if not isinstance(record, dict):
            raise DataError(f"{key} is not a record of a study. Cure: delete the study's folder")
        return record


@dataclass(frozen=True)
class Trial:
    """One finished trial.

    Parameters
    ----------
    slot
        Its place in the study, from 0: the parameters in force come first.
    values
        The searched numbers by name.
    qlike
        Mean QLIKE of each fold scored; fewer than all if the trial was pruned.
    complete
        Whether it was scored on every fold.
    seconds
        How long it took.
    """

    slot: int
    values: dict[str, float]
    qlike: tuple[float, ...]
    complete: bool
    seconds: float

    @property
    def mean(self) -> float:
        """Mean QLIKE over the folds scored; infinite without any."""
        return sum(self.qlike) / len(self.qlike) if self.qlike else float("inf")


class StoredStudy:
    """The finished trials of one study.

    Parameters
    ----------
    prefix
        The study's records; see `StoreJournal`.
    name
        The study's name.
    """

    def __init__(self, store: Store, prefix: str, name: str) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        storage = optuna.storages.JournalStorage(cast(Any, StoreJournal(store, prefix)))
        # Loaded first: creating writes a record even where the study is there.
        try:
            self._study: Study = optuna.load_study(study_name=name, storage=storage)
        except KeyError:
            self._study = optuna.create_study(
                storage=storage, study_name=name, direction="minimize", load_if_exists=True
            )

    def trials(self) -> list[FrozenTrial]:
        """Return the trials by slot, from 0; where two tuners did the same slot, the first recorded one counts."""
        firsts: dict[int, FrozenTrial] = {}
        for trial in self._study.get_trials(deepcopy=False):
            firsts.setdefault(trial.user_attrs["slot"], trial)
        return [firsts[slot] for slot in sorted(firsts)]

    def add(self, trial: FrozenTrial) -> None:
        """Record a finished trial, in one object."""
        self._study.add_trial(trial)


def read(trial: FrozenTrial) -> Trial:
    """Return a stored trial in our own words."""
    own = trial.user_attrs
    return Trial(own["slot"], dict(trial.params), tuple(own["qlike"]), trial.state.name == "COMPLETE", own["seconds"])


def best(trials: Sequence[Trial]) -> Trial:
    """Return the complete trial with the lowest QLIKE; of equals the earliest.

    Raises
    ------
    DataError
        If none is complete.
    """
    complete = [trial for trial in trials if trial.complete]
    if not complete:
        raise DataError("no trial could be scored on every fold; look at the targets of the feature table")
    return min(complete, key=lambda trial: (trial.mean, trial.slot))
