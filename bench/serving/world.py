"""What all are measured on: one store, one history, one model that ours and the rivals serve alike.

The model is an XGBRegressor on the 36 features whose trees stand in a bundle of ours as they are: no ridge, no level.
So every way and every server must give the same number, and each is asked whether it does. Beside it, under another
market, lies a bundle trained as the train stage trains one.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from cryptovol import bundle, features, forest, history, keys, ledger, spec, tables, target, training
from cryptovol import params as params_module
from cryptovol.adapters.files import FileStore
from cryptovol.adapters.s3 import S3Store
from cryptovol.bars import Bars
from cryptovol.bundle import Bundle
from cryptovol.cloud import deploy, embedded, environs
from cryptovol.cloud.fleet import Fleet, down
from cryptovol.cloud.state import State
from cryptovol.level import Level
from cryptovol.ports import Store
from cryptovol.testing import make_bars
from cryptovol.times import HOUR, floor_hour, format_instant

from .sizes import Sizes

BUCKET = "bench"
PAIR = "btc-usd"
HORIZON = 24
SAME, OWN = "bench-same", "bench-own"  # markets: the model all serve, and a bundle as the train stage makes it
MODEL_KEY = "rivals/model.json"
BARS_KEY = "rivals/bars.csv"
RIVALS = Path(".venv-rivals/bin/python")
KEY = "bench-key"  # every request carries it, and ours asks for it
CLOSE = 1e-4  # relative: rivals compute in float32


@dataclass(frozen=True)
class World:
    """A running store with everything in it.

    Parameters
    ----------
    folder
        Where logs and files go.
    endpoint
        Of the store.
    store
        What the endpoint holds of the bench.
    row
        Shape (36,): the features that everybody is asked about.
    expected
        The answer, volatility per hour.
    largest
        Key of the largest object of the bundle that all are compared with.
    size
        Bytes of that bundle.
    """

    folder: Path
    endpoint: str
    store: Store
    row: dict[str, float]
    expected: float
    largest: str
    size: int

    @cached_property
    def model(self) -> Path:
        """XGBoost's own file of the model."""
        return self.folder / "model.json"

    @property
    def files(self) -> Path:
        """A folder store that holds the bundle of the market `OWN`."""
        return self.folder / "files"

    def environ(self, market: str = SAME, **more: str) -> dict[str, str]:
        """Return the environment of a process that serves from the store."""
        own = {**environs.cloud(self.endpoint), "CRYPTOVOL_MARKET": market, "CRYPTOVOL_BUCKET": BUCKET}
        # Both asked at every request: for a key, and whether its rate is not used up, which it never is.
        own |= {
            "CRYPTOVOL_API_KEY_SHA256": hashlib.sha256(KEY.encode()).hexdigest(),
            "CRYPTOVOL_RATE_PER_MINUTE": "9" * 9,
        }
        rival = {"RIVAL_BUCKET": BUCKET, "RIVAL_KEY": MODEL_KEY, "RIVAL_BARS": BARS_KEY, "RIVAL_MODEL": str(self.model)}
        return environs.scrubbed(os.environ, **{**own, **rival, **more})

    def agrees(self, volatility: float) -> bool:
        """Return whether an answer is the model's."""
        return abs(volatility - self.expected) <= CLOSE * self.expected


@contextmanager
def opened(folder: Path, sizes: Sizes) -> Iterator[World]:
    """Yield the world: a store of its own on loopback, filled; stopped by its own process id at the end."""
    root = folder / "cloud"
    root.mkdir()
    state = State(root / "var")
    fleet = Fleet(root, state)
    port = fleet.port("cloud")
    client, _ = deploy.clients(f"http://127.0.0.1:{port}")
    try:
        fleet.ensure(embedded.spec(state.folder, port, {}))
        deploy.ensure_bucket(client, BUCKET)
        yield _filled(S3Store(BUCKET, client), folder, f"http://127.0.0.1:{port}", sizes)
    finally:
        down(state.folder)


def _filled(store: Store, folder: Path, endpoint: str, sizes: Sizes) -> World:
    end = floor_hour(int(time.time()))
    bars = make_bars(sizes.hours, start=end - sizes.hours * HOUR)
    own, values, ahead = _own(bars, sizes)
    booster = _booster(values, ahead, folder / "model.json", sizes)
    same = _with_trees(own, booster)
    files = promote(store, same, SAME)
    promote(store, own, OWN)
    for market in (SAME, OWN):
        put_bars(store, bars, market)
    promote(FileStore(folder / "files"), own, OWN)
    store.put(MODEL_KEY, (folder / "model.json").read_bytes())
    store.put(BARS_KEY, _csv(bars.last_hours(features.WARMUP)))
    row = values[-1:]
    prefix = keys.bundle(SAME, PAIR, HORIZON, sha256=tables.sha256(files[bundle.MANIFEST]))
    largest = max(files, key=lambda name: len(files[name]))
    return World(
        folder, endpoint, store, dict(zip(features.FEATURE_NAMES, row[0].tolist(), strict=True)),
        float(same.predict(row)[0]), f"{prefix}/{largest}", sum(map(len, files.values())),
    )  # fmt: skip


