"""What a model was fitted on: feature names, order, warm-up, and a hash of the code that computes them."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from cryptovol import features, volatility, windows

_CODE = (features, volatility, windows)


@cache
def code_sha256() -> str:
    """Return the hash of the feature code; another value may mean other numbers under the same names."""
    digest = hashlib.sha256()
    for module in _CODE:
        digest.update(Path(str(module.__file__)).read_bytes())
    return digest.hexdigest()


def current(coverage: float) -> dict[str, Any]:
    """Return the spec of the running code, as it is stored with a model."""
    return {
        "names": list(features.FEATURE_NAMES),
        "warmup_hours": features.WARMUP,
        "window_coverage": coverage,
        "code_sha256": code_sha256(),
    }
