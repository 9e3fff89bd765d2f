"""Does a model have to be trained anew, out of turn? Decided on what the scoreboards say. No effects.

One limit that is passed once may be noise; the same limit passed in evaluation after evaluation is not. After a
retraining the newest evaluations still speak of the hours before it, so for some time nothing starts another.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from cryptovol.times import HOUR, format_instant, parse_instant

Board = Mapping[str, Any]
STATES = {
    "retrain": "a limit was passed in each of the newest evaluations: tuning and training start",
    "cooling": "a retraining was started not long ago: nothing is judged",
    "waiting": "a limit was passed, but not yet in enough evaluations in a row",
    "quiet": "no limit was passed in the newest evaluation",
    "blind": "no evaluation is there to judge",
}


@dataclass(frozen=True)
class WatchParams:
    """When a retraining is started out of turn.

    Parameters
    ----------
    drift_ratio
        Share of drifted features above which an evaluation is beyond its limit.
    decay_window_hours, decay_least_rows
        Window of the live scores that is held against HAR, one of ``score.windows_hours``, and the matured forecasts it
        must have.
    decay_excess
        Share of HAR's QLIKE by which the model's must be above it.
    evaluations
        How many in a row must be beyond the same limit.
    lookback_hours
        Age at which an evaluation says nothing any more.
    cool_down_hours
        From a decision to retrain until the next may be taken.
    """

    drift_ratio: float
    decay_window_hours: int
    decay_least_rows: int
    decay_excess: float
    evaluations: int
    lookback_hours: int
    cool_down_hours: int


@dataclass(frozen=True)
class Evaluation:
    """What one scoreboard says.

    Parameters
    ----------
    as_of
        Unix seconds.
    beyond
        By limit, for instance ``drift h24``, the numbers of those that were passed, in words.
    """

    as_of: int
    beyond: Mapping[str, str]


@dataclass(frozen=True)
class Decision:
    """What came of the evaluations.

    Parameters
    ----------
    state
        One of `STATES`.
    reason
        One sentence with the numbers.
    evaluations
        The instants it rests on, unix seconds, oldest first.
    cool_down_until
        Unix seconds before which no other retraining is started; None where none was.
    """

    state: str
    reason: str
    evaluations: tuple[int, ...]
    cool_down_until: int | None

    @property
    def retrain(self) -> bool:
        """Whether tuning and training start."""
        return self.state == "retrain"


def evaluate(board: Board, params: WatchParams) -> Evaluation:
    """Return which limits a scoreboard (see `stages.score`) is beyond; at a limit is not beyond it.

    What a board cannot tell, for want of rows or of a champion, is not beyond any limit.
    """
    beyond: dict[str, str] = {}
    for horizon, one in board["horizons"].items():
        drifted = _drifted(one, params)
        decayed = _decayed(one, params)
        beyond |= {f"drift h{horizon}": drifted} if drifted else {}
        beyond |= {f"decay h{horizon}": decayed} if decayed else {}
    return Evaluation(parse_instant(board["as_of"]), beyond)


def _drifted(one: Board, params: WatchParams) -> str:
    """Return how far one horizon's features have drifted, or an empty text."""
    ratio = one["drift"]["ratio"] if one["drift"] else 0.0
    return f"{ratio:.3f} of the features drifted, limit {params.drift_ratio:g}" if ratio > params.drift_ratio else ""


def _decayed(one: Board, params: WatchParams) -> str:
    """Return how much worse than HAR one horizon's served forecasts were, or an empty text."""
    for window in one["windows"]:
        if window["hours"] == params.decay_window_hours and window["rows"] >= max(params.decay_least_rows, 1):
            own, har = window["qlike"]["model"], window["qlike"]["har"]
            if own > har * (1.0 + params.decay_excess):
                return f"live QLIKE {own:.4f} against HAR's {har:.4f} over {window['hours']} h"
    return ""


def decide(
    evaluations: Iterable[Evaluation], *, as_of: int, params: WatchParams, last: tuple[int, int] | None = None
) -> Decision:
    """Return whether to retrain; order and repeats of the evaluations do not matter.

    Parameters
    ----------
    evaluations
        Those known; what is later than `as_of`, older than ``params.lookback_hours`` or not later than the last
        retraining does not count.
    as_of
        Unix seconds of the decision.
    last
        Of the newest decision to retrain, its instant and until when it cools down, unix seconds; None if there is none.
    """
    if last is not None and as_of < last[1]:
        until = format_instant(last[1])
        return Decision(
            "cooling", f"a retraining was started at {format_instant(last[0])}, not before {until}", (), last[1]
        )
    since = max(as_of - HOUR * params.lookback_hours, last[0] + 1 if last else 0)
    known = {each.as_of: each for each in evaluations if since <= each.as_of <= as_of}
    newest = [known[instant] for instant in sorted(known)][-params.evaluations :]
    instants = tuple(each.as_of for each in newest)
    if not newest:
        return Decision("blind", f"no evaluation since {format_instant(since)}", (), None)
    if not newest[-1].beyond:
        return Decision(
            "quiet", f"the evaluation of {format_instant(instants[-1])} is within every limit", instants, None
        )
    lasting = [name for name in newest[-1].beyond if all(name in each.beyond for each in newest)]
    if len(newest) < params.evaluations or not lasting:
        told = _told(newest[-1], newest[-1].beyond)
        return Decision("waiting", f"{told}; {params.evaluations} evaluations in a row are needed", instants, None)
    return Decision(
        "retrain", f"{_told(newest[-1], lasting)}; in {len(newest)} evaluations in a row", instants,
        as_of + HOUR * params.cool_down_hours,
    )  # fmt: skip


def _told(evaluation: Evaluation, names: Iterable[str]) -> str:
    return ", ".join(f"{name}: {evaluation.beyond[name]}" for name in sorted(names))
