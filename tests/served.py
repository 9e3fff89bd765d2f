"""A small market that serves: clean bars in a store, and a real bundle whose forecast is known by hand."""

from __future__ import annotations

import math

import numpy as np

from cryptovol import bundle, history, keys, ledger, spec, tables
from cryptovol.bars import Bars, Floats
from cryptovol.baselines import Har
from cryptovol.bundle import Bundle
from cryptovol.drift import Bounds
from cryptovol.features import FEATURE_NAMES
from cryptovol.forest import Forest
from cryptovol.intervals import Calibration
from cryptovol.level import Level
from cryptovol.model import Model
from cryptovol.ports import Store
from cryptovol.times import HOUR, format_instant

MARKET = "test"
PAIR = "btc-usd"
COLUMN = FEATURE_NAMES.index("rv_24")
ENDS = ((0.5, 0.8, 1.2), (0.9, 0.5, 2.0))  # levels and the factors on a forecast that bound their intervals


def make_bundle(*, horizon: int = 24, factor: float = 1.0, trained_at: str, market: str = MARKET) -> Bundle:
    """Return a bundle that forecasts `factor` times the volatility of the past day, and calls 100 out of range."""
    n = len(FEATURE_NAMES)
    weights: Floats = np.zeros(n)
    weights[COLUMN] = 1.0
    one = np.zeros((1, 1), dtype=np.int32)
    leaf = np.zeros((1, 1), dtype=np.float32)
    level = Level(0.0, 1.0, math.log(factor), 0.0)
    forest = Forest(one, np.full_like(leaf, np.inf), one, leaf, leaf)
    header = {
        "name": f"cryptovol-{PAIR}-h{horizon}",
        "symbol": "BTC",
        "quote": "USD",
        "market": market,
        "source": "made-up",
        "trained_at": trained_at,
        "spec": spec.current(0.75),
        "horizon": horizon,
    }
    return Bundle(
        "",
        header,
        {"qlike": {"model": 0.1}},
        Model(np.zeros(n), np.ones(n), weights, 0.0, forest, 1, level, 0.0, np.full(n, 1 / n)),
        Har((math.log(0.01), 0.0, 0.0, 0.0, 0.0), 1.0),
        Calibration({share: (math.log(low), math.log(high)) for share, low, high in ENDS}, 500, 0.01, 0.0),
        Bounds(np.full(n, -50.0), np.full(n, 50.0)),
        None,
        {"time": np.zeros(1, dtype=np.int64)},
    )


def promote(store: Store, made: Bundle, *, version: str = "1") -> str:
    """Save a bundle, make it champion, and return its sha256."""
    files = bundle.encode(made)
    sha256 = tables.sha256(files[bundle.MANIFEST])
    market = made.header["market"]
    bundle.save(store, keys.bundle(market, PAIR, made.horizon, sha256=sha256), files)
    chosen = {"bundle_sha256": sha256, "name": made.header["name"], "version": version}
    chosen["trained_at"] = made.header["trained_at"]
    ledger.append(store, market, PAIR, made.horizon, decision="promoted", champion=chosen)
    return sha256


def put_bars(store: Store, bars: Bars, *, market: str = MARKET) -> None:
    """Write bars as the clean state of the instant the last one closed."""
    prefix = keys.clean(market, PAIR)
    names = ("time", "open", "high", "low", "close", "volume_base", "volume_quote")
    head = history.load_manifest(store, history.head_key(prefix))
    parts = history.write_parts(store, prefix, {name: getattr(bars, name) for name in names}, codec="npz")
    as_of = format_instant(int(bars.time[-1]) + HOUR)
    history.commit(store, prefix, parts, as_of=as_of, meta={}, head=head)
