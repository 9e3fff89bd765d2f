"""The time budget of a source, begun anew each time a stage begins with it."""

from __future__ import annotations

from collections.abc import Iterator

from cryptovol.adapters.sources.patience import Patience
from cryptovol.bars import Bars
from cryptovol.ports import BarSource, Origin


class BoundedSource:
    """`ports.BarSource` whose every `origin`, with which a stage begins, restarts the time budget.

    Parameters
    ----------
    source
        The source; all it holds share the same `patience`.
    """

    def __init__(self, source: BarSource, patience: Patience) -> None:
        self._source = source
        self._patience = patience

    def origin(self, symbol: str, quote: str) -> Origin:
        """Return the source's origin; see `ports.BarSource`."""
        self._patience.restart()
        return self._source.origin(symbol, quote)

    def pages(self, symbol: str, quote: str, *, start: int, end: int) -> Iterator[Bars]:
        """Yield the source's closed bars; see `ports.BarSource`."""
        return self._source.pages(symbol, quote, start=start, end=end)
