"""ingest: lay the market's new closed bars onto the stored ones."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from cryptovol import bars as bars_module
from cryptovol import history, keys
from cryptovol.bars import Bars
from cryptovol.errors import ConfigError, ConflictError, NoNewBarsError
from cryptovol.events import Result, StageEvent
from cryptovol.history import Manifest
from cryptovol.params import Params
from cryptovol.ports import BarSource, Clock, Store
from cryptovol.times import HOUR, format_instant, month_of, parse_instant

Progress = Callable[[int, int], None]
Part = dict[str, Any]

# A conflict means that another writer got further, so every further attempt has less left to do.
ATTEMPTS = 10


@dataclass
class _Counts:
    fetched: int = 0
    new: int = 0
    revised: int = 0


def run(
    event: StageEvent,
    *,
    store: Store,
    source: BarSource,
    clock: Clock,
    params: Params,
    progress: Progress | None = None,
) -> Result:
    """Bring the stored bars of one pair up to `as_of` and return where they are.

    Only what is missing is fetched: from the newest stored bar on, or `ingest.history_hours` back for a pair never
    seen before. Bars that the gate refused are asked for again, because the source may have mended them. A long
    backfill is committed every `ingest.commit_pages` pages, so that a killed one goes on where it was. The same event
    twice leaves the same bytes.

    Parameters
    ----------
    progress
        Called with bars fetched so far and hours asked for.

    Returns
    -------
    Result
        The event's fields and market, source, rows_fetched, rows_new, rows_revised, rows_total, first, last (ISO,
        opening times), raw_key and raw_sha256 of the state at `as_of`, and outcome: ``appended`` or ``up to date``.

    Raises
    ------
    ConfigError
        If `as_of` lies in the future.
    NoNewBarsError
        If the newest bar there is closed more than `gate.freshness_hours` before `as_of`. What did come is stored.
    ConflictError
        If other writers kept winning.
    """
    if event.as_of > clock():
        raise ConfigError(
            f"as_of {event.as_of_text} lies in the future (it is {format_instant(clock())}). "
            "Cure: use an as_of that has passed, or leave it out for the newest full hour"
        )
    origin = source.origin(event.symbol, event.quote)
    writer = _Writer(event, store, params, origin.market)
    for attempt in range(1, ATTEMPTS + 1):
        try:
            state = writer.bring_up(source, progress)
            return _result(event, state, writer.counts, market=origin.market, source=origin.source)
        except ConflictError:
            if attempt == ATTEMPTS:
                raise
    raise AssertionError("unreachable: the last attempt returns or raises")


def _result(event: StageEvent, state: Manifest, counts: _Counts, **where: str) -> Result:
    assert state.first is not None and state.last is not None
    return event.result(
        **where,
        rows_fetched=counts.fetched,
        rows_new=counts.new,
        rows_revised=counts.revised,
        rows_total=state.rows,
        first=format_instant(state.first),
        last=format_instant(state.last),
        raw_key=state.key,
        raw_sha256=state.sha256,
        outcome="appended" if counts.new or counts.revised else "up to date",
    )


class _Writer:
    """The raw history of one pair in one market, on its way to `as_of`."""

    def __init__(self, event: StageEvent, store: Store, params: Params, market: str) -> None:
        self.counts = _Counts()
        self._pending = _Counts()
        self._event = event
        self._store = store
        self._params = params
        self._prefix = keys.raw(market, event.pair)
        self._meta = {"symbol": event.symbol, "quote": event.quote, "market": market}

    def bring_up(self, source: BarSource, progress: Progress | None) -> Manifest:
        """Return the state at `as_of`; whatever of it is not there yet is fetched and written."""
        self._pending = _Counts()
        state = history.load_manifest(self._store, history.state_key(self._prefix, self._event.as_of_text))
        if state is not None and not self._refused():
            return state
        head = self._head()
        parts = self._held(head)
        start = self._start(parts)
        if start < self._event.as_of:
            for bars in self._batches(source, start, progress):
                parts = self._laid(parts, bars)
                newest = parts[-1]["last"] + HOUR
                if newest < self._event.as_of and (head is None or newest > head.as_of):
                    head = self._advance(parts, format_instant(newest), head)
            self._require_fresh(parts)
        return self._commit(parts, self._event.as_of_text, head)

    def _head(self) -> Manifest | None:
        return history.load_manifest(self._store, history.head_key(self._prefix))

    def _held(self, head: Manifest | None) -> list[Part]:
        """Return the parts of what is stored and closed by `as_of`; a month that goes beyond it is written anew."""
        as_of = self._event.as_of
        parts = list(head.body["parts"]) if head is not None else []
        whole = [part for part in parts if part["last"] + HOUR <= as_of]
        if head is None or len(whole) == len(parts) or parts[len(whole)]["first"] + HOUR > as_of:
            return whole
        cut = Bars(**history.read_parts(self._store, [parts[len(whole)]])).closed_by(as_of)
        return whole + history.write_parts(self._store, self._prefix, cut.columns(), codec="csv")

    def _refused(self) -> bool:
        """Return whether the gate refused stored bars and none as late have passed it since."""
        refusal = keys.refusal(self._meta["market"], self._event.pair)
        if not self._store.exists(refusal):
            return False
        refused_at = parse_instant(json.loads(self._store.get(refusal).data)["as_of"])
        passed = self._passed()
        return passed is None or passed < refused_at

    def _passed(self) -> int | None:
        """Return the newest instant whose bars passed the gate, or None."""
        prefix = keys.clean(self._meta["market"], self._event.pair)
        clean = history.load_manifest(self._store, history.head_key(prefix))
        return clean.as_of if clean is not None else None

    def _start(self, parts: list[Part]) -> int:
        """Return the opening time of the first bar to ask for."""
        if not parts:
            return self._event.as_of - self._params.ingest.history_hours * HOUR
        missing = int(parts[-1]["last"]) + HOUR
        if not self._refused():
            return missing
        passed = self._passed()
        return min(missing, passed if passed is not None else int(parts[0]["first"]))

    def _batches(self, source: BarSource, start: int, progress: Progress | None) -> Iterator[Bars]:
        """Yield what is missing up to `as_of`, as many pages at a time as are committed together."""
        end = self._event.as_of
        pages = source.pages(self._event.symbol, self._event.quote, start=start, end=end)
        while batch := list(itertools.islice(pages, self._params.ingest.commit_pages)):
            bars = bars_module.concat(batch)
            if not len(bars):
                continue
            self.counts.fetched += len(bars)
            if progress is not None:
                progress((int(np.max(bars.time)) + HOUR - start) // HOUR, (end - start) // HOUR)
            yield bars

    def _laid(self, parts: list[Part], incoming: Bars) -> list[Part]:
        """Return the parts with the incoming bars laid on; only the months they touch are read and written."""
        month = month_of(int(np.min(incoming.time)))
        touched = [part for part in parts if part["month"] >= month]
        table = history.read_parts(self._store, touched)
        merged = bars_module.merge(Bars(**table) if table else bars_module.empty(), incoming)
        self._pending.new += merged.new
        self._pending.revised += merged.revised
        written = history.write_parts(self._store, self._prefix, merged.bars.columns(), codec="csv")
        return parts[: len(parts) - len(touched)] + written

    def _commit(self, parts: list[Part], as_of: str, head: Manifest | None) -> Manifest:
        state = history.commit(self._store, self._prefix, parts, as_of=as_of, meta=self._meta, head=head)
        self.counts.new += self._pending.new
        self.counts.revised += self._pending.revised
        self._pending = _Counts()
        return state

    def _advance(self, parts: list[Part], as_of: str, head: Manifest | None) -> Manifest:
        """Commit a part of a long backfill and return the new head, on which the next commit is conditional."""
        state = self._commit(parts, as_of, head)
        found = self._head()
        if found is None or found.sha256 != state.sha256:
            raise ConflictError(
                f"{history.head_key(self._prefix)} was changed by another writer; read it and merge again"
            )
        return found

    def _require_fresh(self, parts: list[Part]) -> None:
        """Raise `NoNewBarsError` if the newest bar is older than the gate would let through."""
        event, limit = self._event, self._params.gate.freshness_hours
        market = self._meta["market"]
        if not parts:
            hours = self._params.ingest.history_hours
            raise NoNewBarsError(
                f"the market {market} has no bar of {event.pair} in the {hours} hours before {event.as_of_text}. "
                "Cure: use an as_of for which it has bars"
            )
        age = (event.as_of - parts[-1]["last"] - HOUR) / HOUR
        if age > limit:
            raise NoNewBarsError(
                f"the newest bar of {event.pair} in the market {market} opens {format_instant(parts[-1]['last'])}; "
                f"at as_of {event.as_of_text} it has been closed for {age:g} h, more than {limit} h. "
                "Cure: try again when the source has gone on, or use an earlier as_of"
            )
