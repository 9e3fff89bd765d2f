"""How fetched bars are laid on stored ones: a bar is revised by its own source only, and a borrowed one gives way.

Without that rule a failing source would let another one rewrite what is stored, hour by hour, and back again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from cryptovol import bars as bars_module
from cryptovol.bars import Bars, Ints, Mask, Texts
from cryptovol.errors import SourceContradictionError
from cryptovol.times import HOUR, format_instant

LEAST_COMPARED = 6
REPAIR = "repair:"  # begins the `source` of a bar that was borrowed because the first source had none


@dataclass(frozen=True)
class Laid:
    """The outcome: `bars`, sorted and unique in time, and how many rows did what.

    Parameters
    ----------
    new, revised
        Rows of hours that had none; rows that took the place of a stored one.
    repaired
        Borrowed rows of hours that had none.
    ignored
        Rows of another source than the stored one's, which stays.
    """

    bars: Bars
    new: int = 0
    revised: int = 0
    repaired: int = 0
    ignored: int = 0

    @property
    def changed(self) -> bool:
        """Whether `bars` differ from what was stored."""
        return bool(self.new or self.revised or self.repaired)


def lay(stored: Bars, incoming: Bars, *, replace_from: int | None = None) -> Laid:
    """Return stored bars with incoming ones laid on, exactly as if row after row were laid on alone.

    A row of an hour without a bar is taken. Where there is one, a row with the same numbers changes nothing; one with
    other numbers is a revision if it comes from the stored bar's own source. A borrowed bar gives way to any that is
    not borrowed, and takes no other's place.

    Parameters
    ----------
    stored
        Sorted and unique in time.
    incoming
        In order of arrival; hours may repeat.
    replace_from
        From this opening time on, in unix seconds, a bar with other numbers is replaced whatever its source.
    """
    done = Laid(stored)
    for layer in _layers(incoming):
        step = _laid_once(done.bars, layer, replace_from)
        done = Laid(
            step.bars, done.new + step.new, done.revised + step.revised, done.repaired + step.repaired,
            done.ignored + step.ignored,
        )  # fmt: skip
    return done


def _layers(incoming: Bars) -> Iterator[Bars]:
    """Yield first each hour's first row, then each hour's second, and so on, every time sorted."""
    order = np.argsort(incoming.time, kind="stable")
    time = incoming.time[order]
    rank = np.arange(len(time)) - np.searchsorted(time, time)
    for turn in range(int(rank.max()) + 1 if len(rank) else 0):
        yield incoming.take(order[rank == turn].astype(np.int64))


def _laid_once(stored: Bars, fresh: Bars, replace_from: int | None) -> Laid:
    """Lay on rows that are sorted and unique in time."""
    known = np.isin(fresh.time, stored.time)
    borrowed = is_repair(fresh.source)
    unknown = ~known
    old = stored.take(np.searchsorted(stored.time, fresh.time[known]).astype(np.int64))
    candidate = fresh.take(known)
    own = old.source == candidate.source
    free = own if replace_from is None else own | (candidate.time >= replace_from)
    wins = ~borrowed[known] & (is_repair(old.source) | (free & ~bars_module.same_values(old, candidate)))
    accepted = unknown.copy()
    accepted[known] = wins
    both = bars_module.concat([stored.take(~np.isin(stored.time, candidate.time[wins])), fresh.take(accepted)])
    return Laid(
        both.take(np.argsort(both.time, kind="stable").astype(np.int64)),
        new=int((unknown & ~borrowed).sum()),
        revised=int(wins.sum()),
        repaired=int((unknown & borrowed).sum()),
        ignored=int((~wins & ~own).sum()),
    )


def require_agreement(stored: Bars, incoming: Bars, *, limit: float, before: int | None = None) -> None:
    """Raise if a source takes back most of what it said: then these are another market's bars.

    Revisions are few and small. Without this check a page of another coin would rewrite the newest bars, and once that
    level has stood for a day the gate would believe it.

    Parameters
    ----------
    stored, incoming
        As in `lay`; hours that both have from the same source are compared.
    limit
        A close that moves further, as the size of a log difference, contradicts the stored one.
    before
        Hours from this opening time on, in unix seconds, are not compared: they are known to be wrong.

    Raises
    ------
    SourceContradictionError
        If at least `LEAST_COMPARED` hours are compared and more than half of them contradict.
    """
    fresh = incoming.take(np.isin(incoming.time, stored.time))
    old = stored.take(np.searchsorted(stored.time, fresh.time).astype(np.int64))
    alike = (old.source == fresh.source) & (old.close > 0) & (fresh.close > 0)
    if before is not None:
        alike &= fresh.time < before
    old, fresh = old.take(alike), fresh.take(alike)
    far = np.abs(np.log(fresh.close / old.close)) > limit
    if len(far) < LEAST_COMPARED or 2 * int(far.sum()) <= len(far):
        return
    first = int(np.flatnonzero(far)[0])
    raise SourceContradictionError(
        f"{fresh.source[first]} contradicts what it gave before: of {len(far)} hours of {fresh.symbol[first]}/"
        f"{fresh.quote[first]} read again, the close of {int(far.sum())} differs by more than {limit:.2%}; the first, "
        f"{format_instant(int(fresh.time[first]))}, was {old.close[first]:.10g} and is now {fresh.close[first]:.10g}. "
        "Nothing of it was stored. Cure: check the symbol and the address of the source"
    )


def is_repair(source: Texts) -> Mask:
    """Return, row by row, whether a bar was borrowed from a second source."""
    return np.char.startswith(source, REPAIR)


def venue(source: Texts) -> Texts:
    """Return, row by row, which venue a bar came from, borrowed or not."""
    return np.char.replace(source, REPAIR, "") if len(source) else source


def revised_since(bars: Bars, since: int) -> int | None:
    """Return the opening time of the oldest bar, from `since` on, that was read later than a newer one, or None."""
    newer = np.minimum.accumulate(bars.fetched_at[::-1])[::-1]
    late = bars.time[(bars.fetched_at > newer) & (bars.time >= since)]
    return int(late[0]) if len(late) else None


def missing(time: Ints, *, start: int, end: int) -> Ints:
    """Return the hours in ``[start, end)`` that have no bar although an earlier and a later one have.

    Parameters
    ----------
    time
        Opening times, sorted, unix seconds.
    """
    if not len(time):
        return np.empty(0, dtype=np.int64)
    hours = np.arange(max(start, int(time[0])), min(end, int(time[-1])), HOUR, dtype=np.int64)
    return hours[~np.isin(hours, time)]


def spans(hours: Ints, *, longest: int) -> list[tuple[int, int]]:
    """Return few intervals ``[start, end)`` of at most `longest` hours each that hold all `hours` (sorted)."""
    found, at = [], 0
    while at < len(hours):
        stop = int(np.searchsorted(hours, hours[at] + longest * HOUR))
        found.append((int(hours[at]), int(hours[stop - 1]) + HOUR))
        at = stop
    return found
