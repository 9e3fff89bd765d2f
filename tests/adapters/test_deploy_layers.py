"""`cryptovol deploy --layer`: each function gets the layers it needs, and no more than Lambda takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from cryptovol.cloud import deploy
from cryptovol.cloud.packaging import pins
from cryptovol.commands.deploy import own_layers
from cryptovol.errors import ConfigError

NAMES = list(pins.layers(Path("pyproject.toml").read_text(encoding="utf-8")))
ALL = [f"{name}=arn:aws:lambda:eu-central-1:123456789012:layer:{name}:1" for name in NAMES]


def test_each_function_gets_the_layers_it_needs() -> None:
    """Named layers go to the functions whose requirements they hold; with the core layer nobody has more than five."""
    found = own_layers(Path.cwd(), ALL)
    names = {stage: [arn.split(":")[-2] for arn in arns] for stage, arns in found.items()}
    assert names["ingest"] == ["runtime", "market"] and names["score"] == ["runtime"]
    assert names["tune"] == ["runtime", "model", "tracking", "tune"]
    target = deploy.Target("python3.12", None, {}, (), own_layers=found)
    assert deploy.configuration(target, "tune", ("arn:core",))["Layers"] == ["arn:core", *found["tune"]]


def test_a_layer_without_a_name_is_every_functions() -> None:
    """A plain ARN is passed over here: it goes to every function as before."""
    assert own_layers(Path.cwd(), ["arn:aws:lambda:eu-central-1:123456789012:layer:numpy:1"]) == {}


def test_an_unknown_layer_is_refused() -> None:
    """A slip in a layer's name deploys nothing."""
    with pytest.raises(ConfigError, match="there is no layer 'modell'; known are runtime, market"):
        own_layers(Path.cwd(), ["modell=arn:x"])
