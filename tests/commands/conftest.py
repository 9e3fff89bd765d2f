"""A folder on which the pipeline ran twice, and `cryptovol models` on it."""

import shutil
from pathlib import Path

import pytest
import yaml

from cryptovol import cli

AS_OFS = ("2024-06-01T00:00:00Z", "2024-06-01T06:00:00Z")


@pytest.fixture(scope="session")
def models_params(tmp_path_factory):
    """Return the path of parameters small enough for a test."""
    body = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    body["ingest"]["history_hours"] = 2300
    body["train"].update(window_hours=540, refit_hours=180, least_rows=400, threads=1)
    body["train"]["forest"].update(trees=10, min_child_weight=20)
    body["promotion"]["least_rows"] = 200
    path = tmp_path_factory.mktemp("params") / "params.yaml"
    path.write_text(yaml.safe_dump(body), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def trained_twice(tmp_path_factory, models_params):
    """Return a folder on which the pipeline ran twice, six hours apart."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CRYPTOVOL_SOURCE", "simulated")
        patch.setenv("CRYPTOVOL_PARAMS", str(models_params))
        folder = tmp_path_factory.mktemp("store")
        for as_of in AS_OFS:
            for verb in ("ingest", "validate", "featurize", "train"):
                own = ["--store", str(folder), "--symbol", "BTC", "--as-of", as_of, "--run-id", f"r{as_of[11:13]}"]
                assert cli.main([verb, *own]) == 0
    return folder


@pytest.fixture
def model_folder(trained_twice, tmp_path, monkeypatch, models_params):
    """Return a copy of it that a test may change."""
    monkeypatch.setenv("CRYPTOVOL_PARAMS", str(models_params))
    monkeypatch.setenv("CRYPTOVOL_MARKET", "simulated")
    return shutil.copytree(trained_twice, tmp_path / "store")


@pytest.fixture
def models(model_folder, capsys):
    """Return what runs `cryptovol models` on the folder and gives exit code, output and errors."""

    def call(*words):
        capsys.readouterr()
        code = cli.main(["models", *words, "--store", str(model_folder)])
        told = capsys.readouterr()
        return code, told.out, told.err

    return call
