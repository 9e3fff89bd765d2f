"""Benchmarks of serving: through the trees, from event to response, over HTTP, from a cold start.

One model, one store, one machine, one run; ours and the usual ways take turns, and each must give the model's own
number before it is timed. Rivals are programs of their own (bench/rivals), partly in an environment of their own.
The goals were set before anything was measured. Progress goes to stderr.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from . import cold, events, keepers, rows, web, world
from .sizes import FULL, QUICK, Sizes
from .stats import Section

__all__ = ["FULL", "QUICK", "sections"]

PACKAGES = (
    "numpy",
    "chalice",
    "boto3",
    "aws-lambda-powertools",
    "pandas",
    "scikit-learn",
    "xgboost-cpu",
    "xgboost",
    "mlflow",
)


def sections(sizes: Sizes, machine: str) -> Iterator[Section]:
    """Yield the tables, each as soon as it is measured.

    Parameters
    ----------
    machine
        What the tables were measured on; told in the first.
    """
    with tempfile.TemporaryDirectory(prefix="cryptovol-bench-") as folder:
        world.tell("serving: a store with bars, two models and their rivals' files")
        with world.opened(Path(folder), sizes) as opened:
            yield _head(opened, sizes, machine)
            yield rows.section(opened, sizes)
            yield keepers.section(opened, sizes)
            yield events.section(opened, sizes)
            yield web.section(opened, sizes)
            yield cold.section(opened, sizes)


def _head(opened: world.World, sizes: Sizes, machine: str) -> Section:
    """Return what all tables were measured with."""
    found = []
    for name in PACKAGES:
        try:
            found.append((name, version(name)))
        except PackageNotFoundError:
            continue
    remark = (
        f"{machine}. One model for all: an XGBRegressor of {sizes.trees} trees of depth {sizes.depth} on 36 features, made "
        f"from {sizes.hours:,} made-up bars; ours serves its trees from a bundle of {opened.size / 1e6:.1f} MB in the store."
        " Shared and noisy: take the ratios, not the times."
    )
    return Section("Serving", remark, ("package", "version"), found)
