"""Whether the store answers and what is refused, told to operations once per change rather than once per request."""

from __future__ import annotations

from cryptovol.errors import StoreUnavailableError
from cryptovol.ports import Meter


class Reach:
    """What the looks at the store came to: `fault` says why it does not answer, or is empty."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._refused: dict[tuple[str, int], str] = {}
        self.fault = ""

    def told(self, error: Exception | None) -> None:
        """Hear how a look ended; any error but `StoreUnavailableError` is an answer of the store."""
        before, self.fault = self.fault, str(error) if isinstance(error, StoreUnavailableError) else ""
        self._meter.add("store_reachable", 0.0 if self.fault else 1.0)
        if bool(before) != bool(self.fault):
            self._meter.flush()  # no request may come for a while

    def refused(self, pair: str, horizon: int, what: str) -> None:
        """Count a refused champion, unless `what`, its name or its fault, is the one that was refused last."""
        if self._refused.get((pair, horizon)) != what:
            self._refused[pair, horizon] = what
            self._meter.add("bundle_refusals_total", 1, {"series": pair})
            self._meter.flush()

    def accepted(self, pair: str, horizon: int) -> None:
        """Forget what was refused of a pair and horizon: its champion serves."""
        self._refused.pop((pair, horizon), None)
