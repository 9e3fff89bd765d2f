"""The second source of one run: it lends bars for hours the first one lacks, and bears witness to the newest ones.

Whatever goes wrong there is told and never raised: the first source's bars do not wait for it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np

from cryptovol import bars as bars_module
from cryptovol import keys, rawbars, tables
from cryptovol.bars import Bars, Texts
from cryptovol.errors import ConfigError, CryptovolError
from cryptovol.ports import BarSource, Store
from cryptovol.times import HOUR, format_instant

_log = logging.getLogger(__name__)


class Second:
    """The second source, looked for when it is first needed.

    Once it has failed it is asked for no more missing hours, but still for the newest: it may be sound, and only not
    keep hours as old as those. `said` is what it said when it first failed, or an empty text.

    Parameters
    ----------
    find
        Returns the source, or None where there is none.
    symbol, quote, market
        What it must have bars of; those of another market are not taken, nor are those in another quote currency than
        the bars beside them.
    span_hours
        Hours asked for at once.
    """

    def __init__(
        self, find: Callable[[], BarSource | None], *, symbol: str, quote: str, market: str, span_hours: int
    ) -> None:
        self.said = ""
        self._find = find
        self._symbol = symbol
        self._quote = quote
        self._market = market
        self._span_hours = span_hours
        self._source: BarSource | None = None
        self._looked = False
        self._out = False
        self._lends = True

    def repairs(self, bars: Bars, start: int, end: int) -> Bars:
        """Return bars, marked as borrowed, for the hours in ``[start, end)`` that `bars` lack between two others."""
        hours = rawbars.missing(bars.time, start=start, end=end)
        if not len(hours) or not self._lends:
            return bars_module.empty()
        before = self.said
        found = self._bars(rawbars.spans(hours, longest=self._span_hours))
        self._lends = self.said == before
        found = found.take(np.isin(found.time, hours))
        beside = bars.quote[np.searchsorted(bars.time, found.time) - 1] if len(found) else found.quote
        found = self._alike(found, beside)
        return replace(found, source=np.char.add(rawbars.REPAIR, found.source)) if len(found) else found

    def witness(self, store: Store, as_of: int, *, hours: int, quote: Callable[[], str]) -> str:
        """Keep the newest bars closed by `as_of` as the second source has them, and return their key.

        Returns
        -------
        str
            An empty text if there are none, or no `hours` are wanted. What is kept for an instant already is not
            fetched again.
        """
        key = keys.witness(self._market, keys.series(self._symbol, self._quote), format_instant(as_of))
        if hours < 1:
            return ""
        if store.exists(key):
            return key
        found = self._bars([(as_of - hours * HOUR, as_of)])
        if len(found):
            found = self._alike(found, np.full(len(found), quote()))
        if not len(found):
            return ""
        store.put_new(key, tables.encode_csv(found.columns()))
        return key

    def _alike(self, found: Bars, quote: Texts) -> Bars:
        """Return the rows of the pair in the quote currency given for each."""
        return found.take((found.symbol == self._symbol) & (found.quote == quote))

    def _bars(self, wanted: Iterable[tuple[int, int]]) -> Bars:
        """Return the source's bars in some intervals; none if it fails at any, and none where it cannot be asked."""
        if self._out:
            return bars_module.empty()
        try:
            source = self._found()
            if source is None:
                return bars_module.empty()
            pages = (source.pages(self._symbol, self._quote, start=start, end=end) for start, end in wanted)
            return bars_module.concat(page for some in pages for page in some)
        except CryptovolError as error:
            self._out = not self._looked
            self.said = self.said or str(error)
            _log.warning("%s/%s: the second source failed: %s", self._symbol, self._quote, error)
            return bars_module.empty()

    def _found(self) -> BarSource | None:
        if self._looked:
            return self._source
        source = self._find()
        if source is not None:
            origin = source.origin(self._symbol, self._quote)
            if origin.market != self._market:
                raise ConfigError(
                    f"the second source {origin.source} serves the market {origin.market!r}, not {self._market!r}. "
                    "Cure: set up another venue of the same market"
                )
        self._source, self._looked = source, True
        return source
