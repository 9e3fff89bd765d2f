"""What a stage is told, and the small result it gives the next one: data goes by storage key, never inside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptovol import keys
from cryptovol.errors import ConfigError
from cryptovol.times import HOUR, format_instant, parse_instant

Result = dict[str, Any]


@dataclass(frozen=True)
class StageEvent:
    """One symbol's step of one run.

    Parameters
    ----------
    symbol, quote
        The pair, for instance ``BTC`` and ``USD``.
    as_of
        Unix seconds on a full hour: the end of the interval. Nothing that closed later may be read.
    run_id
        Identifies the run in logs, status objects and lineage.
    given
        What the stages before wrote into the event: keys, hashes and counts.
    """

    symbol: str
    quote: str
    as_of: int
    run_id: str
    given: Mapping[str, Any]

    @property
    def pair(self) -> str:
        """The series name, for instance ``btc-usd``."""
        return keys.series(self.symbol, self.quote)

    @property
    def as_of_text(self) -> str:
        """`as_of` as ISO 8601."""
        return format_instant(self.as_of)

    def need(self, name: str) -> Any:
        """Return what an earlier stage wrote; raise `ConfigError` naming the stage that should have."""
        if name not in self.given:
            raise ConfigError(f"the event for {self.pair} has no {name!r}; pass on the result of the stage before")
        return self.given[name]

    def result(self, **more: Any) -> Result:
        """Return the event's own fields, everything given so far, and `more`."""
        own = {"symbol": self.symbol, "quote": self.quote, "as_of": self.as_of_text, "run_id": self.run_id}
        return {**self.given, **own, **more}


def parse(event: Mapping[str, Any]) -> StageEvent:
    """Return the stage event in a Lambda payload.

    `as_of` is floored to the hour: bars are hourly, and a run started at 06:17 knows what was known at 06:00.

    Raises
    ------
    ConfigError
        If a field is missing, of the wrong type, or not a symbol, an instant or a run id.
    """
    wanted = ("symbol", "quote", "as_of", "run_id")
    missing = [name for name in wanted if not isinstance(event.get(name), str) or not event[name]]
    if missing:
        raise ConfigError(
            f"the event lacks {', '.join(missing)} (texts); it has {', '.join(sorted(event)) or 'nothing'}"
        )
    as_of = parse_instant(event["as_of"])
    keys.series(event["symbol"], event["quote"])
    given = {name: value for name, value in event.items() if name not in wanted}
    return StageEvent(event["symbol"], event["quote"], as_of - as_of % HOUR, keys.plain(event["run_id"]), given)
