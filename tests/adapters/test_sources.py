"""Which source the settings ask for by name: a venue, or a made-up market that serves itself."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from cryptovol import settings as settings_module
from cryptovol.adapters.sources import open_source
from cryptovol.errors import BarSchemaError, ConfigError
from cryptovol.market.markets import SimulatedMarket
from cryptovol.market.server import serve
from cryptovol.params import Params
from cryptovol.ports import BarSource, Origin
from cryptovol.settings import VENUES, url_setting
from cryptovol.testing import START
from cryptovol.times import HOUR

from tests.venues import NOW, StandIn


def _open(params: Params, **environ: str) -> BarSource:
    return open_source(settings_module.load(environ), params, clock=lambda: NOW)


def _bar_file(path: Path, header: str = "time,open,high,low,close,volumefrom,volumeto,symbol") -> Path:
    rows = [f"{START + i * HOUR},1,2,1,1.5,{i + 1},5,BTC-USD" for i in range(50)]
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


@pytest.fixture
def market(params: Params) -> Iterator[str]:
    """Return the URL of a server over the simulated market."""
    server = serve(SimulatedMarket(params.market, clock=lambda: NOW), clock=lambda: NOW).start()
    yield server.url
    server.stop()


def test_open_source_touches_nothing_before_first_use(params: Params, tmp_path: Path) -> None:
    """Opening a source reads no file and asks no server."""
    _open(params, CRYPTOVOL_SOURCE=f"replay:{tmp_path}/absent.csv")
    _open(params, CRYPTOVOL_SOURCE="cryptocompare", CRYPTOVOL_CRYPTOCOMPARE_URL="http://127.0.0.1:9")


def test_simulated_source_serves_itself(params: Params) -> None:
    """Without a URL the simulated market is served in this process and read over HTTP like any other."""
    source = _open(params, CRYPTOVOL_SOURCE="simulated")
    assert source.origin("ETH", "USDT") == Origin("simulated", "simulated")
    (page,) = source.pages("ETH", "USDT", start=NOW - 1800 - 5 * HOUR, end=NOW - 1800)
    assert page.time[-1] + HOUR == NOW - 1800 and set(page.symbol.tolist()) == {"ETH"}


def test_replay_source_serves_a_file(params: Params, tmp_path: Path) -> None:
    """A bar file is a market named after it."""
    source = _open(params, CRYPTOVOL_SOURCE=f"replay:{_bar_file(tmp_path / 'a.csv')}")
    assert source.origin("BTC", "USD") == Origin("replay:a", "replay-a")
    (page,) = source.pages("BTC", "USD", start=START, end=START + 20 * HOUR)
    assert page.volume_base.tolist() == list(range(1, 21))


def test_replay_source_of_a_bad_file_names_file_and_column(params: Params, tmp_path: Path) -> None:
    """A missing file and a missing column are told at first use."""
    with pytest.raises(ConfigError, match="there is no bar file"):
        _open(params, CRYPTOVOL_SOURCE=f"replay:{tmp_path}/absent.csv").origin("BTC", "USD")
    path = _bar_file(tmp_path / "b.csv", "time,open,high,low,price,volumefrom,volumeto,symbol")
    with pytest.raises(BarSchemaError, match=r"b\.csv has no column close"):
        _open(params, CRYPTOVOL_SOURCE=f"replay:{path}").origin("BTC", "USD")


def test_local_source_uses_the_server_at_the_url(params: Params, market: str) -> None:
    """With a URL set, the made-up market is the one that is served there."""
    source = _open(params, CRYPTOVOL_SOURCE="simulated", CRYPTOVOL_CRYPTOCOMPARE_URL=market)
    assert source.origin("BTC", "USD").market == "simulated"


def test_local_source_refuses_a_server_of_another_market(params: Params, market: str) -> None:
    """A replay is asked for, the server simulates: nothing is fetched under a wrong name."""
    source = _open(params, CRYPTOVOL_SOURCE="replay:some/file.csv", CRYPTOVOL_CRYPTOCOMPARE_URL=market)
    with pytest.raises(ConfigError, match="serves the market 'simulated', not 'replay-file'.*Cure"):
        source.origin("BTC", "USD")


def test_cryptocompare_source_reads_from_the_url(params: Params, market: str) -> None:
    """The client takes the origin from whoever answers at its URL."""
    source = _open(params, CRYPTOVOL_SOURCE="cryptocompare", CRYPTOVOL_CRYPTOCOMPARE_URL=market)
    assert source.origin("BTC", "USD") == Origin("simulated", "simulated")


@pytest.mark.parametrize("venue", VENUES)
def test_a_venue_by_name_is_read_from_its_url(params: Params, stand_in: StandIn, venue: str) -> None:
    """Rows carry the venue's name, whatever is served at its address, unless that says that it is a stand-in."""
    quote = "USDT" if venue == "binance" else "USD"
    source = _open(params, CRYPTOVOL_SOURCE=venue, **{url_setting(venue): stand_in(venue, quote=quote)})
    assert source.origin("BTC", quote) == Origin(venue, "live")
    pages = list(source.pages("BTC", quote, start=NOW - 1800 - 5 * HOUR, end=NOW - 1800))
    assert sum(map(len, pages)) == 5 and set(pages[0].source) == {venue}


def test_replay_command_serves_until_it_is_terminated(tmp_path: Path) -> None:
    """`cryptovol replay` prints its address, answers, and ends with 0 on SIGTERM."""
    code = (
        "import argparse, sys; from cryptovol.commands import replay; p = argparse.ArgumentParser();"
        "replay.add(p.add_subparsers()); a = p.parse_args(sys.argv[1:]); sys.exit(a.run(a))"
    )
    path = _bar_file(tmp_path / "a.csv")
    process = subprocess.Popen(
        [sys.executable, "-c", code, "replay", "--bars", str(path)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ},
    )
    with process:
        assert process.stdout is not None
        url = process.stdout.readline().split(" on ")[1].strip()
        with urlopen(f"{url}?fsym=BTC&tsym=USD&limit=3", timeout=10) as answer:
            assert answer.headers["X-Cryptovol-Market"] == "replay-a"
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
