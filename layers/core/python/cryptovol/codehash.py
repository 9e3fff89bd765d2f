"""The hash of this package's code: part of what a trained model depends on."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

# What decides a model's numbers; command line, adapters and cloud code do not.
NOUNS = (
    "bars", "baselines", "bundle", "drift", "features", "folds", "forest", "intervals", "model", "promotion", "scores",
    "spec", "tables", "target", "training", "volatility",
)  # fmt: skip


@cache
def model_code_sha256() -> str:
    """Return the hash of the modules between bars and bundle."""
    digest = hashlib.sha256()
    for name in NOUNS:
        digest.update((Path(__file__).parent / f"{name}.py").read_bytes())
    return digest.hexdigest()
