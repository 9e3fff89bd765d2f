"""Sources, ingest and gate as deployed functions on the embedded cloud, against stand-ins of real venues."""

import csv
import io
import json
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import yaml

from cryptovol import history, keys
from cryptovol.bars import Bars, same_values
from cryptovol.market import faults
from cryptovol.market.server import MarketServer, serve
from cryptovol.settings import VENUES, url_setting
from cryptovol.tables import Table
from cryptovol.testing import FixedMarket, make_bars
from cryptovol.times import HOUR, floor_hour, format_instant

from tests.cloud import Cloud
from tests.lane import copy_project

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]
N = 600  # hours of history; Kraken keeps 720
END = floor_hour(int(time.time()))  # live venues have no other now than the wall clock's
START = END - N * HOUR
Serve = Callable[..., str]


@pytest.fixture(scope="module")
def cloud(tmp_path_factory) -> Iterator[Cloud]:
    """The project's own functions on an emulator, impatient, so that a lasting fault ends soon."""
    folder = copy_project(tmp_path_factory.mktemp("project") / "cryptovol")
    body = yaml.safe_load((folder / "params.yaml").read_text(encoding="utf-8"))
    body["ingest"]["history_hours"] = N - 10
    body["sources"].update(tries=2, timeout_seconds=1)
    (folder / "params.yaml").write_text(yaml.safe_dump(body), encoding="utf-8")
    made = Cloud(folder)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def served() -> Iterator[Serve]:
    """Return what serves bars in a venue's shape, as the venue itself would, and returns the address."""
    servers: list[MarketServer] = []

    def start(bars: Bars, shape: str, fault: faults.Fault | None = None) -> str:
        market = FixedMarket(bars, now=int(time.time()))
        servers.append(serve(market, shape=shape, fault=fault, declared=False, clock=lambda: int(time.time())).start())
        return servers[-1].url

    yield start
    for server in servers:
        server.stop()


def bars_of(symbol: str, venue: str, *, seed: int = 1, n: int = N) -> Bars:
    """Return bars up to the full hour, in the currency the venue trades."""
    return make_bars(n + 1, seed=seed, start=END - n * HOUR, symbol=symbol, quote=quote_of(venue), source=venue)


def quote_of(venue: str) -> str:
    """Return the dollar a venue trades."""
    return "USDT" if venue == "binance" else "USD"


def event(symbol: str, quote: str = "USD", as_of: int = END, **more: Any) -> dict[str, Any]:
    """Return a stage's event."""
    return {"symbol": symbol, "quote": quote, "as_of": format_instant(as_of), "run_id": "test", **more}


def urls(**venues: str) -> Mapping[str, str]:
    """Return the functions' variables for some venues' addresses; nobody listens at the others'."""
    return {url_setting(venue): venues.get(venue, "http://127.0.0.1:9") for venue in VENUES}


def through_the_gate(cloud: Cloud, begun: dict[str, Any]) -> tuple[str | None, Any]:
    """Ingest and, if that succeeds, validate; return the kind of failure, if any, and the last answer."""
    failure, result = cloud.invoke("ingest", begun)
    return (failure, result) if failure is not None else cloud.invoke("validate", result)


def clean_bars(cloud: Cloud, result: dict[str, Any]) -> Table:
    """Return what passed the gate."""
    manifest = history.load_manifest(cloud.store, result["clean_key"])
    assert manifest is not None
    return history.read(cloud.store, manifest)


def stored(cloud: Cloud, symbol: str, quote: str = "USD") -> Bars:
    """Return the raw history of a pair."""
    pair = keys.series(symbol, quote)
    manifest = history.load_manifest(cloud.store, history.head_key(keys.raw("live", pair)))
    assert manifest is not None
    return Bars(**history.read(cloud.store, manifest))


@pytest.mark.parametrize("venue", VENUES)
def test_every_venue_is_ingested_and_gated(cloud, served, venue):
    """Bars come through each client into S3 unchanged, and pass the gate; each row says whose and in what it is."""
    symbol = venue.upper()[:12]
    bars = bars_of(symbol, venue)
    cloud.deploy(CRYPTOVOL_SOURCE=venue, **urls(**{venue: served(bars, venue)}))
    failure, result = cloud.invoke("ingest", event(symbol, quote_of(venue)))
    assert failure is None, result
    assert result["rows_new"] == N - 10 and result["market"] == "live" and result["sources"] == {venue: N - 10}
    found = stored(cloud, symbol, quote_of(venue))
    wanted = bars.take(slice(10, N))
    assert np.array_equal(found.time, wanted.time) and np.allclose(found.close, wanted.close, rtol=1e-9)
    assert set(found.source) == {venue} and set(found.quote) == {quote_of(venue)}
    failure, checked = cloud.invoke("validate", result)
    assert failure is None, checked
    assert checked["rows_clean"] == N - 10


def test_bars_told_wrong_at_first_are_right_in_the_end(cloud, served):
    """What the venue revises right afterwards, the next run reads again and replaces."""
    bars, venue = bars_of("REV", "coindesk"), "coindesk"
    early = served(bars, venue, faults.named("revised", times=None))
    cloud.deploy(CRYPTOVOL_SOURCE=venue, **urls(coindesk=early))
    begun = event("REV", as_of=END - 6 * HOUR, start=format_instant(END - 40 * HOUR))
    failure, first = through_the_gate(cloud, begun)
    assert failure is None, first
    cloud.deploy(CRYPTOVOL_SOURCE=venue, **urls(coindesk=served(bars, venue)))
    failure, result = through_the_gate(cloud, event("REV"))
    assert failure is None and result["rows_revised"] >= 4, result
    assert np.allclose(clean_bars(cloud, result)["close"], bars.close[N - 40 : N], rtol=1e-9)


