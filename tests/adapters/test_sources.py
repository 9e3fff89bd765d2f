"""Which source the settings ask for: the stand-ins that serve themselves, and `auto`, which says what it took."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from cryptovol import settings as settings_module
from cryptovol.adapters.sources import open_source
from cryptovol.adapters.sources.auto import AutoSource
from cryptovol.adapters.sources.cryptocompare import CryptoCompareSource
from cryptovol.bars import Bars
from cryptovol.commands import sources as sources_command
from cryptovol.errors import BarSchemaError, ConfigError, CryptovolError, RateLimitedError, SourceUnavailableError
from cryptovol.market.markets import SimulatedMarket
from cryptovol.market.server import serve
from cryptovol.params import Params
from cryptovol.ports import BarSource, Origin
from cryptovol.testing import START, FixedSource, make_bars
from cryptovol.times import HOUR, format_instant, parse_instant

NOW = parse_instant("2026-01-01T10:30:00Z")


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


def test_auto_without_a_key_simulates_and_says_so_once(params: Params, capsys: Any) -> None:
    """Nothing set up means the simulated market, said on stderr once."""
    source = _open(params)
    assert source.origin("BTC", "USD").market == source.origin("ETH", "USD").market == "simulated"
    assert list(source.pages("BTC", "USD", start=NOW - 5 * HOUR, end=NOW))
    said = capsys.readouterr()
    assert said.err.count("SIMULATED") == 1 and "CRYPTOVOL_CRYPTOCOMPARE_KEY" in said.err and not said.out


def test_auto_with_a_url_asks_cryptocompare(params: Params, market: str, capsys: Any) -> None:
    """A URL is a set-up source, so nothing is said about falling back."""
    assert _open(params, CRYPTOVOL_CRYPTOCOMPARE_URL=market).origin("BTC", "USD").market == "simulated"
    assert "SIMULATED" not in capsys.readouterr().err


class _Failing(FixedSource):
    """A venue that fails."""

    def __init__(self, error: CryptovolError, cause: Exception | None = None) -> None:
        super().__init__(make_bars(1))
        self._error = error
        self._error.__cause__ = cause

    def origin(self, symbol: str, quote: str) -> Origin:
        raise self._error


def _auto(**venues: BarSource) -> AutoSource:
    return AutoSource(venues, last=lambda: FixedSource(make_bars(9), market="simulated"))


def test_auto_falls_back_when_no_network_answers(capsys: Any, caplog: Any) -> None:
    """Venues that cannot be reached are logged, and the simulated market is used and named."""
    gone = SourceUnavailableError("no answer")
    assert _auto(one=_Failing(gone, ConnectionError())).origin("BTC", "USD").market == "simulated"
    assert "none of one can be reached" in capsys.readouterr().err and "one does not answer" in caplog.text


@pytest.mark.parametrize(
    "error", [SourceUnavailableError("503"), RateLimitedError("slow", 5.0), ConfigError("key refused")]
)  # fmt: skip
def test_auto_never_hides_a_refusal_behind_made_up_bars(error: CryptovolError) -> None:
    """A venue that answers, even with a refusal, is not replaced by the simulated market."""
    with pytest.raises(type(error)):
        _auto(one=_Failing(error)).origin("BTC", "USD")


def test_auto_takes_the_first_venue_that_answers_and_keeps_to_it() -> None:
    """Venues are tried in order; the one that answered serves the pages."""
    good = FixedSource(make_bars(9), market="live")
    auto = _auto(one=_Failing(SourceUnavailableError("no answer"), OSError()), two=good)
    pages: list[Bars] = list(auto.pages("BTC", "USD", start=START, end=START + 5 * HOUR))
    assert len(pages[0]) == 5 and auto.origin("BTC", "USD").market == "live"


def test_sources_check_tells_what_each_source_says(params: Params, market: str) -> None:
    """A source that answers has its newest closed bar and its age; one that does not has its error."""
    where = settings_module.load({"CRYPTOVOL_CRYPTOCOMPARE_URL": market})
    ask = dict(symbol="BTC", quote="USD", clock=lambda: NOW)
    found = sources_command.check("cryptocompare", where, params, **ask)  # type: ignore[arg-type]
    assert found["market"] == "simulated" and found["error"] is None
    assert found["newest"] == format_instant(NOW - 1800 - HOUR) and found["age_hours"] == 0.5
    lost = sources_command.check("replay:absent.csv", settings_module.load({}), params, **ask)  # type: ignore[arg-type]
    assert lost["newest"] is None and "no bar file" in lost["error"]


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


def test_client_satisfies_the_port() -> None:
    """The client is a `BarSource` to the type checker and at run time alike."""
    source: BarSource = CryptoCompareSource("http://127.0.0.1:9", clock=lambda: NOW)
    assert callable(source.origin) and callable(source.pages)
