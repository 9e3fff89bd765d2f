"""What one ingest has done so far: rows by what became of them, and hours seen to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from cryptovol.bars import Bars
from cryptovol.rawbars import Laid

Progress = Callable[[int, int], None]  # called with hours seen to, and all hours asked for
FATES = ("new", "revised", "repaired", "ignored")


class Tally:
    """Counts rows as they come, and what became of them once it is committed.

    Parameters
    ----------
    progress
        Told about every step.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._came = {"fetched": 0, "reread": 0}
        self._became = dict.fromkeys(FATES, 0)
        self._sources: Counter[str] = Counter()
        self._pending: list[Laid] = []
        self._done = 0

    def restart(self) -> None:
        """Forget what was laid on but not committed, and begin the hours anew."""
        self._pending, self._done = [], 0

    def came(self, bars: Bars, *, known: int) -> None:
        """Count fetched rows; those that open before `known` are seen for the second time."""
        again = int((bars.time < known).sum())
        self._came["fetched"] += len(bars) - again
        self._came["reread"] += again
        self._sources.update(bars.source.tolist())

    def borrowed(self, bars: Bars) -> None:
        """Count rows that a second source lent."""
        self._sources.update(bars.source.tolist())

    def laid(self, laid: Laid) -> None:
        """Remember what became of rows, until it is committed or lost."""
        self._pending.append(laid)

    def committed(self) -> None:
        """Count what was remembered."""
        for laid in self._pending:
            for fate in FATES:
                self._became[fate] += getattr(laid, fate)
        self._pending = []

    def tell(self, done: int, left: int) -> None:
        """Report that so many more hours have been seen to, and how many are left."""
        self._done += done
        self._progress(self._done, self._done + left)

    def result(self) -> dict[str, Any]:
        """Return the counts under the names they have in a stage's result, and the outcome."""
        changed = any(self._became[fate] for fate in ("new", "revised", "repaired"))
        return {
            **{f"rows_{name}": count for name, count in {**self._came, **self._became}.items()},
            "sources": dict(sorted(self._sources.items())),
            "outcome": "appended" if changed else "up to date",
        }
