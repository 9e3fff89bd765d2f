"""Which processes a lane is made of, decided from the settings alone."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from cryptovol import settings
from cryptovol.cloud import airflow_run, environs, mlflow_server, parts
from cryptovol.commands.deploy import passed_on
from cryptovol.errors import ConfigError
from cryptovol.market.server import serve
from cryptovol.params import Params
from cryptovol.testing import START, FixedMarket, make_bars
from cryptovol.times import HOUR, floor_hour

# Nobody listens there: no test may depend on whether this machine has a network.
NOWHERE = {settings.url_setting(venue): "http://127.0.0.1:9" for venue in settings.VENUES}


def market(params: Params, **environ: str) -> parts.Market:
    """Return the market for an environment."""
    return parts.market(settings.load(environ), params, Path("/project"), 8800, {}, "code")


@pytest.fixture
def venue() -> Iterator[str]:
    """Return the address of a server in Kraken's shape that plays the venue itself."""
    now = int(time.time())
    held = FixedMarket(make_bars(50, start=floor_hour(now) - 49 * HOUR), now=now)
    server = serve(held, shape="kraken", declared=False, clock=lambda: now).start()
    yield server.url
    server.stop()


@pytest.mark.parametrize("source", ["auto", "simulated", ""])
def test_market_is_the_simulated_one_where_nobody_can_be_reached(source: str, params: Params) -> None:
    """The default needs no key and no network: a stand-in on loopback, named for what it is."""
    gone = NOWHERE if source != "simulated" else {}
    found = market(params, CRYPTOVOL_SOURCE=source, **gone)
    assert (found.source, found.name, found.urls) == (
        "simulated", "simulated", {"cryptocompare": "http://127.0.0.1:8800"}
    )  # fmt: skip
    assert found.spec is not None and "--simulated" in found.spec.command


def test_market_of_a_bar_file_is_named_after_it(params: Params) -> None:
    """A replayed file is resolved against the project folder, and its market is its own."""
    found = market(params, CRYPTOVOL_SOURCE="replay:data/btc.csv.gz")
    assert (found.source, found.name) == ("replay:/project/data/btc.csv.gz", "replay-btc")
    assert found.spec is not None and "/project/data/btc.csv.gz" in found.spec.command


@pytest.mark.parametrize("source", ["live", *settings.VENUES])
def test_market_by_name_is_the_live_one(source: str, params: Params) -> None:
    """A venue asked for by name needs no stand-in and is not asked whose market it serves."""
    assert market(params, CRYPTOVOL_SOURCE=source) == parts.Market(source, "live", {}, None)


def test_auto_becomes_live_for_the_functions_once_a_venue_is_reached(params: Params, venue: str) -> None:
    """Decided here and once: no function can fall back to made-up bars later."""
    urls = {**NOWHERE, "CRYPTOVOL_KRAKEN_URL": venue}
    params = replace(params, sources=replace(params.sources, tries=1))
    found = market(params, **urls)
    assert (found.source, found.name, found.spec) == ("live", "live", None)
    assert found.urls["kraken"] == venue and set(found.urls) == set(settings.VENUES)


def test_a_refusal_is_an_answer_too(params: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever can be reached keeps the market live, whatever it says; its word is the functions' to hear."""
    monkeypatch.setattr(parts, "live_answers", lambda *args, **more: True)
    assert market(params) == parts.Market("live", "live", {}, None)


def test_a_server_at_a_set_address_is_asked_whose_market_it_serves(params: Params) -> None:
    """A stand-in says so, and its bars are not taken for a venue's."""
    server = serve(
        FixedMarket(make_bars(50), market="replay-a"), shape="kraken", clock=lambda: START + 50 * HOUR
    ).start()
    try:
        urls = {"CRYPTOVOL_KRAKEN_URL": server.url}
        assert market(params, CRYPTOVOL_SOURCE="kraken", **urls).name == "replay-a"
        assert market(params, CRYPTOVOL_SOURCE="coinbase", **urls).name == "live"
    finally:
        server.stop()


def test_deployed_functions_never_make_bars_up_unasked() -> None:
    """They get the venues' addresses, the key and the source, and `live` where none is named."""
    urls = {settings.url_setting(venue): f"http://{venue}" for venue in settings.VENUES}
    environ = {**urls, "CRYPTOVOL_CRYPTOCOMPARE_KEY": "k", "AWS_SECRET_ACCESS_KEY": "s"}
    assert passed_on(environ) == {**urls, "CRYPTOVOL_CRYPTOCOMPARE_KEY": "k", "CRYPTOVOL_SOURCE": "live"}
    for source, passed in (("auto", "live"), ("simulated", "simulated"), ("kraken", "kraken")):
        assert passed_on({"CRYPTOVOL_SOURCE": source})["CRYPTOVOL_SOURCE"] == passed


def test_api_serves_the_asked_symbols_from_a_copy_of_the_parameters(params: Params, tmp_path: Path) -> None:
    """Other symbols or another quote make a copy that differs in nothing else; the project's own stay untouched."""
    text = Path("params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(text)
    own = parts.asked_params(tmp_path, tmp_path / "var", params.symbols, params.quote)
    assert own == tmp_path / "params.yaml"
    other = parts.asked_params(tmp_path, tmp_path / "var", ("ETH", "BTC"), "EUR")
    assert yaml.safe_load(other.read_text()) == {**yaml.safe_load(text), "symbols": ["ETH", "BTC"], "quote": "EUR"}
    assert own.read_text() == text


def test_every_server_is_told_to_bind_to_loopback(tmp_path: Path) -> None:
    """Specs with a port name 127.0.0.1, or are our own commands, whose default it is."""
    (tmp_path / ".venv-airflow/bin").mkdir(parents=True)
    (tmp_path / ".venv-airflow/bin/airflow").touch()
    for spec in (mlflow_server.spec(tmp_path, 5000, {}, endpoint="e"), airflow_run.ui_specs(tmp_path, {}, 5001)[-1]):
        assert spec.command[spec.command.index("--host") + 1] == "127.0.0.1"


def test_airflow_never_invokes_a_long_stage_twice(tmp_path: Path) -> None:
    """The connection waits as long as a stage may take, and the client itself never tries again."""
    import json

    extra = json.loads(airflow_run.connection("http://127.0.0.1:1"))["extra"]
    assert extra["config_kwargs"]["read_timeout"] == 900
    assert extra["config_kwargs"]["retries"] == {"max_attempts": 0}
    assert extra["endpoint_url"] == "http://127.0.0.1:1"


def test_airflow_that_is_not_installed_is_a_usage_error(tmp_path: Path) -> None:
    """The cure is named."""
    for call in (airflow_run.program, airflow_run.installed_version):
        with pytest.raises(ConfigError, match="make setup"):
            call(tmp_path)


def test_application_settings_read_back_as_they_were(params: Params) -> None:
    """What is put into a function's environment is what `settings.load` finds there."""
    environ = environs.application(
        source="live",
        market_urls={"kraken": "http://m", "coindesk": "http://n"},
        market_key="k",
        bucket="b",
        tracking_uri="http://t",
        git_commit="c",
    )
    read = settings.load(environ)
    wanted = replace(
        settings.load({}), source="live", urls={"coindesk": "http://n", "kraken": "http://m"}, cryptocompare_key="k", bucket="b",
        tracking_uri="http://t", git_commit="c",
    )  # fmt: skip
    assert read == wanted
