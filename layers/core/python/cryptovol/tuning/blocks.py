"""On which hours candidates are compared: a few long blocks spread over the training window, each after its own past.

Few and long, because the cost of a candidate is its fits, while scoring hours costs next to nothing; spread, because
volatility has regimes and a number that is best in one calm year is not what a retrain needs. Fits take every
`stride_hours`-th row only: neighbours share all but one hour of their targets and say nearly the same. The stride has
no divisor in common with 24, so that every hour of the day is still seen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from cryptovol import model, scores
from cryptovol.bars import Mask
from cryptovol.errors import ConfigError, NotEnoughBarsError
from cryptovol.folds import Fold
from cryptovol.params import TrainParams
from cryptovol.training import TrainingTable
from cryptovol.tuneparams import TuneParams

DAY = 24


@dataclass(frozen=True, eq=False)
class Blocks:
    """The hours of one search.

    Parameters
    ----------
    table
        The history; rows from `untouched` on are never read, nor are labels that reach there.
    labelled
        Shape (n,): rows with all features and a known target.
    folds
        Expanding, oldest first, purged by the horizon.
    stride
        Hours between two rows of a fit.
    untouched
        The first row a promotion may be decided on.
    """

    table: TrainingTable
    labelled: Mask
    folds: tuple[Fold, ...]
    stride: int
    untouched: int

    @property
    def seen_until(self) -> int:
        """Unix seconds at which the newest label of the search was known: the open of the first untouched hour."""
        return int(self.table.time[self.untouched])

    @property
    def rows(self) -> int:
        """Labelled hours up to the end of the newest block."""
        return int(self.labelled[: self.folds[-1].stop].sum())

    def loss(self, number: int, params: TrainParams) -> float:
        """Return the mean QLIKE of one fold's block; infinite if the model overflows there."""
        fold = self.folds[number]
        rows = np.flatnonzero(self.labelled[: fold.train_end])
        # Counted back from the newest row, which is the one a forecast of today would have.
        fit = rows[::-1][:: self.stride][::-1]
        test = fold.start + np.flatnonzero(self.labelled[fold.start : fold.stop])
        apart = math.ceil(self.table.horizon / self.stride)  # rows of the fit whose labels overlap
        fitted = model.fit(self.table.values[fit], self.table.target[fit], thinned(params, self.stride), horizon=apart)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            mean = float(scores.qlike(self.table.target[test], fitted.predict(self.table.values[test])).mean())
        return mean if math.isfinite(mean) else math.inf


def untouched_row(table: TrainingTable, window_hours: int) -> int:
    """Return the first row of the promotion's window, the newest `window_hours` up to the last labelled row.

    Raises
    ------
    NotEnoughBarsError
        If there is no row before it.
    """
    labelled = np.flatnonzero(table.labelled())
    first = int(labelled[-1]) + 1 - window_hours if len(labelled) else 0
    if first < 1:
        raise NotEnoughBarsError(
            f"{len(labelled)} labelled hours at horizon {table.horizon} leave nothing before the "
            f"{window_hours} of train.window_hours",
            needed=window_hours + 1,
            found=len(labelled),
        )
    return first


def plan(table: TrainingTable, train: TrainParams, tune: TuneParams) -> Blocks:
    """Return the hours to compare candidates on.

    The stretch between the first ``train.least_rows`` labelled hours and the untouched window is cut into
    ``tune.folds`` equal parts; the last ``tune.test_hours`` of each are scored. No label reaches the untouched window:
    the newest block ends a horizon before it.

    Raises
    ------
    NotEnoughBarsError
        If the parts are shorter than a block, or a block has no labelled hour.
    ConfigError
        If a number of folds or hours is below 1, or the stride would miss some hours of the day.
    """
    if min(tune.folds, tune.test_hours, tune.stride_hours) < 1 or math.gcd(tune.stride_hours, DAY) != 1:
        raise ConfigError(
            "params.yaml: tune.folds, test_hours and stride_hours must be at least 1, and stride_hours without a "
            f"divisor in common with 24, not {tune.folds}, {tune.test_hours} and {tune.stride_hours}"
        )
    untouched = untouched_row(table, train.window_hours)
    labelled, stop = table.labelled(), untouched - table.horizon
    early = np.flatnonzero(labelled[: max(stop, 0)])
    if len(early) <= train.least_rows:
        raise _too_few(table, train, tune, len(early))
    first = int(early[train.least_rows]) + table.horizon
    part = (stop - first) // tune.folds
    if part < tune.test_hours:
        raise _too_few(table, train, tune, len(early))
    ends = [stop - part * (tune.folds - 1 - k) for k in range(tune.folds)]
    folds = tuple(
        Fold(end - tune.test_hours - table.horizon, end - tune.test_hours, end, table.horizon) for end in ends
    )
    for fold in folds:
        if not labelled[fold.start : fold.stop].any():
            raise _too_few(table, train, tune, len(early))
    return Blocks(table, labelled, folds, tune.stride_hours, untouched)


def _too_few(table: TrainingTable, train: TrainParams, tune: TuneParams, found: int) -> NotEnoughBarsError:
    needed = train.least_rows + tune.folds * tune.test_hours + table.horizon
    return NotEnoughBarsError(
        f"tuning at horizon {table.horizon} needs {needed} labelled hours before the {train.window_hours} of the "
        f"untouched window ({train.least_rows} to fit, {tune.folds} blocks of {tune.test_hours} to score), found {found}; "
        "ingest more history or lower tune.folds",
        needed=needed,
        found=found,
    )


def thinned(params: TrainParams, stride: int) -> TrainParams:
    """Return the block for a fit on every `stride`-th row that weighs its penalties as on all rows.

    Ridge, L2 and leaf weight are held against sums over rows, which are `stride` times smaller; ages are told in rows.
    """
    forest = replace(
        params.forest, min_child_weight=params.forest.min_child_weight / stride, l2=params.forest.l2 / stride
    )
    return replace(
        params, ridge=params.ridge / stride, least_rows=max(params.least_rows // stride, 1), forest=forest,
        half_life_hours=params.half_life_hours / stride,
    )  # fmt: skip
