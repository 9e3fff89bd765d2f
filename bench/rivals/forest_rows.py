"""One model, every way through its trees: ``python forest_rows.py MODEL STORE TURNS``, in the rivals' environment.

MODEL is XGBoost's own file, STORE a folder with a bundle of ours under the market ``bench-own``. All ways take turns
in blocks of calls in this one process, on one thread. Beside MODEL are left the same trees as ``model.onnx`` and
``forest.npz``. Prints one JSON object: per way and number of rows the median
and the 99th percentile in seconds, and versions.
"""

import json
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
import xgboost
from onnxmltools.convert import convert_xgboost
from onnxmltools.convert.common.data_types import FloatTensorType

from cryptovol import champions, forest, ledger, tables
from cryptovol.adapters.files import FileStore
from cryptovol.features import FEATURE_NAMES

BLOCK = 20  # calls of one way before the next takes its turn
CLOSE = 1e-4
PACKAGES = ("numpy", "pandas", "onnxruntime", "scikit-learn")


def onnx(model: Path) -> Any:
    """Return an ONNX Runtime session of the model on one thread."""
    plain = xgboost.XGBRegressor()
    plain.load_model(model)
    plain.get_booster().feature_names = None  # the converter wants f0, f1, ...
    made = convert_xgboost(plain, initial_types=[("x", FloatTensorType([None, len(FEATURE_NAMES)]))])
    path = model.with_name("model.onnx")
    path.write_bytes(made.SerializeToString())
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def ways(model: Path, store: Path) -> dict[str, Callable[[Any], Any]]:
    """Return each way as a function from rows, shape (n, 36), to what the trees say."""
    regressor, alone = xgboost.XGBRegressor(), xgboost.Booster()
    regressor.load_model(model)
    regressor.set_params(n_jobs=1)
    alone.load_model(model)
    alone.set_param({"nthread": 1})
    trees = forest.from_xgboost(bytes(alone.save_raw("json")))
    model.with_name("forest.npz").write_bytes(tables.encode_npz(trees.arrays()))
    session = onnx(model)
    names = list(FEATURE_NAMES)
    files = FileStore(store)
    champion = ledger.champion(files, "bench-own", "btc-usd", 24)
    assert champion is not None
    own = champions.fetch(files, "bench-own", "btc-usd", 24, sha256=champion.bundle_sha256)
    return {
        "XGBRegressor on a DataFrame": lambda x: regressor.predict(pd.DataFrame(x, columns=names)),
        "XGBRegressor on numpy": lambda x: regressor.predict(x),
        "Booster.inplace_predict": lambda x: alone.inplace_predict(x, validate_features=False),
        "numpy walk (ours)": trees.predict,
        "ONNX Runtime": lambda x: session.run(None, {"x": x.astype(np.float32)})[0].ravel(),
        "our bundle whole": own.predict,
    }


def measured(all_ways: dict[str, Callable[[Any], Any]], rows: Any, turns: int) -> dict[str, list[float]]:
    """Return the seconds of each call of each way, the ways in turn, after one block of warm-up."""
    taken: dict[str, list[float]] = {name: [] for name in all_ways}
    for turn in range(max(turns // BLOCK, 1) + 1):
        for name, way in all_ways.items():
            for _ in range(BLOCK):
                started = time.perf_counter()
                way(rows)
                if turn:
                    taken[name].append(time.perf_counter() - started)
    return taken


def main() -> None:
    """Measure one row and ten."""
    model, store, turns = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    all_ways = ways(model, store)
    rows = np.random.default_rng(1).standard_normal((10, len(FEATURE_NAMES)))
    expected = all_ways["XGBRegressor on a DataFrame"](rows)
    off = {
        name: float(np.abs(way(rows) / expected - 1).max())
        for name, way in all_ways.items()
        if name != "our bundle whole"  # another model
    }
    assert max(off.values()) < CLOSE, off
    found = {str(n): measured(all_ways, rows[:n], turns) for n in (1, 10)}
    versions = {"xgboost": xgboost.__version__, **{name: version(name) for name in PACKAGES}}
    print(json.dumps({"seconds": found, "versions": versions}))


if __name__ == "__main__":
    main()
