"""ingest: lay the market's closed bars onto the stored ones."""

from __future__ import annotations

from collections.abc import Callable

from cryptovol.errors import ConfigError
from cryptovol.events import Result, StageEvent
from cryptovol.ingestion import OLDEST, Ingestion
from cryptovol.params import Params
from cryptovol.ports import BarSource, Clock, Store
from cryptovol.ingestion.second import Second
from cryptovol.ingestion.tally import Progress, Tally
from cryptovol.times import HOUR, floor_hour, format_instant, parse_instant

FindSecond = Callable[[str], BarSource | None]


def run(
    event: StageEvent,
    *,
    store: Store,
    source: BarSource,
    clock: Clock,
    params: Params,
    second: FindSecond = lambda name: None,
    progress: Progress | None = None,
) -> Result:
    """Bring the stored bars of one pair up to `as_of` and return where they are.

    Fetched is what is missing: from the newest stored bar on, or `ingest.history_hours` back for a pair never seen
    before. With `start` (ISO 8601) in the event it is everything from there on: what is older than the stored bars
    comes backwards, `ingest.commit_pages` pages at a time and each such portion committed, until `start` or until the
    source has nothing older, which is remembered of that source: only an earlier `start` asks it again. So the stored
    history has no holes of our making, and a killed backfill goes on where it was.

    In the same requests the newest `ingest.reread_hours` stored bars come again, because sources revise them, and so
    do bars that the gate refused. A bar is revised only by its own source, and rows of another are ignored; but a
    refused bar, and one borrowed from a second source, gives way to any. The same event twice leaves the same bytes
    and fetches no bar twice.

    Parameters
    ----------
    second
        Given the name of the source, returns one of other venues, or None. Of it are asked the hours without a bar
        between two others, within what this run fetched; such bars have ``repair:<venue>`` for their `source`. Its
        newest `ingest.witness_hours` bars are stored beside for the gate to compare. Its failing fails nothing.
    progress
        Called with the hours seen to so far and all hours asked for.

    Returns
    -------
    Result
        The event's fields and

        - market, source: whose bars they are, and who was asked;
        - rows_fetched: rows of hours beyond the stored ones; rows_reread: rows of hours within them;
        - rows_new: hours stored for the first time; rows_revised: stored bars replaced; rows_repaired: hours borrowed
          from the second source; rows_ignored: rows of another source than the stored bar's;
        - sources: of this run, how many rows came from each source;
        - rows_total, first, last: of the state at `as_of`, with the opening times of its oldest and newest bar (ISO);
        - hours_before_first: hours from `start` to the oldest bar, for which the source has none; 0 without `start`;
        - raw_key, raw_sha256: of the state's manifest;
        - witness_key: of the second source's newest bars, a csv.gz with the columns of a bar, or an empty text;
        - second: what the second source said when it failed, or an empty text;
        - outcome: ``appended`` or ``up to date``.

    Raises
    ------
    ConfigError
        If `as_of` lies in the future, or `start` is no instant, before 2009, or not before `as_of`.
    SourceContradictionError
        If the source gives other bars for most of the hours read again: nothing of them is stored.
    NoNewBarsError
        If the newest bar there is closed more than `gate.freshness_hours` before `as_of`. What did come is stored.
    ConflictError
        If this one kept losing to other writers although they got nowhere.
    """
    if event.as_of > clock():
        raise ConfigError(
            f"as_of {event.as_of_text} lies in the future (it is {format_instant(clock())}). "
            "Cure: use an as_of that has passed, or leave it out for the newest full hour"
        )
    start = _start(event)
    origin = source.origin(event.symbol, event.quote)
    other = Second(
        lambda: second(origin.source), symbol=event.symbol, quote=event.quote, market=origin.market,
        span_hours=params.ingest.page_bars,
    )  # fmt: skip
    tally = Tally(progress or (lambda done, wanted: None))
    work = Ingestion(
        event, start, store=store, source=source, origin=origin, second=other, params=params, tally=tally
    )  # fmt: skip
    state = work.run()
    assert state.first is not None and state.last is not None  # a state without bars is never written
    return event.result(
        market=origin.market,
        source=origin.source,
        **tally.result(),
        rows_total=state.rows,
        first=format_instant(state.first),
        last=format_instant(state.last),
        hours_before_first=max(0, state.first - start) // HOUR if start is not None else 0,
        raw_key=state.key,
        raw_sha256=state.sha256,
        witness_key=work.witness(state),
        second=other.said,
    )


def _start(event: StageEvent) -> int | None:
    """Return the opening time of the oldest bar the event asks for, or None; floored to the hour, as `as_of` is."""
    if event.given.get("start") is None:
        return None
    start = floor_hour(parse_instant(event.given["start"]))
    if not OLDEST <= start < event.as_of:
        raise ConfigError(
            f"start {event.given['start']!r} must lie before as_of, {event.as_of_text}, and not before 2009. "
            "Cure: write for instance 2017-01-01T00:00:00Z"
        )
    return start
