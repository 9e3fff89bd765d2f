"""Boosted trees as flat arrays: evaluated with numpy alone, so that serving needs no XGBoost.

All trees are walked at once, one step per depth level. A node's right child lies beside its left one, so a step is
``left + (x >= threshold)``; a leaf points at itself and sends everything left, so that shallow and deep leaves need no
special case.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cryptovol.bars import Floats
from cryptovol.errors import BundleRefusedError

BLOCK = 128  # rows walked at once: what one step touches stays in the processor's cache
KINDS = {"feature": np.int32, "threshold": np.float32, "left": np.int32, "value": np.float32, "cover": np.float32}

Narrow = NDArray[np.float32]


class Walk(NamedTuple):
    """The arrays as a walk reads them: one dimension, a node's number counted over all trees, ``root_`` the first step."""

    feature: NDArray[np.intp]
    threshold: Narrow
    left: NDArray[np.intp]
    value: Floats
    root_feature: NDArray[np.intp]
    root_threshold: Narrow
    root_left: NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Forest:
    """`trees` x `nodes` arrays; node 0 is the root, children have larger numbers than their parent.

    Parameters
    ----------
    feature
        Column a node splits on; 0 at a leaf, where it does not matter.
    threshold
        float32, as XGBoost compares: left if ``float32(x) < threshold``; +inf at a leaf.
    left
        Number of the left child, the right one's is one more; a leaf names itself.
    value
        float32; a leaf's contribution, 0 elsewhere.
    cover
        float32; the weight of the training rows that passed the node, for `explain`; 0 where there is no node.
    """

    feature: NDArray[np.int32]
    threshold: Narrow
    left: NDArray[np.int32]
    value: Narrow
    cover: Narrow

    @cached_property
    def depth(self) -> int:
        """Steps from the root to the deepest leaf."""
        steps, at = 0, np.arange(len(self.left)) * self.left.shape[1]
        while True:
            left = self.walk.left[at]
            left = left[left != at]
            if not len(left):
                return steps
            steps, at = steps + 1, np.concatenate([left, left + 1])

    @cached_property
    def walk(self) -> Walk:
        """The same trees as a walk reads them; made once."""
        trees, nodes = self.left.shape
        root = np.arange(trees, dtype=np.intp) * nodes
        feature, left = self.feature.ravel().astype(np.intp), (self.left + root[:, None]).ravel()
        # Nothing is at least NaN: at a leaf not even an infinite number goes right, where there is nothing.
        threshold = np.where(self.left == np.arange(nodes), np.float32(np.nan), self.threshold).ravel()
        value = self.value.ravel().astype(np.float64)
        return Walk(feature, threshold, left, value, feature[root], threshold[root], left[root])

    def predict(self, x: Floats) -> Floats:
        """Return the sum of leaf values per row.

        Parameters
        ----------
        x
            Shape (n, features), without NaN.

        Returns
        -------
        array of shape (n,), the same bits for a row alone as among others
        """
        narrow = x.astype(np.float32, order="C")
        if len(narrow) == 1:
            return self._one(narrow[0])
        out = np.empty(len(narrow))
        for start in range(0, len(narrow), BLOCK):
            out[start : start + BLOCK] = self._many(narrow[start : start + BLOCK])
        return out

    def _one(self, x: Narrow) -> Floats:
        feature, threshold, left, value, root_feature, root_threshold, root_left = self.walk
        at = root_left + (x.take(root_feature) >= root_threshold)
        for _ in range(self.depth - 1):
            at = left.take(at) + (x.take(feature.take(at)) >= threshold.take(at))
        total: Floats = np.add.reduce(value.take(at), keepdims=True)
        return total

    def _many(self, x: Narrow) -> Floats:
        feature, threshold, left, value, root_feature, root_threshold, root_left = self.walk
        cells, start = x.ravel(), (np.arange(len(x)) * x.shape[1])[:, None]
        at = root_left + (x.take(root_feature, axis=1) >= root_threshold)
        for _ in range(self.depth - 1):
            cell = feature.take(at)
            cell += start
            right = cells.take(cell) >= threshold.take(at)
            at = left.take(at)
            at += right
        total: Floats = np.add.reduce(value.take(at), axis=1)
        return total

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the forest as a table for `tables.encode_npz`."""
        return {name: getattr(self, name) for name in KINDS}


def from_arrays(table: Mapping[str, NDArray[Any]], *, features: int) -> Forest:
    """Return the forest in a table, after checking that it has all arrays and that no index leaves them.

    Raises
    ------
    BundleRefusedError
        If an array is missing, of another shape or type, or points outside or backwards.
    """
    lacking = [name for name in KINDS if name not in table]
    if lacking:
        raise BundleRefusedError(f"the forest lacks the arrays {', '.join(lacking)}; roll back or retrain")
    forest = Forest(**{name: table[name] for name in KINDS})
    for name, kind in KINDS.items():
        array = table[name]
        if array.ndim != 2 or not array.size or array.dtype != kind or array.shape != forest.left.shape:
            found = f"{name} is {array.dtype} of shape {array.shape}, left has {forest.left.shape}"
            raise BundleRefusedError(f"the forest's arrays differ in shape or type: {found}; roll back or retrain")
    own = np.arange(forest.left.shape[1])
    inside = (forest.feature >= 0) & (forest.feature < features)
    # Only forwards: a tree that led back to an earlier node would have no depth.
    inside &= (forest.left == own) | ((forest.left > own) & (forest.left + 1 < len(own)))
    if not inside.all():
        tree, node = np.argwhere(~inside)[0]
        raise BundleRefusedError(f"node {node} of tree {tree} points outside its arrays; roll back or retrain")
    return forest


def from_xgboost(model_json: bytes) -> Forest:
    """Return the forest in an XGBoost model saved as JSON.

    Parameters
    ----------
    model_json
        ``Booster.save_raw("json")`` of a numeric single-output ``gbtree`` with base score 0.
    """
    trees = json.loads(model_json)["learner"]["gradient_booster"]["model"]["trees"]
    orders = [_breadth_first(tree["left_children"], tree["right_children"]) for tree in trees]
    made = _bare(len(trees), max(map(len, orders)))
    for t, (tree, order) in enumerate(zip(trees, orders, strict=True)):
        count, place = len(order), np.empty(len(tree["left_children"]), dtype=np.int32)
        place[order] = np.arange(count)
        children = np.asarray(tree["left_children"], dtype=np.int32)[order]
        split, leaf = np.flatnonzero(children >= 0), np.flatnonzero(children < 0)
        conditions = np.asarray(tree["split_conditions"], dtype=np.float32)[order]
        made.feature[t, split] = np.asarray(tree["split_indices"], dtype=np.int32)[order][split]
        made.threshold[t, split] = conditions[split]
        made.left[t, split] = place[children[split]]
        made.value[t, leaf] = conditions[leaf]
        made.cover[t, :count] = np.asarray(tree["sum_hessian"], dtype=np.float32)[order]
    return made


def _breadth_first(left: Sequence[int], right: Sequence[int]) -> list[int]:
    """Return the numbers of a tree's nodes in an order that puts each pair of children side by side, after its parent."""
    order = [0]
    for node in order:
        if left[node] >= 0:
            order += (left[node], right[node])
    return order


def _bare(trees: int, nodes: int) -> Forest:
    """Return a forest of nothing but empty leaves."""
    shape = (trees, nodes)
    left = np.broadcast_to(np.arange(nodes, dtype=np.int32), shape).copy()
    threshold = np.full(shape, np.inf, np.float32)
    return Forest(np.zeros(shape, np.int32), threshold, left, np.zeros(shape, np.float32), np.zeros(shape, np.float32))


def joined(forests: Sequence[Forest]) -> Forest:
    """Return one forest with the trees of all, in order; its prediction is the sum of theirs."""
    made = _bare(sum(len(each.left) for each in forests), max(each.left.shape[1] for each in forests))
    first = 0
    for each in forests:
        trees, nodes = each.left.shape
        for name, array in each.arrays().items():
            getattr(made, name)[first : first + trees, :nodes] = array
        first += trees
    return made
