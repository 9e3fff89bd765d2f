"""The table of faults once more, through the deployed functions: every fault of every source, lasting."""

import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest
import yaml

from cryptovol import history
from cryptovol.bars import Bars
from cryptovol.market.faults import FAULTS, Fault, named
from cryptovol.market.server import MarketServer, serve
from cryptovol.settings import VENUES, url_setting
from cryptovol.testing import FixedMarket, make_bars
from cryptovol.times import HOUR, floor_hour, format_instant

from tests import faults
from tests.adapters.test_fault_table import told
from tests.cloud import Cloud
from tests.lane import copy_project

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]
N = 600  # hours of history; Kraken keeps 720
END = floor_hour(int(time.time()))  # live venues have no other now than the wall clock's
LAST = "barred"  # a venue that bars us is not asked again by the same process


@pytest.fixture(scope="module")
def cloud(tmp_path_factory) -> Iterator[Cloud]:
    """The project's own functions on an emulator: impatient, and without a circuit breaker, so each fault is met."""
    folder = copy_project(tmp_path_factory.mktemp("project") / "cryptovol")
    body = yaml.safe_load((folder / "params.yaml").read_text(encoding="utf-8"))
    body["ingest"].update(history_hours=N - 40, witness_hours=0)
    body["sources"].update(tries=2, timeout_seconds=0.6, breaker_failures=1000)
    (folder / "params.yaml").write_text(yaml.safe_dump(body), encoding="utf-8")
    made = Cloud(folder)
    made.start()
    yield made
    made.stop()


class Venues:
    """Stand-ins on ports that stay the same while what they serve, and their faults, change."""

    def __init__(self, source: str) -> None:
        self._shapes = ["cryptocompare", "coinbase"] if source == "auto" else [source]
        self._servers: dict[str, MarketServer] = {}
        self.ports = dict.fromkeys(self._shapes, 0)

    def serve(self, bars: Bars, fault: Fault | None = None) -> None:
        """Serve bars from now on, the first venue with the fault."""
        self.stop()
        for shape in self._shapes:
            own = fault if shape == self._shapes[0] else None
            market = FixedMarket(bars, now=int(time.time()))
            server = serve(
                market, shape=shape, fault=own, declared=False, port=self.ports[shape], clock=lambda: int(time.time())
            )
            self._servers[shape] = server.start()
            self.ports[shape] = int(server.url.rpartition(":")[2])

    def stop(self) -> None:
        """Stop serving."""
        for server in self._servers.values():
            server.stop()

    def urls(self) -> Mapping[str, str]:
        """Return the functions' variables; nobody listens at the other venues' addresses."""
        return {url_setting(venue): f"http://127.0.0.1:{self.ports.get(venue, 9)}" for venue in VENUES}


@pytest.mark.parametrize("source", faults.SOURCES)
def test_each_fault_ends_at_the_function_as_in_the_table(cloud: Cloud, source: str) -> None:
    """The deployed functions end as the table says, and what passes the gate is what a sound venue gives."""
    quote, venues = "USDT" if source == "binance" else "USD", Venues(source)
    sound = {name: bars_of(f"{source[:5]}{i}".upper(), quote) for i, name in enumerate(FAULTS)}
    venues.serve(sound[LAST])
    cloud.deploy(CRYPTOVOL_SOURCE="live" if source == "auto" else source, **venues.urls())
    wrong = {}
    try:
        for name in sorted(FAULTS, key=lambda name: name == LAST):
            wrong[name] = differs(cloud, venues, sound[name], source, name)
    finally:
        venues.stop()
    assert not {name: said for name, said in wrong.items() if said}


def bars_of(symbol: str, quote: str) -> Bars:
    """Return bars up to the hour in progress."""
    return make_bars(N + 1, seed=1, start=END - N * HOUR, symbol=symbol, quote=quote)


def differs(cloud: Cloud, venues: Venues, sound: Bars, source: str, name: str) -> str:
    """Return how a faulty run, 24 hours after a sound one, ends otherwise than the table says; nothing if it does not."""
    venues.serve(sound)
    event = {"symbol": str(sound.symbol[0]), "quote": str(sound.quote[0]), "run_id": "faults"}
    failure, result = run(cloud, {**event, "as_of": format_instant(END - 24 * HOUR)})
    assert failure is None, result
    venues.serve(sound, named(name, times=None))
    failure, result = run(cloud, {**event, "as_of": format_instant(END)})
    cell = told()[source, name, "lasting"]
    if failure is not None:
        code = result["errorMessage"].partition("]")[0].strip("[").partition(",")[0]
        meant = "gate_refused" if cell.startswith("the gate refuses") else cell.partition(",")[0]
        return "" if code == meant else f"{cell!r}, but {result['errorMessage']}"
    if not cell.startswith(("complete", "passes", "3 hours short")):
        return f"{cell!r}, but it passed"
    return "" if cell.startswith("passes") or is_sound(cloud, result, sound) else "wrong bars passed the gate"


def run(cloud: Cloud, event: dict[str, Any]) -> tuple[str | None, Any]:
    """Ingest and, if that succeeds, validate; return the kind of failure, if any, and the last answer."""
    failure, result = cloud.invoke("ingest", event)
    return (failure, result) if failure is not None else cloud.invoke("validate", result)


def is_sound(cloud: Cloud, result: dict[str, Any], sound: Bars) -> bool:
    """Return whether the clean bars are the sound venue's, as far as they go."""
    manifest = history.load_manifest(cloud.store, result["clean_key"])
    assert manifest is not None
    clean = history.read(cloud.store, manifest)
    place = np.searchsorted(sound.time, clean["time"])
    same = np.array_equal(sound.time[place], clean["time"]) and np.allclose(
        sound.close[place], clean["close"], rtol=1e-9
    )
    return bool(same and len(place) >= N - 46 and sound.time[place[-1]] == END - HOUR)
