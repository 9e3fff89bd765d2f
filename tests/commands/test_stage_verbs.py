"""The stage verbs on a folder, as `dvc repro` and people call them."""

import json
from pathlib import Path

import pytest
import yaml

from cryptovol import cli

AS_OF = "2024-06-01T00:00:00Z"


@pytest.fixture(scope="module")
def small_params(tmp_path_factory):
    """Return the path of parameters small enough for a test."""
    body = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    body["ingest"]["history_hours"] = 2300
    body["train"].update(window_hours=540, refit_hours=180, least_rows=400, threads=1)
    body["train"]["forest"].update(trees=10, min_child_weight=20)
    body["promotion"]["least_rows"] = 200
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
    """Return a folder on which the whole pipeline ran, verb by verb."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CRYPTOVOL_SOURCE", "simulated")
        patch.setenv("CRYPTOVOL_PARAMS", str(small_params))
        store = tmp_path_factory.mktemp("store")
        own = ["--store", str(store), "--symbol", "BTC", "--as-of", AS_OF]
        for verb in ("ingest", "validate", "featurize", "train", "score"):
            assert cli.main([verb, *own, "--out", str(store / f"{verb}.json")]) == 0
    return store


def test_verbs_hand_on_their_results(folder):
    """Each stage finds the one before by the run it shares; the last knows what the first did."""
    result = json.loads((folder / "score.json").read_text())
    assert result["rows_total"] <= 2300 and result["market"] == "simulated" and result["as_of"] == AS_OF


def test_verbs_given_event_files_write_the_same_bytes(folder, tmp_path):
    """Chained by --event, as in dvc.yaml, the stages write byte-equal bars, features and bundles."""
    previous = ["--symbol", "BTC", "--as-of", AS_OF, "--run-id", "other"]
    for verb in ("ingest", "validate", "featurize", "train"):
        out = tmp_path / f"{verb}.json"
        assert cli.main([verb, "--store", str(tmp_path / "s"), *previous, "--out", str(out)]) == 0
        previous = ["--event", str(out)]
    for part in ("bars", "features"):
        files = sorted(p.relative_to(folder) for p in (folder / part).rglob("*") if p.is_file())
        assert files and all((tmp_path / "s" / p).read_bytes() == (folder / p).read_bytes() for p in files)
    bundles = sorted(p.relative_to(folder) for p in folder.glob("models/**/bundles/**/*") if p.is_file())
    assert bundles and all((tmp_path / "s" / p).read_bytes() == (folder / p).read_bytes() for p in bundles)


def test_verb_without_the_stage_before_says_which(tmp_path, capsys):
    """A stage called too early names the verb to call first, with exit code 2."""
    assert cli.main(["train", "--store", str(tmp_path), "--symbol", "BTC", "--as-of", AS_OF]) == 2
    assert "run `cryptovol featurize` first" in capsys.readouterr().err


def test_verb_of_an_unknown_symbol_exits_with_2(tmp_path, capsys):
    """A symbol no source knows is a usage error, in one line."""
    assert cli.main(["ingest", "--store", str(tmp_path), "--symbol", "NOPE", "--as-of", AS_OF]) == 2
    error = capsys.readouterr().err
    assert "NOPE" in error and "Traceback" not in error


def test_verb_of_the_future_exits_with_2(tmp_path, capsys):
    """Nothing is known about the future, and the message says what to do."""
    assert cli.main(["ingest", "--store", str(tmp_path), "--symbol", "BTC", "--as-of", "2999-01-01T00:00:00Z"]) == 2
    assert "2999" in capsys.readouterr().err
