"""What the tests of the venue clients share."""

from collections.abc import Iterator
from typing import Any

import pytest

from cryptovol.bars import Bars
from cryptovol.market.server import MarketServer, serve
from cryptovol.testing import FixedMarket, make_bars
from cryptovol.times import HOUR

from tests.adapters.scripted import Script, serving
from tests.venues import NOW, StandIn, in_quote


@pytest.fixture
def script() -> Iterator[Script]:
    """Return a running scripted server."""
    with serving() as found:
        yield found


@pytest.fixture
def waits() -> list[float]:
    """Return the seconds a client waited between its tries."""
    return []


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    """Return what serves 1,000 hours of bars in a venue's shape, as the venue itself would, and returns the address."""
    servers: list[MarketServer] = []

    def start(shape: str, *, quote: str = "USD", bars: Bars | None = None, **more: Any) -> str:
        held = make_bars(1000, start=NOW - 1800 - 999 * HOUR) if bars is None else bars
        market = FixedMarket(in_quote(held, quote), now=NOW)
        more = {"declared": False, "clock": lambda: NOW, **more}
        servers.append(serve(market, shape=shape, **more).start())
        return servers[-1].url

    yield start
    for server in servers:
        server.stop()
