"""Any venue's hourly bars over HTTP: paging, retries, dropping by time, and stamping. The rest is its dialect."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator

import numpy as np

from cryptovol import bars as bars_module
from cryptovol.adapters.sources.dialect import Ask, Dialect, Reply, Rows
from cryptovol.adapters.sources.patience import Patience
from cryptovol.adapters.sources.transport import Timeouts, Transport
from cryptovol.bars import Bars, Floats, Ints
from cryptovol.errors import BarSchemaError, ConfigError, CryptovolError, OutOfReachError
from cryptovol.market import MARKET_HEADER, SOURCE_HEADER
from cryptovol.ports import Clock, Origin
from cryptovol.settings import url_setting
from cryptovol.times import HOUR, floor_hour, format_instant

REASONS = {
    "unfinished": "not closed yet",
    "beside": "outside of the hours asked for",
    "repeated": "given twice",
    "padded": "of zeros before the listing",
    "unproven": "newest of an answer that ends early, perhaps made while its hour was in progress",
}

_log = logging.getLogger(__name__)


class VenueSource:
    """`ports.BarSource` over one venue's API, or over a server that answers in its shape.

    `dropped` counts the rows left out so far, by reason: ``unfinished``, ``beside`` the hours asked for, ``repeated``
    exactly, ``padded``, ``unproven``. Each call of `pages` logs its own, but for the one unfinished row a page may end with.

    Parameters
    ----------
    dialect
        Of `venues.DIALECTS`.
    url
        Base URL; the dialect's own if None.
    key
        API key or an empty text; not sent to a venue that takes none.
    page_bars
        Bars per request; the venue's limit if that is smaller.
    clock
        Returns unix seconds.
    patience
        Shared with the clients of the other venues.
    timeouts
        Of each request.

    Raises
    ------
    ConfigError
        If URL, key or page size cannot be one.
    """

    def __init__(
        self, dialect: Dialect, *, url: str | None = None, key: str = "", page_bars: int = 2000, clock: Clock,
        patience: Patience | None = None, timeouts: Timeouts | None = None,
    ) -> None:  # fmt: skip
        if page_bars < 1:
            raise ConfigError(f"ingest.page_bars is {page_bars}. Cure: ask for at least 1 bar a page")
        self.name = dialect.name
        self.dropped: Counter[str] = Counter()
        self._dialect = dialect
        self._key = key if dialect.takes_key else ""
        self._page_bars = min(page_bars, dialect.page_bars)
        self._clock = clock
        self._patience = patience or Patience()
        self._live = Origin(dialect.name, "live")
        self._origins: dict[tuple[str, str], Origin] = {}
        self._transport = Transport(
            url or dialect.url, setting=url_setting(dialect.name), key=self._key, timeouts=timeouts
        )  # fmt: skip

    def origin(self, symbol: str, quote: str) -> Origin:
        """Return where the bars come from: a stand-in server says so in its headers, a venue does not."""
        self._origins.pop((symbol, quote), None)
        stop = floor_hour(self._clock())
        self._asked(Ask(symbol, quote, stop - HOUR, stop))
        return self._origins[symbol, quote]

    def pages(self, symbol: str, quote: str, *, start: int, end: int) -> Iterator[Bars]:
        """Yield closed bars with ``start <= time`` and ``time + 3600 <= end``, sorted and unique, oldest page first.

        Bars of a live market are stamped with the clock, and none is taken that is not closed by it; those of a
        made-up one are stamped with `end`, for there the event's time is the only one, and the same event twice must
        give the same rows. A live answer that ends early may be an old one, made when its newest hour was in progress:
        that row is taken only if a later one shows that time has gone on.

        Raises
        ------
        OutOfReachError
            Before anything is yielded, if the venue does not keep hours as old as `start`.
        BarSchemaError
            Also if an hour comes twice in one answer with different numbers.
        """
        at, stop = start + -start % HOUR, floor_hour(end)
        if at < stop:
            self._check_reach(symbol, quote, at)
        lost: Counter[str] = Counter()
        held = bars_module.empty()
        try:
            for first in range(at, stop, self._page_bars * HOUR):
                ask = Ask(symbol, quote, first, min(first + self._page_bars * HOUR, stop))
                page, newest = self._page(ask, end, lost)
                if len(held) and newest > held.time[0]:
                    page, held = bars_module.concat([held, page]), bars_module.empty()
                if self._ends_early(page, newest, ask):
                    page, held = page.take(slice(0, -1)), page.take(slice(-1, None))
                if len(page):
                    yield page
        finally:
            unproven = Counter({"unproven": len(held)} if len(held) else {})
            self.dropped += unproven
            self._tell(f"{symbol}/{quote}", lost + unproven)

    def _ends_early(self, page: Bars, newest: int, ask: Ask) -> bool:
        """Return whether a live page's last bar is the answer's newest row, before the last hour asked for."""
        live = self._origins[ask.symbol, ask.quote] == self._live
        return live and len(page) > 0 and int(page.time[-1]) == newest < ask.stop - HOUR

    def _page(self, ask: Ask, end: int, lost: Counter[str]) -> tuple[Bars, int]:
        """Return the bars of one request and the time of the answer's newest row, and count what was left out."""
        rows = self._asked(ask)
        origin = self._origins[ask.symbol, ask.quote]
        now = self._clock() if origin == self._live else end
        time, table, dropped = tidied(rows, ask, now=now)
        self.dropped += dropped
        # One row of the hour in progress is what an API's page ends with.
        lost += dropped - Counter(unfinished=1)
        page = bars_module.make(
            time, table[:, :4], volume_base=table[:, 4], volume_quote=table[:, 5], symbol=ask.symbol, quote=ask.quote,
            source=origin.source, fetched_at=now,
        )  # fmt: skip
        return page, int(np.max(rows.time, initial=-1))

    def _asked(self, ask: Ask) -> Rows:
        """Return the rows of one request, tried again where that may help."""
        path, query = self._dialect.request(ask)

        def once() -> Rows:
            reply = self._transport.get(path, query, within=self._patience.left())
            try:
                rows = self._dialect.read(reply, ask, now=self._clock())
            except CryptovolError as error:
                if self._key and self._key in str(error):  # spelled with escapes, say: the transport saw no key
                    error.args = (str(error).replace(self._key, "***"),)
                raise
            self._recognise((ask.symbol, ask.quote), reply)
            return rows

        return self._patience.retried(once)

    def _recognise(self, pair: tuple[str, str], reply: Reply) -> None:
        """Remember the answer's origin; bars of two markets in one history would be worse than none."""
        market = reply.headers.get(MARKET_HEADER)
        if market == self._live.market:
            raise ConfigError(f"{self._transport.url} says that it is a stand-in and live. Cure: ask the venue itself")
        found = Origin(reply.headers.get(SOURCE_HEADER) or market, market) if market else self._live
        known = self._origins.setdefault(pair, found)
        if known != found:
            raise ConfigError(
                f"{self._transport.url} served {known.market!r} and then {found.market!r}. Cure: leave one server there"
            )

    def _check_reach(self, symbol: str, quote: str, at: int) -> None:
        """Raise for hours a live venue cannot have any more; a stand-in's clock is not ours."""
        reach = self._dialect.reach_hours
        if reach is None or self._origins.get((symbol, quote), self._live) != self._live:
            return
        oldest = floor_hour(self._clock()) - reach * HOUR
        if at < oldest:
            raise OutOfReachError(
                f"{self.name} keeps its newest {reach} closed hours, from {format_instant(oldest)} on; {symbol}/{quote} "
                f"was asked for from {format_instant(at)}. Cure: take older hours from another venue, by sources.order"
            )

    def _tell(self, pair: str, lost: Counter[str]) -> None:
        if not lost:
            return
        what = ", ".join(f"{count} {REASONS[name]}" for name, count in sorted(lost.items()))
        # An API that keeps its newest hours only has no end to ask for, so rows after it are no surprise.
        usual = self._dialect.reach_hours is not None and set(lost) == {"beside"}
        _log.log(logging.INFO if usual else logging.WARNING, "%s, %s: dropped rows: %s", self.name, pair, what)


