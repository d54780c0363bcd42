"""A neighbour graph as pairs of samples."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sklearn_hilander._adjacency import (
    Adjacency,
    CommonNeighbors,
    adjacency_of,
    common_neighbors,
)
from sklearn_hilander._pairs import candidate_pairs, main_axes


@dataclass(frozen=True)
class PairGraph:
    """A neighbour graph as pairs of samples.

    Attributes
    ----------
    features : ndarray of shape (n_nodes, n_features), float32
        Unit rows.
    indices : ndarray of shape (n_nodes, n_neighbors), int64
    similarities : ndarray of shape (n_nodes, n_neighbors), float32
    i, j : ndarray of shape (n_pairs,), int64
        Pairs, ``i < j``, sorted.
    """

    features: np.ndarray
    indices: np.ndarray
    similarities: np.ndarray
    i: np.ndarray
    j: np.ndarray

    @property
    def n_nodes(self) -> int:
        """Number of samples."""
        return len(self.features)

    @cached_property
    def ranks(self) -> tuple[np.ndarray, np.ndarray]:
        """Rank of j among the neighbours of i, and of i among those of j; each (n_pairs,).

        From 1; k + 10 where it is none of them.
        """
        return _ranks(self.indices, self.i, self.j)

    def times_near(self, q: int) -> np.ndarray:
        """How many ends of each pair have the other among their q nearest, (n_pairs,), float64."""
        rank_of_j, rank_of_i = self.ranks
        return (rank_of_j <= q).astype(np.float64) + (rank_of_i <= q)

    @cached_property
    def main_features(self) -> np.ndarray:
        """The rows along their main axes, (n_nodes, at most 128): what averages are taken of."""
        return main_axes(self.features)

    @cached_property
    def adjacency(self) -> Adjacency:
        """The pairs as a symmetric matrix."""
        return adjacency_of(self.i, self.j, self.n_nodes)

    @cached_property
    def common(self) -> CommonNeighbors:
        """Common neighbours of each pair."""
        return common_neighbors(self.adjacency, np.stack(self.ranks, axis=1).reshape(-1))

    def forget(self) -> None:
        """Free the memory of what was derived, which is found again if asked for."""
        for name in ("ranks", "adjacency", "common", "main_features"):
            vars(self).pop(name, None)


def pair_graph(features: np.ndarray, indices: np.ndarray, similarities: np.ndarray) -> PairGraph:
    """Pairs of a neighbour graph; an edge of similarity 0 is none."""
    i, j = candidate_pairs(indices, similarities > 0)
    return PairGraph(features, indices, similarities, i, j)


def _ranks(indices: np.ndarray, i: np.ndarray, j: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    n, k = indices.shape
    keys = (np.arange(n)[:, None] * n + indices).reshape(-1)
    order = np.argsort(keys)
    ascending = keys[order]

    def rank(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        wanted = a * n + b
        at = np.minimum(np.searchsorted(ascending, wanted), len(keys) - 1)
        return np.where(ascending[at] == wanted, order[at] % k + 1.0, k + 10.0).astype(np.float32)

    return rank(i, j), rank(j, i)
