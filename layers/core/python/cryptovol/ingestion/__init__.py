"""One ingest at work: what is missing is asked for, laid on, and committed as it comes."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator

import numpy as np

from cryptovol import bars as bars_module
from cryptovol import history, keys, rawbars
from cryptovol.bars import Bars
from cryptovol.errors import ConflictError, NoNewBarsError
from cryptovol.events import StageEvent
from cryptovol.history import Manifest
from cryptovol.params import Params
from cryptovol.ports import BarSource, Origin, Store
from cryptovol.rawbars import Laid
from cryptovol.ingestion.raw import RawHistory
from cryptovol.ingestion.second import Second
from cryptovol.ingestion.tally import Tally
from cryptovol.times import HOUR, format_instant, parse_instant

# A conflict means that another writer got further, so the next attempt has less left to do: only conflicts between
# which nobody got anywhere count towards giving up.
ATTEMPTS = 10
OLDEST = parse_instant("2009-01-01T00:00:00Z")  # no coin has traded before


class Ingestion:
    """Brings the raw bars of one pair up to the event's `as_of`, from `start` on where one is given."""

    def __init__(
        self, event: StageEvent, start: int | None, *, store: Store, source: BarSource, origin: Origin, second: Second,
        params: Params, tally: Tally,
    ) -> None:  # fmt: skip
        self._event = event
        self._start = start
        self._store = store
        self._source = source
        self._origin = origin
        self._second = second
        self._params = params
        self._tally = tally
        self._prefix = keys.raw(origin.market, event.pair)

    def run(self) -> Manifest:
        """Return the state at `as_of`; after a conflict read again and go on from there."""
        attempts, before = 0, ""
        while True:
            self._tally.restart()
            try:
                return self._brought_up()
            except ConflictError:
                head = history.load_manifest(self._store, history.head_key(self._prefix))
                now = head.sha256 if head is not None else ""
                attempts, before = (attempts + 1 if now == before else 1), now
                if attempts == ATTEMPTS:
                    raise

    def witness(self, state: Manifest) -> str:
        """Return the key of what the second source says of the newest hours; see `Second.witness`."""

        def quote() -> str:
            return str(history.read_parts(self._store, state.body["parts"][-1:])["quote"][-1])

        hours = self._params.ingest.witness_hours
        return self._second.witness(self._store, self._event.as_of, hours=hours, quote=quote)

    def _brought_up(self) -> Manifest:
        """Return the state at `as_of`; whatever of it is not there yet is fetched and written."""
        event, refused = self._event, self._refused_since()
        kept = history.load_manifest(self._store, history.state_key(self._prefix, event.as_of_text))
        if kept is not None and refused is None and self._reaches(kept):
            return kept
        raw = RawHistory(self._store, symbol=event.symbol, quote=event.quote, market=self._origin.market)
        fresh = not raw.parts
        self._fill_back(raw)
        raw.cut(event.as_of)
        self._fill_forward(raw, refused, reread=kept is None)
        self._require_fresh(raw)
        if fresh:
            self._note_reach(raw)
        state = raw.commit(event.as_of)
        self._tally.committed()
        return state

    def _refused_since(self) -> int | None:
        """Return the opening time from which the gate refused stored bars, or None if none as late have passed since."""
        refusal = keys.refusal(self._origin.market, self._event.pair)
        if not self._store.exists(refusal):
            return None
        refused_at = parse_instant(json.loads(self._store.get(refusal).data)["as_of"])
        prefix = keys.clean(self._origin.market, self._event.pair)
        clean = history.load_manifest(self._store, history.head_key(prefix))
        if clean is None:
            return 0
        return clean.as_of if clean.as_of < refused_at else None

    def _reaches(self, state: Manifest) -> bool:
        """Return whether a state holds all that the source has from the wanted start on."""
        if self._start is None or state.first is None or state.first <= self._start:
            return True
        asked = state.body.get("asked_from", {}).get(self._origin.source)
        return asked is not None and parse_instant(asked) <= self._start

    def _note_reach(self, raw: RawHistory) -> bool:
        """Note that the source has nothing between the wanted start and the first bar; return whether that is so."""
        if self._start is None or raw.first <= self._start:
            return False
        raw.asked_from[self._origin.source] = format_instant(self._start)
        return True

    def _fill_back(self, raw: RawHistory) -> None:
        """Fetch what is older than the stored bars, newest portion first, until `start` or until there is no more.

        Portions lie on a grid of their own, so that a resumed backfill asks for the same ones. A stretch without bars
        ends it once it is as long as a portion and as the gate lets through: nothing beyond it could be used.
        """
        if self._start is None or raw.head is None or not raw.parts or self._reaches(raw.head):
            return
        portion = self._params.ingest.commit_pages * self._params.ingest.page_bars * HOUR
        patience = max(portion, self._params.gate.longest_gap_hours * HOUR)
        ahead = max(0, self._event.as_of - raw.last - HOUR) // HOUR
        low = raw.first
        while low > self._start and raw.first - low < patience:
            high, low = low, max(self._start, (low - 1) // portion * portion)
            bars = bars_module.concat(self._pages(low, high, left=(low - self._start) // HOUR + ahead))
            if len(bars):
                self._tally.came(bars, known=0)
                self._lay(raw, bars, start=low, end=raw.first + HOUR)
                self._advance(raw, raw.head.as_of)
        if self._note_reach(raw):
            self._advance(raw, raw.head.as_of)

    def _fill_forward(self, raw: RawHistory, refused: int | None, *, reread: bool) -> None:
        """Fetch from the newest bars up to `as_of`, and commit as it comes what changes the newest state."""
        as_of, start = self._event.as_of, self._from(raw, refused, reread)
        known = raw.last + HOUR if raw.parts else start
        covered = min(start, raw.last) if raw.parts else start
        for bars in self._batches(start):
            newest = int(np.max(bars.time))
            self._tally.came(bars, known=known)
            laid = self._lay(raw, bars, start=covered, end=newest + HOUR, replace_from=refused)
            covered = newest
            head = raw.head.as_of if raw.head is not None else 0
            if laid.changed and raw.last + HOUR < as_of and head <= as_of:
                self._advance(raw, max(raw.last + HOUR, head))

    def _from(self, raw: RawHistory, refused: int | None, reread: bool) -> int:
        """Return the opening time of the first bar to ask for on the way up to `as_of`."""
        if not raw.parts:
            new = self._event.as_of - self._params.ingest.history_hours * HOUR
            return new if self._start is None else self._start
        candidates = [raw.last + HOUR]
        # What lies before the newest instant was read again by the runs that came after it.
        if reread and raw.head is not None and raw.head.as_of <= self._event.as_of:
            again = self._params.ingest.reread_hours * HOUR
            candidates.append(raw.last + HOUR - again)
            # A revision may be the mistake: what was revised is read once more, before it is out of sight.
            revised = rawbars.revised_since(raw.newest(), raw.last + HOUR - 2 * again) if again else None
            candidates += [revised] if revised is not None else []
        if refused is not None:
            candidates.append(refused)
        return max(raw.first, min(candidates))

    def _batches(self, start: int) -> Iterator[Bars]:
        """Yield the bars from `start` up to `as_of`, as many pages at a time as are committed together."""
        if start >= self._event.as_of:
            return
        pages = self._pages(start, self._event.as_of)
        while batch := list(itertools.islice(pages, self._params.ingest.commit_pages)):
            bars = bars_module.concat(batch)
            if len(bars):
                yield bars

    def _pages(self, start: int, end: int, *, left: int = 0) -> Iterator[Bars]:
        """Yield the source's pages, and tell of each how far it came; `left` hours will be asked for after them."""
        at = start
        for page in self._source.pages(self._event.symbol, self._event.quote, start=start, end=end):
            before, at = at, max(at, int(np.max(page.time, initial=0)) + HOUR)
            self._tally.tell((at - before) // HOUR, (end - at) // HOUR + left)
            yield page
        if at < end:
            self._tally.tell((end - at) // HOUR, left)

    def _lay(self, raw: RawHistory, bars: Bars, *, start: int, end: int, replace_from: int | None = None) -> Laid:
        """Lay bars on, and ask the second source for hours between `start` and `end` that have none."""

        def repairs(found: Bars, start: int, end: int) -> Bars:
            lent = self._second.repairs(found, start, end)
            self._tally.borrowed(lent)
            return lent

        limit = self._params.gate.disagreement
        laid = raw.lay(bars, start=start, end=end, replace_from=replace_from, limit=limit, repairs=repairs)
        self._tally.laid(laid)
        return laid

    def _advance(self, raw: RawHistory, as_of: int) -> None:
        raw.advance(as_of)
        self._tally.committed()

    def _require_fresh(self, raw: RawHistory) -> None:
        """Raise `NoNewBarsError` if the newest bar is older than the gate would let through."""
        event, limit, market = self._event, self._params.gate.freshness_hours, self._origin.market
        if not raw.parts:
            since = format_instant(self._from(raw, None, reread=False))
            raise NoNewBarsError(
                f"the market {market} has no bar of {event.pair} from {since} to {event.as_of_text}. "
                "Cure: use an as_of for which it has bars"
            )
        age = (event.as_of - raw.last - HOUR) / HOUR
        if age > limit:
            raise NoNewBarsError(
                f"the newest bar of {event.pair} in the market {market} opens {format_instant(raw.last)}; "
                f"at as_of {event.as_of_text} it has been closed for {age:g} h, more than {limit} h. "
                "Cure: try again when the source has gone on, or use an earlier as_of"
            )
