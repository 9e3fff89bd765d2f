"""Boosted trees as flat arrays: evaluated with numpy alone, so that serving needs no XGBoost.

All trees are walked at once, one step per depth level. A leaf points at itself, so that shallow and deep leaves need
no special case.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryptovol.bars import Floats
from cryptovol.errors import BundleRefusedError

BLOCK = 512  # rows walked at once: bounds memory at BLOCK x trees


@dataclass(frozen=True, eq=False)
class Forest:
    """`trees` x `nodes` arrays; node 0 is the root.

    Parameters
    ----------
    feature
        Column a node splits on; 0 at a leaf, where it does not matter.
    threshold
        float32, as XGBoost compares: left if ``float32(x) < threshold``; +inf at a leaf.
    left, right
        Child numbers; a leaf names itself.
    value
        float32; a leaf's contribution, 0 elsewhere.
    depth
        Steps from the root to the deepest leaf.
    """

    feature: NDArray[np.int32]
    threshold: NDArray[np.float32]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    value: NDArray[np.float32]
    depth: int

    def predict(self, x: Floats) -> Floats:
        """Return the sum of leaf values per row.

        Parameters
        ----------
        x
            Shape (n, features), without NaN.

        Returns
        -------
        array of shape (n,)
        """
        narrow = np.ascontiguousarray(x, dtype=np.float32)
        out = np.empty(len(narrow))
        for start in range(0, len(narrow), BLOCK):
            out[start : start + BLOCK] = self._walk(narrow[start : start + BLOCK])
        return out

    def _walk(self, x: NDArray[np.float32]) -> Floats:
        trees, nodes = self.feature.shape
        base = np.arange(trees, dtype=np.int32) * nodes
        rows = np.arange(len(x))[:, None]
        at = np.broadcast_to(base, (len(x), trees))
        feature, threshold = self.feature.ravel(), self.threshold.ravel()
        left, right = self.left.ravel(), self.right.ravel()
        for _ in range(self.depth):
            go_left = x[rows, feature[at]] < threshold[at]
            at = base + np.where(go_left, left[at], right[at])
        total: Floats = self.value.ravel()[at].sum(axis=1, dtype=np.float64)
        return total

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the forest as a table for `tables.encode_npz`."""
        names = ("feature", "threshold", "left", "right", "value")
        return {**{name: getattr(self, name) for name in names}, "depth": np.array([self.depth], dtype=np.int32)}


def from_arrays(table: Mapping[str, NDArray[Any]], *, features: int) -> Forest:
    """Return the forest in a table, after checking that no index leaves its array.

    Raises
    ------
    BundleRefusedError
        If an array is missing, of another shape, or points outside.
    """
    try:
        names = ("feature", "threshold", "left", "right", "value")
        feature, threshold, left, right, value = (table[name] for name in names)
        forest = Forest(feature, threshold, left, right, value, depth=int(table["depth"][0]))
    except (KeyError, IndexError) as error:
        raise BundleRefusedError(f"the forest lacks an array: {error}") from error
    shape = forest.feature.shape
    if len(shape) != 2 or any(a.shape != shape for a in (forest.threshold, forest.left, forest.right, forest.value)):
        raise BundleRefusedError("the forest's arrays differ in shape")
    for indices, limit in ((forest.feature, features), (forest.left, shape[1]), (forest.right, shape[1])):
        if indices.size and (np.min(indices) < 0 or np.max(indices) >= limit):
            raise BundleRefusedError("a node of the forest points outside its arrays")
    return forest


def from_xgboost(model_json: bytes) -> Forest:
    """Return the forest in an XGBoost model saved as JSON.

    Parameters
    ----------
    model_json
        ``Booster.save_raw("json")`` of a numeric single-output ``gbtree`` with base score 0.
    """
    trees = json.loads(model_json)["learner"]["gradient_booster"]["model"]["trees"]
    nodes = max(len(tree["left_children"]) for tree in trees)
    shape = (len(trees), nodes)
    own = np.broadcast_to(np.arange(nodes, dtype=np.int32), shape)
    feature, left, right = np.zeros(shape, np.int32), own.copy(), own.copy()
    threshold, value = np.full(shape, np.inf, np.float32), np.zeros(shape, np.float32)
    for t, tree in enumerate(trees):
        children = np.asarray(tree["left_children"], dtype=np.int32)
        count, split = len(children), np.flatnonzero(children >= 0)
        leaf = np.flatnonzero(children < 0)
        conditions = np.asarray(tree["split_conditions"], dtype=np.float32)
        feature[t, split] = np.asarray(tree["split_indices"], dtype=np.int32)[split]
        threshold[t, split] = conditions[split]
        left[t, split], right[t, split] = children[split], np.asarray(tree["right_children"], np.int32)[split]
        value[t, :count][leaf] = conditions[leaf]
    return Forest(feature, threshold, left, right, value, _depth(left, right))


def joined(forests: Sequence[Forest]) -> Forest:
    """Return one forest with the trees of all; its prediction is the sum of theirs."""
    nodes = max(each.feature.shape[1] for each in forests)

    def padded(name: str, fill: float | NDArray[Any]) -> NDArray[Any]:
        parts = []
        for each in forests:
            array = getattr(each, name)
            wide = np.empty((len(array), nodes), dtype=array.dtype)
            wide[:] = fill
            wide[:, : array.shape[1]] = array
            parts.append(wide)
        return np.concatenate(parts)

    own = np.arange(nodes, dtype=np.int32)  # a node that is not there names itself, as a leaf does
    left, right = padded("left", own), padded("right", own)
    depth = max(each.depth for each in forests)
    return Forest(padded("feature", 0), padded("threshold", np.inf), left, right, padded("value", 0.0), depth)


def _depth(left: NDArray[np.int32], right: NDArray[np.int32]) -> int:
    """Return the steps from the root to the deepest leaf; XGBoost numbers children after their parent."""
    level = np.zeros(left.shape, dtype=np.int32)
    trees = np.arange(len(left))
    own = np.arange(left.shape[1], dtype=np.int32)
    for node in range(left.shape[1]):
        split = trees[left[:, node] != own[node]]
        for child in (left, right):
            level[split, child[split, node]] = level[split, node] + 1
    return int(np.max(level, initial=0))
