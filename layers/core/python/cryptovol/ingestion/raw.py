"""The raw bars of one pair in one market, on their way from one stored state to the next."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from cryptovol import bars as bars_module
from cryptovol import history, keys, rawbars
from cryptovol.bars import Bars
from cryptovol.history import Manifest
from cryptovol.ports import Store
from cryptovol.rawbars import Laid
from cryptovol.times import HOUR, format_instant, month_of, parse_instant

# Given bars and the part of time, start and end, that was looked at: bars for hours without one.
Repairs = Callable[[Bars, int, int], Bars]


class RawHistory:
    """The newest stored state, and the changes a run makes to it before it commits them.

    Attributes
    ----------
    parts
        The months as they stand in this run; `head` is what was read from the store, or written last.
    asked_from
        By source, the oldest instant (ISO 8601) from which it was asked for bars and has given what it has.
    """

    def __init__(self, store: Store, *, symbol: str, quote: str, market: str) -> None:
        self._store = store
        self._prefix = keys.raw(market, keys.series(symbol, quote))
        self._meta = {"symbol": symbol, "quote": quote, "market": market}
        self.head = history.load_manifest(store, history.head_key(self._prefix))
        self.parts: list[dict[str, Any]] = list(self.head.body["parts"]) if self.head else []
        self.asked_from: dict[str, str] = dict(self.head.body.get("asked_from", {})) if self.head else {}

    @property
    def first(self) -> int:
        """Opening time of the oldest bar; there must be one."""
        return int(self.parts[0]["first"])

    @property
    def last(self) -> int:
        """Opening time of the newest bar; there must be one."""
        return int(self.parts[-1]["last"])

    def newest(self) -> Bars:
        """Return the bars of the newest month."""
        return self._read(self.parts[-1:])

    def cut(self, as_of: int) -> None:
        """Leave out what was not closed by `as_of`; a month that goes beyond it is written anew."""
        whole = [part for part in self.parts if part["last"] + HOUR <= as_of]
        beyond = self.parts[len(whole) : len(whole) + 1]
        self.parts = whole
        if beyond and beyond[0]["first"] + HOUR <= as_of:
            self.parts = whole + self._write(self._read(beyond).closed_by(as_of))

    def lay(
        self, incoming: Bars, *, start: int, end: int, replace_from: int | None, limit: float, repairs: Repairs
    ) -> Laid:
        """Lay bars on, then `repairs` for hours between ``[start, end)`` that still have none.

        Only the months from `start` to `end`, and those of the incoming bars, are read and written. A source that
        contradicts itself is refused; see `rawbars.require_agreement` for that and `limit`.
        """
        months = [month_of(min(start, int(np.min(incoming.time)))), month_of(max(end - 1, int(np.max(incoming.time))))]
        before = [part for part in self.parts if part["month"] < months[0]]
        touched = [part for part in self.parts if months[0] <= part["month"] <= months[1]]
        after = [part for part in self.parts if part["month"] > months[1]]
        stored = self._read(touched)
        rawbars.require_agreement(stored, incoming, limit=limit, before=replace_from)
        laid = rawbars.lay(stored, incoming, replace_from=replace_from)
        whole = rawbars.lay(laid.bars, repairs(laid.bars, start, end))
        self.parts = before + self._write(whole.bars) + after
        return Laid(whole.bars, laid.new, laid.revised, laid.repaired + whole.repaired, laid.ignored + whole.ignored)

    def asked(self, source: str, start: int) -> bool:
        """Return whether a source has been asked for all bars from `start` on."""
        return source in self.asked_from and parse_instant(self.asked_from[source]) <= start

    def advance(self, as_of: int) -> None:
        """Make the changes so far the newest state; raise `ConflictError` if another writer was first."""
        self.head = history.advance(
            self._store, self._prefix, self.parts, as_of=format_instant(as_of), meta=self._all_meta(), head=self.head
        )

    def commit(self, as_of: int) -> Manifest:
        """Keep the changes as the state of `as_of`, and return it; raise `ConflictError` as `advance` does."""
        return history.commit(
            self._store, self._prefix, self.parts, as_of=format_instant(as_of), meta=self._all_meta(), head=self.head
        )

    def _all_meta(self) -> dict[str, Any]:
        return {**self._meta, "asked_from": self.asked_from} if self.asked_from else dict(self._meta)

    def _read(self, parts: list[dict[str, Any]]) -> Bars:
        return Bars(**history.read_parts(self._store, parts)) if parts else bars_module.empty()

    def _write(self, bars: Bars) -> list[dict[str, Any]]:
        return history.write_parts(self._store, self._prefix, bars.columns(), codec="csv", head=self.head)
