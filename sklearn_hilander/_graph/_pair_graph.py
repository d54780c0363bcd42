"""A neighbour graph as pairs of samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import numpy as np

from sklearn_hilander._graph._adjacency import Adjacency, adjacency_of, entry_ranks
from sklearn_hilander._graph._common_neighbors import CommonNeighbors, common_neighbors
from sklearn_hilander._graph._pairs import (
    candidate_pairs,
    in_blocks,
    main_axes,
    mean_cosine,
    pair_dot,
    unit_rows,
)

DERIVED = (
    "cosines", "centred_cosines", "ranks", "entry_ranks", "adjacency", "common", "main_features",
)  # fmt: skip
# Unit rows whose mean has a larger squared length than this are far off centre.
_OFF_CENTER, _TINY = 0.5, 1e-12


@dataclass(frozen=True)
class PairGraph:
    """A neighbour graph as pairs of samples.

    Attributes
    ----------
    features : ndarray of shape (n_nodes, n_features), float32
        Unit rows.
    indices : ndarray of shape (n_nodes, n_neighbors), int32, or int64 where that is too small
    similarities : ndarray of shape (n_nodes, n_neighbors), float32
        An edge of similarity 0 is none.
    """

    features: np.ndarray
    indices: np.ndarray
    similarities: np.ndarray

    @cached_property
    def pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """Ends of each pair, ``i < j``, sorted; each (n_pairs,), int64."""
        return candidate_pairs(self.indices, self.similarities > 0)

    @property
    def i(self) -> np.ndarray:
        """The end of each pair with the smaller number, (n_pairs,), int64."""
        return self.pairs[0]

    @property
    def j(self) -> np.ndarray:
        """The other end of each pair, (n_pairs,), int64."""
        return self.pairs[1]

    @property
    def n_nodes(self) -> int:
        """Number of samples."""
        return len(self.features)

    @cached_property
    def n_neighbors(self) -> int:
        """Number of neighbours that a sample has."""
        return self.indices.shape[1]

    @cached_property
    def ranks(self) -> tuple[np.ndarray, np.ndarray]:
        """Rank of j among the neighbours of i, and of i among those of j; each (n_pairs,), int16.

        From 1; k + 10 where it is none of them.
        """
        ranks = np.empty((len(self.i), 2), dtype=self.entry_ranks.dtype)
        ranks.reshape(-1)[self.adjacency.entries] = self.entry_ranks
        return ranks[:, 0], ranks[:, 1]

    @cached_property
    def entry_ranks(self) -> np.ndarray:
        """Ranks of the entries of the adjacency, (2 * n_pairs,), int16."""
        return entry_ranks(self.adjacency, self.indices)

    def times_near(self, q: int) -> np.ndarray:
        """How many ends of each pair have the other among their q nearest, (n_pairs,), int8."""
        rank_of_j, rank_of_i = self.ranks
        return (rank_of_j <= q).astype(np.int8) + (rank_of_i <= q)

    @cached_property
    def cosines(self) -> tuple[np.ndarray, float]:
        """Cosine of each pair, (n_pairs,), float32; and of two rows taken at random."""
        return pair_dot(self.features, self.i, self.j), mean_cosine(self.features)

    @cached_property
    def centred_cosines(self) -> tuple[np.ndarray, float]:
        """The same of the rows as seen from the mean of all."""
        X = self.features
        mean = X.mean(axis=0)
        square = float(mean @ mean)
        if square > _OFF_CENTER:
            # Small differences of large numbers, if they were not those of the rows themselves.
            centred = unit_rows(X - mean, in_place=True)
            return pair_dot(centred, self.i, self.j), mean_cosine(centred)
        toward = X @ mean
        lengths = np.einsum("ij,ij->i", X, X) - 2 * toward + square
        shrink = 1 / np.sqrt(np.maximum(lengths, _TINY))
        cosine = self.cosines[0]

        def block(rows: slice) -> np.ndarray:
            i, j = self.i[rows], self.j[rows]
            return (cosine[rows] - toward[i] - toward[j] + square) * shrink[i] * shrink[j]

        chance = (shrink @ X - shrink.sum() * mean) / len(X)
        return in_blocks(len(self.i), block), float(chance @ chance)

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
        return common_neighbors(self.adjacency)

    def forget(self, *kept: str) -> None:
        """Free the memory of what was derived, which is found again if asked for."""
        for name in DERIVED:
            if name not in kept:
                vars(self).pop(name, None)

    def give_up(self, *names: str) -> None:
        """Free the memory of some of the arrays for good; rows are left without columns.

        Whoever gives up neighbours keeps their ranks, unless it gives up pairs, too.
        """
        # Found while there is something to find it from.
        self.n_neighbors  # noqa: B018
        if "pairs" in names:
            self.forget()
            vars(self).pop("pairs", None)
        elif "indices" in names:
            self.ranks  # noqa: B018
        for name in {"features", "indices", "similarities"} & set(names):
            vars(self)[name] = getattr(self, name)[:, :0].copy()

    def take_back(self, features: np.ndarray) -> None:
        """Have the rows again that were given up."""
        vars(self)["features"] = features

    def narrowed(self, n_neighbors: int) -> PairGraph:
        """The graph of so many of the neighbours."""
        if n_neighbors >= self.n_neighbors:
            return self
        nearest = (
            np.ascontiguousarray(of_all[:, :n_neighbors])
            for of_all in (self.indices, self.similarities)
        )
        return PairGraph(self.features, *nearest)

    def without_pairs_of(self, rows: np.ndarray) -> PairGraph:
        """The graph without the pairs of some rows, (n_nodes,), bool."""
        if not rows.any():
            return self
        kept = ~(rows[self.i] | rows[self.j])
        return self.with_pairs(self.i[kept], self.j[kept])

    def with_pairs(self, i: np.ndarray, j: np.ndarray) -> PairGraph:
        """The graph with other pairs; nothing else is derived."""
        other = replace(self)
        vars(other)["pairs"] = (i, j)
        return other

    def keep_main_features(self) -> None:
        """Give up the rows for those along their main axes, and for the cosines of the pairs."""
        self.cosines, self.centred_cosines  # noqa: B018
        vars(self)["features"] = self.main_features


class PairGraphBuilder(Protocol):
    """Unit rows to their neighbour graph."""

    @property
    def n_neighbors(self) -> int:
        """Number of neighbours, where there are so many other rows."""

    def __call__(self, features: np.ndarray, before: PairGraph | None = None) -> PairGraph:
        """The graph; or that of rows whose graph was another before they were whitened."""

    def widening(self, source: Callable[[], np.ndarray]) -> Iterator[PairGraph]:
        """Graphs of ever more neighbours, the last as many as there are to be.

        Rows are asked for whenever they are read, and not held from one graph to the next.
        """
