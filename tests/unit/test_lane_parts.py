"""Which processes a lane is made of, decided from the settings alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from cryptovol import settings
from cryptovol.cloud import airflow_run, environs, mlflow_server, parts
from cryptovol.errors import ConfigError, SourceUnavailableError
from cryptovol.params import Params


def market(params: Params, **environ: str) -> parts.Market:
    """Return the market for an environment."""
    return parts.market(settings.load(environ), params, Path("/project"), 8800, {}, "code")


@pytest.mark.parametrize("source", ["auto", "simulated", ""])
def test_market_without_a_key_is_the_simulated_one(source: str, params: Params) -> None:
    """The default needs no key and no network: a stand-in on loopback, named for what it is."""
    found = market(params, CRYPTOVOL_SOURCE=source)
    assert (found.source, found.name, found.url) == ("simulated", "simulated", "http://127.0.0.1:8800")
    assert found.spec is not None and "--simulated" in found.spec.command


def test_market_of_a_bar_file_is_named_after_it(params: Params) -> None:
    """A replayed file is resolved against the project folder, and its market is its own."""
    found = market(params, CRYPTOVOL_SOURCE="replay:data/btc.csv.gz")
    assert (found.source, found.name) == ("replay:/project/data/btc.csv.gz", "replay-btc")
    assert found.spec is not None and "/project/data/btc.csv.gz" in found.spec.command


def test_market_by_name_is_the_live_one(params: Params) -> None:
    """CryptoCompare asked for by name needs no stand-in."""
    assert market(params, CRYPTOVOL_SOURCE="cryptocompare") == parts.Market("cryptocompare", "live", "", None)


def test_auto_with_a_key_asks_whether_the_live_market_can_be_reached(
    params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key and an answer make it live, a refusal too; only a failed connection falls back to simulated bars."""
    error: list[Exception | None] = [None]

    def origin(found: settings.Settings, asked: Params) -> str:
        assert found.source == "cryptocompare"
        if error[0]:
            raise error[0]
        return "live"

    monkeypatch.setattr(parts, "_origin", origin)
    environ = {"CRYPTOVOL_CRYPTOCOMPARE_KEY": "k"}
    assert market(params, **environ).name == "live"
    refused = SourceUnavailableError("refused")
    error[0] = refused
    assert market(params, **environ).name == "live"
    refused.__cause__ = ConnectionError("no network")
    assert market(params, **environ).name == "simulated"


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
        source="simulated", market_url="http://m", market_key="k", bucket="b", tracking_uri="http://t", git_commit="c"
    )
    read = settings.load(environ)
    wanted = replace(
        settings.load({}), source="simulated", cryptocompare_url="http://m", cryptocompare_key="k", bucket="b",
        tracking_uri="http://t", git_commit="c",
    )  # fmt: skip
    assert read == wanted