def test_two_venues_that_disagree_are_a_refusal_with_a_report(cloud, served):
    """A second source 3 % away stops the run before anything is learned; the page for people is in S3."""
    bars = bars_of("DIS", "cryptocompare")
    away = Bars(**{**bars.columns(), **{name: getattr(bars, name) * 1.03 for name in ("open", "high", "low", "close")}})
    both = urls(cryptocompare=served(bars, "cryptocompare"), coinbase=served(away, "coinbase"))
    cloud.deploy(CRYPTOVOL_SOURCE="auto", **both)
    failure, result = cloud.invoke("ingest", event("DIS"))
    assert failure is None and result["witness_key"], result
    failure, refused = cloud.invoke("validate", result)
    assert failure is not None and "disagreement" in refused["errorMessage"]
    status = json.loads(cloud.store.get(keys.run("test", "dis-usd", "validate")).data)
    assert status["state"] == "refused" and status["error"]["findings"]["disagreement"] > 40
    page = cloud.s3.get_object(
        Bucket="cryptovol", Key=keys.gate_report("live", "dis-usd", format_instant(END), suffix="html")
    )
    assert page["ContentType"].startswith("text/html") and b"disagreement" in page["Body"].read()


def test_hours_the_first_venue_lacks_are_taken_from_the_second_and_marked(cloud, served):
    """A hole is filled and told; when the first venue has the bars after all, they take the place of the repair."""
    bars = bars_of("GAP", "cryptocompare")
    hole = np.isin(np.arange(len(bars)), (N - 20, N - 19, N - 18))
    second = served(bars, "coinbase")
    cloud.deploy(
        CRYPTOVOL_SOURCE="auto", **urls(cryptocompare=served(bars.take(~hole), "cryptocompare"), coinbase=second)
    )
    failure, result = cloud.invoke("ingest", event("GAP", as_of=END - HOUR))
    assert failure is None and result["rows_repaired"] == 3, result
    assert stored(cloud, "GAP").source.tolist().count("repair:coinbase") == 3
    failure, checked = cloud.invoke("validate", result)
    assert failure is None and checked["findings"]["repaired"] == 3, checked
    cloud.deploy(CRYPTOVOL_SOURCE="auto", **urls(cryptocompare=served(bars, "cryptocompare"), coinbase=second))
    failure, result = cloud.invoke("ingest", event("GAP"))
    assert failure is None, result
    assert set(stored(cloud, "GAP").source) == {"cryptocompare"}


def test_quarantined_rows_lie_beside_the_clean_ones_with_their_rule(cloud, served):
    """An isolated bad bar is set aside with the rule that hit it, and the rest goes on."""
    bars = bars_of("QUA", "kraken")
    low = bars.low.copy()
    low[N - 100] = bars.high[N - 100] * 1.01
    cloud.deploy(CRYPTOVOL_SOURCE="kraken", **urls(kraken=served(Bars(**{**bars.columns(), "low": low}), "kraken")))
    _, result = cloud.invoke("ingest", event("QUA"))
    failure, checked = cloud.invoke("validate", result)
    assert failure is not None or checked["rows_quarantined"] == 1, checked
    rows = list(
        csv.DictReader(
            io.StringIO(cloud.store.get(keys.quarantine("live", "qua-usd", format_instant(END))).data.decode())
        )
    )
    assert [(row["rule"], int(row["time"])) for row in rows] == [("range", int(bars.time[N - 100]))]


def test_two_ingests_at_once_lose_nothing(cloud, served):
    """Of two functions on one pair one wins each conditional write, and the other goes on from there."""
    bars = bars_of("RACE", "cryptocompare")
    cloud.deploy(CRYPTOVOL_SOURCE="cryptocompare", **urls(cryptocompare=served(bars, "cryptocompare")))
    with ThreadPoolExecutor(2) as pool:
        ends = (END - 3 * HOUR, END)
        done = list(pool.map(lambda end: cloud.invoke("ingest", event("RACE", as_of=end)), ends))
    assert [failure for failure, _ in done] == [None, None], done
    found = stored(cloud, "RACE")
    wanted = bars.take((bars.time >= found.time[0]) & (bars.time < END))
    assert len(wanted) >= N - 10 and np.array_equal(found.time, wanted.time) and same_values(found, wanted).all()


def test_a_backfill_whose_function_is_killed_many_times_ends_as_an_unbroken_one(cloud, served):
    """kill -9 of the function's process at any moment loses and doubles nothing: the next invocation goes on."""
    bars = make_bars(6000, seed=9, start=END - 5999 * HOUR, symbol="KILL")
    slow = faults.named("drip", times=None)
    cloud.deploy(CRYPTOVOL_SOURCE="cryptocompare", **urls(cryptocompare=served(bars, "cryptocompare", slow)))
    begun = event("KILL", start=format_instant(int(bars.time[0])))
    rng = np.random.default_rng(5)
    kills = 0
    with ThreadPoolExecutor(1) as pool:
        while kills < 8:
            running = pool.submit(cloud.invoke, "ingest", begun)
            time.sleep(float(rng.uniform(0.1, 1.5)))
            for pid in cloud.processes("ingest"):
                os.kill(pid, signal.SIGKILL)
            kills += 1
            if running.result()[0] is None:
                break
    cloud.deploy(CRYPTOVOL_SOURCE="cryptocompare", **urls(cryptocompare=served(bars, "cryptocompare")))
    failure, result = cloud.invoke("ingest", begun)
    assert failure is None and kills >= 3, result
    found = stored(cloud, "KILL")
    assert np.array_equal(found.time, bars.time[:-1]) and same_values(found, bars.take(slice(0, -1))).all()
