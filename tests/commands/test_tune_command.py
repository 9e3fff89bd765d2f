"""`cryptovol tune` on files: on a run's features or the newest stored, within a budget, and taken up again."""

import json
import runpy

import pytest
import yaml

from cryptovol import cli, edge, keys
from cryptovol.wiring import open_ports

AS_OF = "2024-06-01T00:00:00Z"
KEY = keys.tuned("simulated", "btc-usd", 24)


@pytest.fixture(scope="module")
def small_params(tmp_path_factory):
    """Return a params.yaml for a history of 2,300 hours and a search of a few trials."""
    with open("params.yaml", encoding="utf-8") as file:
        body = yaml.safe_load(file)
    body["ingest"]["history_hours"] = 2300
    body["train"].update(window_hours=540, refit_hours=180, least_rows=400, threads=1)
    body["train"]["forest"].update(trees=15, min_child_weight=20)
    body["tune"].update(trials=3, folds=2, test_hours=120)
    body["tune"]["space"].update(trees=[10, 30], depth=[2, 3])
    path = tmp_path_factory.mktemp("params") / "params.yaml"
    path.write_text(yaml.safe_dump(body), encoding="utf-8")
    return path


@pytest.fixture(autouse=True)
def offline(monkeypatch, small_params):
    """Use the simulated market and the small parameters."""
    monkeypatch.setenv("CRYPTOVOL_SOURCE", "simulated")
    monkeypatch.setenv("CRYPTOVOL_PARAMS", str(small_params))
    monkeypatch.setenv("CRYPTOVOL_MARKET", "simulated")
    monkeypatch.delenv("CRYPTOVOL_CRYPTOCOMPARE_URL", raising=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, small_params):
    """Return a folder with features in it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CRYPTOVOL_SOURCE", "simulated")
        patch.setenv("CRYPTOVOL_PARAMS", str(small_params))
        store = tmp_path_factory.mktemp("store")
        for verb in ("ingest", "validate", "featurize"):
            assert cli.main([verb, "--store", str(store), "--symbol", "BTC", "--as-of", AS_OF, "--run-id", "r"]) == 0
    return store


def test_tune_shows_its_progress_and_what_it_gained(folder, capsys):
    """Bars with the best QLIKE go to stderr, the outcome to stdout, the file to the store."""
    assert cli.main(["tune", "--store", str(folder), "--symbol", "BTC", "--as-of", AS_OF, "--run-id", "r"]) == 0
    shown = capsys.readouterr()
    assert "24 h: QLIKE" in shown.out and "3 trials" in shown.out
    assert "best QLIKE" in shown.err and "3/3" in shown.err
    assert json.loads((folder / KEY).read_text())["trials"]["all"] == 3


def test_tune_with_a_larger_budget_goes_on_and_with_json_is_quiet(folder, capsys):
    """Given again with more trials it adds them, whatever the run; one JSON line, nothing on stderr."""
    own = ["tune", "--store", str(folder), "--symbol", "BTC", "--as-of", AS_OF, "--json"]
    assert cli.main([*own, "--trials", "4", "--seconds", "900"]) == 0
    shown = capsys.readouterr()
    (line,) = shown.out.splitlines()
    found = json.loads(line)["tuning"]["24"]
    assert shown.err == "" and found["trials"]["all"] == 4 and not found["repeated"]
    assert cli.main([*own, "--trials", "4"]) == 0
    assert json.loads(capsys.readouterr().out)["tuning"]["24"]["repeated"]


def test_tune_of_one_symbol_without_features_does_not_stop_the_other(folder, capsys):
    """The failing symbol is told, the other tuned, and the exit code is that of the failure."""
    own = ["--store", str(folder), "--symbol", "ETH,BTC", "--as-of", AS_OF, "--trials", "1", "--json"]
    assert cli.main(["tune", *own]) == 1
    shown = capsys.readouterr()
    assert "no feature table of eth-usd in market simulated" in shown.err
    assert json.loads(shown.out.splitlines()[0])["symbol"] == "BTC"


@pytest.mark.parametrize("wrong", [["--trials", "0"], ["--seconds", "-1"], ["--seconds", "nan"]])
def test_tune_without_a_budget_is_a_usage_error(wrong, folder, capsys):
    """A budget of nothing exits with 2 and says what to do."""
    assert cli.main(["tune", "--store", str(folder), "--symbol", "BTC", "--as-of", AS_OF, *wrong]) == 2
    assert "Cure" in capsys.readouterr().err


def test_tune_as_a_function_finds_the_market_in_its_settings(folder, monkeypatch):
    """The handler needs pair, instant and run alone."""
    edge._ports.cache_clear()
    monkeypatch.setattr(edge, "open_ports", lambda **more: open_ports(folder, **more))
    try:
        handler = runpy.run_path("functions/tune/handler.py")["lambda_handler"]
        found = handler({"symbol": "BTC", "quote": "USD", "as_of": AS_OF, "run_id": "weekly"}, None)
    finally:
        edge._ports.cache_clear()
    assert found["market"] == "simulated" and found["tuning"]["24"]["trials"]["all"] >= 3
    assert json.loads((folder / keys.run("weekly", "btc-usd", "tune")).read_text())["state"] == "done"
