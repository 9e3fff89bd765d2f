"""A new process to its first prediction by one keeper of trees: ``python forest_first.py KEEPER FOLDER``.

FOLDER holds the same trees as each keeper wants them: ``forest.npz``, ``model.onnx``, ``model.json``.
"""

import sys
from typing import Any

import numpy as np


def predicted(keeper: str, folder: str, row: Any) -> float:
    """Return what the trees say of one row; only the keeper's own packages are imported."""
    if keeper == "numpy":
        from cryptovol import forest, tables

        with open(f"{folder}/forest.npz", "rb") as file:
            trees = forest.from_arrays(tables.decode_npz(file.read()), features=row.shape[1])
        return float(trees.predict(row)[0])
    if keeper == "onnxruntime":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(f"{folder}/model.onnx", options, providers=["CPUExecutionProvider"])
        return float(session.run(None, {"x": row.astype(np.float32)})[0].ravel()[0])
    import xgboost

    booster = xgboost.Booster(model_file=f"{folder}/model.json")
    return float(booster.inplace_predict(row, validate_features=False)[0])


if __name__ == "__main__":
    sys.stdout.write(f"first {predicted(sys.argv[1], sys.argv[2], np.zeros((1, 36)))!r}\n")
    sys.stdout.flush()