def _own(bars: Bars, sizes: Sizes) -> tuple[Bundle, Any, Any]:
    """Return a bundle as the train stage makes it, and the labelled rows it was made of."""
    params = params_module.load(Path("params.yaml"))
    block = params.featurize
    built = features.build(bars, coverage=block.window_coverage)
    ahead = target.forward(built.log_return, HORIZON, coverage=block.target_coverage)
    table = training.TrainingTable(built.time, built.values, built.log_return, ahead, HORIZON, block.window_coverage)
    header = {
        "name": f"cryptovol-{PAIR}-h{HORIZON}", "symbol": "BTC", "quote": "USD", "market": OWN, "source": "made-up",
        "trained_at": format_instant(int(bars.time[-1]) + HOUR), "spec": spec.current(table.coverage),
    }  # fmt: skip
    train = params.train if sizes.judged else replace(params.train, members=2, refit_hours=params.train.window_hours)
    made = training.build_bundle(table, train, header=header).bundle
    rows = np.flatnonzero(table.labelled())
    return made, table.values[rows], np.log(table.target[rows])


def _booster(values: Any, ahead: Any, path: Path, sizes: Sizes) -> bytes:
    """Fit the model that all serve on named columns, as most projects do; save it, and return its JSON."""
    import pandas as pd
    import xgboost

    shape = {"n_estimators": sizes.trees, "max_depth": sizes.depth, "learning_rate": 0.05, "base_score": 0.0}
    regressor = xgboost.XGBRegressor(**shape, n_jobs=2, random_state=7)
    regressor.fit(pd.DataFrame(values, columns=list(features.FEATURE_NAMES)), ahead)
    regressor.save_model(path)
    return bytes(regressor.get_booster().save_raw("json"))


def _with_trees(own: Bundle, booster: bytes) -> Bundle:
    """Return the bundle with the rival's trees alone for a model."""
    n = len(features.FEATURE_NAMES)
    plain = replace(
        own.model, centre=np.zeros(n), scale=np.ones(n), weights=np.zeros(n), intercept=0.0, members=1,
        forest=forest.from_xgboost(booster), level=Level(0.0, 1.0, 0.0, 0.0),
    )  # fmt: skip
    return replace(own, model=plain, header={**own.header, "market": SAME})


def promote(store: Store, made: Bundle, market: str) -> dict[str, bytes]:
    """Save a bundle, make it its market's champion, and return its files."""
    header = {**made.header, "market": market}
    files = bundle.encode(replace(made, header=header))
    sha256 = tables.sha256(files[bundle.MANIFEST])
    bundle.save(store, keys.bundle(market, PAIR, HORIZON, sha256=sha256), files)
    chosen = {"bundle_sha256": sha256, "name": header["name"], "version": "1", "trained_at": header["trained_at"]}
    ledger.append(store, market, PAIR, HORIZON, decision="promoted", champion=chosen)
    return files


def put_bars(store: Store, bars: Bars, market: str) -> None:
    """Write bars as the clean state of the instant the last one closed."""
    prefix = keys.clean(market, PAIR)
    names = ("time", "open", "high", "low", "close", "volume_base", "volume_quote")
    parts = history.write_parts(store, prefix, {name: getattr(bars, name) for name in names}, codec="npz")
    as_of = format_instant(int(bars.time[-1]) + HOUR)
    history.commit(store, prefix, parts, as_of=as_of, meta={}, head=None)


def _csv(bars: Bars) -> bytes:
    names = ("time", "open", "high", "low", "close", "volume_base")
    lines = zip(*(getattr(bars, name).tolist() for name in names), strict=True)
    return "\n".join([",".join(names), *(",".join(map(repr, line)) for line in lines)]).encode()


def tell(text: str) -> None:
    """Print a line of progress."""
    print(f"bench {time.strftime('%H:%M:%S')}  {text}", file=sys.stderr, flush=True)


def event(body: dict[str, Any]) -> dict[str, Any]:
    """Return what API Gateway sends to Lambda for ``POST /predict``."""
    context = {
        "httpMethod": "POST", "resourcePath": "/predict", "path": "/api/predict", "stage": "api", "protocol": "HTTP/1.1",
        "identity": {"sourceIp": "127.0.0.1", "userAgent": "bench"},
    }  # fmt: skip
    headers = {"content-type": "application/json", "accept": "application/json", "x-api-key": KEY}
    return {
        "resource": "/predict", "path": "/predict", "httpMethod": "POST", "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()}, "queryStringParameters": None,
        "multiValueQueryStringParameters": None, "pathParameters": None, "stageVariables": None,
        "requestContext": context, "body": json.dumps(body), "isBase64Encoded": False,
    }  # fmt: skip