def tidied(rows: Rows, ask: Ask, *, now: int) -> tuple[Ints, Floats, Counter[str]]:
    """Return what of an answer was asked for and is closed, sorted by time, without exact repeats.

    Parameters
    ----------
    now
        Unix seconds; a bar that had not closed by then is unfinished, and so is the one that opens at ``ask.stop``.

    Returns
    -------
    time, table, dropped
        Shapes (n,) and (n, 6) as in `Rows`, and how many rows were left out, by reason.

    Raises
    ------
    BarSchemaError
        If an hour comes twice with different numbers: which of them is true cannot be known.
    """
    beside = (rows.time < ask.start) | (rows.time > ask.stop)
    unfinished = ~beside & (rows.time + HOUR > min(now, ask.stop))
    kept = ~(beside | unfinished)
    time, table = rows.time[kept], rows.table[kept]
    if (np.diff(time) <= 0).any():
        order = np.argsort(time, kind="stable")
        time, table = time[order], table[order]
    again = np.diff(time, prepend=-1) == 0
    before, after = table[:-1], table[1:]
    differs = again[1:] & ~((before == after) | (np.isnan(before) & np.isnan(after))).all(axis=1)
    if differs.any():
        hour = format_instant(int(time[1:][differs][0]))
        raise BarSchemaError(f"{ask.pair}: the hour {hour} comes twice in one answer with different numbers")
    counts = {"beside": beside.sum(), "unfinished": unfinished.sum(), "repeated": again.sum(), "padded": rows.padded}
    return time[~again], table[~again], Counter({name: int(n) for name, n in counts.items() if n})
