"""Slow twins of the forest and its explanation: recursion and the definition, in plain Python; and made-up forests."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from cryptovol.bars import Floats
from cryptovol.forest import Forest

FEATURES = 4
# Few thresholds and the same numbers in the rows: equality, repeated features and infinities come up all the time.
THRESHOLDS = st.sampled_from([-1.5, -0.0, 0.0, 0.1, 1.0, 3e38])
NUMBERS = st.sampled_from([-np.inf, -1.5, -0.0, 0.0, 0.1, 0.1 + 1e-12, 1.0, 2.0, 3e38, np.inf])
ROWS = st.lists(NUMBERS, min_size=FEATURES, max_size=FEATURES).map(lambda numbers: np.array([numbers]))
LEAVES = st.tuples(st.floats(-2, 2, width=32), st.integers(1, 50))
TREES = st.recursive(
    LEAVES, lambda inner: st.tuples(st.integers(0, FEATURES - 1), THRESHOLDS, inner, inner), max_leaves=9
)


def forest_of(trees: Iterable[Any]) -> Forest:
    """Return a forest of nested tuples: ``(value, cover)`` is a leaf, ``(feature, threshold, left, right)`` a split."""
    flat = [_flat(tree) for tree in trees]
    nodes = max(map(len, flat))
    for number, rows in enumerate(flat):
        flat[number] = rows + [(0, np.inf, node, 0.0, 0.0) for node in range(len(rows), nodes)]
    kinds = (np.int32, np.float32, np.int32, np.float32, np.float32)
    columns = zip(*(zip(*rows, strict=True) for rows in flat), strict=True)
    return Forest(*(np.array(column, dtype=kind) for column, kind in zip(columns, kinds, strict=True)))


FORESTS = st.lists(TREES, min_size=1, max_size=4).map(forest_of)


def _flat(tree: Any) -> list[tuple[Any, ...]]:
    waiting, made = [tree], []
    for place, node in enumerate(waiting):
        if len(node) == 2:
            made.append((0, np.inf, place, *node))
        else:
            made.append((node[0], node[1], len(waiting), 0.0, _cover(node)))
            waiting += node[2:]
    return made


def _cover(tree: Any) -> float:
    return tree[1] if len(tree) == 2 else _cover(tree[2]) + _cover(tree[3])


def predict(forest: Forest, row: Floats) -> float:
    """Return the sum of the leaves a row of shape (features,) falls into."""
    return math.fsum(known_to(forest, tree, row, range(len(row))) for tree in range(len(forest.left)))


def known_to(forest: Forest, tree: int, row: Floats, known: Iterable[int], node: int = 0) -> float:
    """Return what a tree says where only some features are known: the others are left to the training rows.

    References
    ----------
    Lundberg, Erion and Lee (2018), Consistent Individualized Feature Attribution for Tree Ensembles, algorithm 1.
    """
    left = int(forest.left[tree, node])
    if left == node:
        return float(forest.value[tree, node])
    if forest.feature[tree, node] in known:
        right = not np.float32(row[forest.feature[tree, node]]) < forest.threshold[tree, node]
        return known_to(forest, tree, row, known, left + right)
    shares = (float(forest.cover[tree, child]) / float(forest.cover[tree, node]) for child in (left, left + 1))
    sides = (known_to(forest, tree, row, known, child) for child in (left, left + 1))
    return sum(share * side for share, side in zip(shares, sides, strict=True))


def shapley(forest: Forest, row: Floats) -> tuple[float, Floats]:
    """Return what the forest says of nothing, and each feature's Shapley value, by the definition over all subsets."""
    n, trees = len(row), range(len(forest.left))
    subsets = [set(s) for size in range(n + 1) for s in itertools.combinations(range(n), size)]
    worth = {frozenset(s): sum(known_to(forest, tree, row, s) for tree in trees) for s in subsets}
    found = np.zeros(n)
    for feature in range(n):
        for known in (frozenset(s) for s in subsets if feature not in s):
            weight = math.factorial(len(known)) * math.factorial(n - len(known) - 1) / math.factorial(n)
            found[feature] += weight * (worth[known | {feature}] - worth[known])
    return worth[frozenset()], found
