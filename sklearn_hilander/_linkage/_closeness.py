"""How many times nearer two samples are than two taken at random, as a logarithm."""

from __future__ import annotations

import numpy as np

from sklearn_hilander._graph._pair_graph import PairGraph
from sklearn_hilander._graph._pair_table import Columns, PairTable
from sklearn_hilander._graph._pairs import mean_cosine, pair_dot

# Nearer than this share of the distance at random is as near as can be.
_LEAST_NEAR = 1e-3
# Rows all alike have no distance at random: float32 noise is not taken for one.
_LEAST_FAR = 1e-6


def closeness_relations(
    graph: PairGraph, i: np.ndarray, j: np.ndarray, *, compact: bool = False
) -> PairTable:
    """Closeness of other pairs in this graph's embeddings, alone and against either end's nearest.

    Returns
    -------
    PairTable
        Three columns.
    """
    near = pair_closeness(graph.features, i, j)
    q = max(1, graph.similarities.shape[1] // 4)
    chance = mean_cosine(graph.features)
    nearest = closeness(graph.similarities[:, :q], chance).mean(axis=1)

    def block(rows: slice) -> Columns:
        out = Columns()
        out.add(near[rows])
        out.both(near[rows] - nearest[i[rows]], near[rows] - nearest[j[rows]])
        return out

    return PairTable(len(i), block, compact=compact)


def closeness(cosine: np.ndarray, chance: float) -> np.ndarray:
    """Logarithm of the squared distance at this mean cosine over that at each cosine."""
    far = max(1 - chance, _LEAST_FAR)
    away = 1 - cosine
    np.maximum(away, _LEAST_NEAR * far, out=away)
    np.divide(far, away, out=away)
    return np.log(away, out=away).astype(np.float32, copy=False)


def pair_closeness(X: np.ndarray, i: np.ndarray, j: np.ndarray) -> np.ndarray:
    """Closeness of each pair of unit rows, (n_pairs,), float32."""
    return closeness(pair_dot(X, i, j), mean_cosine(X))
