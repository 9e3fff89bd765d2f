"""What many tests share: parameters small enough to train in a second, and a watch over what tests leave open."""

import gc
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from cryptovol import params as params_module
from cryptovol.params import Params

# Above what libraries keep for good (an event loop, a resolver) and what the market's stand-ins, which serve until the
# process ends, listen on. With a number above 1,023 `select` fails, far from whoever left the others open.
MOST_LEFT_OPEN = 64


@pytest.fixture(scope="session", autouse=True)
def _nothing_stays_open() -> Iterator[None]:
    """Fail at the end of the run if its tests have left files, pipes or sockets open."""
    before = len(os.listdir("/dev/fd"))
    yield
    gc.collect()
    left = len(os.listdir("/dev/fd")) - before
    assert left <= MOST_LEFT_OPEN, f"the tests left {left} descriptors open. Cure: close what a fixture or test opens"


@pytest.fixture(autouse=True)
def _no_session_of_another_test() -> Iterator[None]:
    """Let boto3 forget its session after each test: it remembers which keys the environment had when it was made."""
    yield
    boto3 = sys.modules.get("boto3")
    if boto3 is not None:
        boto3.DEFAULT_SESSION = None


@pytest.fixture(scope="session")
def params() -> Params:
    """Return the shipped parameters."""
    return params_module.load(Path("params.yaml"))


@pytest.fixture(scope="session")
def quick(params: Params) -> Params:
    """Return parameters for a history of 2,200 hours: fewer members and trees, a shorter scored stretch."""
    forest = replace(params.train.forest, trees=15, min_child_weight=20)
    space = replace(params.tune.space, trees=(10, 40), depth=(2, 4))
    tune = replace(params.tune, trials=8, folds=2, test_hours=120, startup_trials=4, prune_after_trials=3, space=space)
    train = replace(
        params.train,
        window_hours=540,
        refit_hours=180,
        least_rows=400,
        members=3,
        ridge=1000.0,
        threads=1,
        forest=forest,
    )
    return replace(
        params,
        ingest=replace(params.ingest, history_hours=2200, page_bars=400, commit_pages=2),
        train=train,
        tune=tune,
        promotion=replace(params.promotion, least_rows=200),
    )
