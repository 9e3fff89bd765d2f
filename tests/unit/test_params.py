"""Parameters and settings: a wrong name or type is told by its full name."""

from pathlib import Path

import pytest
import yaml

from cryptovol import params, settings
from cryptovol.errors import ConfigError


def broken(tmp_path: Path, old: str, new: str) -> Path:
    """Return a copy of params.yaml with one text replaced."""
    text = Path("params.yaml").read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "params.yaml"
    path.write_text(text.replace(old, new), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("null_share: 0.01", "null_shre: 0.01", "gate.null_shre is unknown"),
        ("  freshness_hours: 2\n  gap", "  gap", "gate.freshness_hours is missing"),
        ("ridge: 500.0", "ridge: much", "train.ridge must be float"),
        ("horizons: [6, 24]", "horizons: []", "featurize.horizons must be a list"),
        ("seed: 7", "seed: true", "train.seed must be int"),
        ("  tries: 4", "  tries: four", "sources.tries must be int"),
        ("  order: [cryptocompare, ", "  order: []  # [", "sources.order must be a list"),
        ("stand_in_quotes: []", "stand_in_quotes: USDT", "sources.stand_in_quotes must be a list"),
        ("symbols: [BTC]", "symbols: [BTC", "is not YAML"),
    ],
)
def test_params_with_a_mistake_are_refused_by_name(tmp_path, old, new, told):
    """The message names the parameter, not a line of our code."""
    with pytest.raises(ConfigError, match=told.replace(".", r"\.")):
        params.load(broken(tmp_path, old, new))


def test_params_that_are_absent_are_refused_with_the_cure(tmp_path):
    """A missing file says where to run from."""
    with pytest.raises(ConfigError, match="run from the project folder"):
        params.load(tmp_path / "none.yaml")


def test_settings_have_a_default_for_everything():
    """An empty environment is the local default."""
    found = settings.load({})
    assert (found.source, found.bucket, found.market, found.api_keys) == ("auto", "cryptovol", "live", {})


def test_settings_hold_the_address_of_each_venue_that_has_one():
    """Empty ones are as good as none."""
    found = settings.load({"CRYPTOVOL_KRAKEN_URL": "http://k", "CRYPTOVOL_BINANCE_URL": "", "CRYPTOVOL_SOURCE": "live"})
    assert found.urls == {"kraken": "http://k"} and found.source == "live"


@pytest.mark.parametrize("source", ["binnace", "replay:", "REPLAY"])
def test_settings_refuse_an_unknown_source(source):
    """A misspelt source lists those that exist."""
    with pytest.raises(ConfigError, match="use one of auto"):
        settings.load({"CRYPTOVOL_SOURCE": source})


@pytest.mark.parametrize(
    ("block", "name", "value", "says"),
    [
        ("watch", "decay_window_hours", 48, "watch.decay_window_hours must be one of score.windows_hours"),
        ("promotion", "shadow_rows", 145, "known after 169 hours, past predict.expiry_hours"),
        ("promotion", "shadow_ties", 1, "promotion.shadow_ties must be bool"),
        ("watch", "evaluations", True, "watch.evaluations must be int"),
    ],
)
def test_params_that_could_never_work_together_are_refused(tmp_path, block, name, value, says):
    """A window that no scoreboard has, shadows that expire undecided, and a number where a yes or no belongs."""
    body = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    body[block][name] = value
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(body), encoding="utf-8")
    with pytest.raises(ConfigError, match=says):
        params.load(path)


def test_settings_without_a_cloud_refuse_to_start():
    """No endpoint is an error, unless AWS was asked for by name."""
    with pytest.raises(ConfigError, match="AWS_ENDPOINT_URL is empty"):
        settings.require_cloud({})
    settings.require_cloud({"CRYPTOVOL_CLOUD": "aws"})
    settings.require_cloud({"AWS_ENDPOINT_URL": "http://127.0.0.1:1"})
