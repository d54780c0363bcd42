"""Sums over the neighbours of a sample, and over those that two samples share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from sklearn_hilander._pairs import pair_sum

# Cells of the table that tells a block of samples who their neighbours are: 4 bytes each.
_TABLE_CELLS = 8_000_000
_FEWEST_ROWS, _MOST_ROWS = 64, 256
# Largest rank that is stored; larger ones count as this.
_MAX_RANK = np.iinfo(np.int16).max
# Triangles that sums are taken over at once: temporary arrays stay in the cache.
_BLOCK_TRIANGLES = 1_000_000


@dataclass(frozen=True)
class Adjacency:
    """Pairs of samples as a symmetric sparse matrix whose entries are numbers of pairs.

    Attributes
    ----------
    i, j : ndarray of shape (n_pairs,), int64
    pointers : ndarray of shape (n_nodes + 1,), int64
        Entries of node a are ``columns[pointers[a]:pointers[a + 1]]``.
    columns : ndarray of shape (2 * n_pairs,), int32
        Neighbours, ascending within a node.
    entries : ndarray of shape (2 * n_pairs,), int32
        Twice the number of the pair, plus 1 if the node is the pair's j; int64 where there are more
        than int32 can count.
    """

    i: np.ndarray
    j: np.ndarray
    pointers: np.ndarray
    columns: np.ndarray
    entries: np.ndarray

    @property
    def n_nodes(self) -> int:
        """Number of samples."""
        return len(self.pointers) - 1

    def weighted_sum(self, values: np.ndarray, X: np.ndarray) -> np.ndarray:
        """Each row of `X` plus those of its neighbours, times the values of the pairs.

        Parameters
        ----------
        values : ndarray of shape (n_pairs,), float32
        X : ndarray of shape (n_nodes, n_features), float32

        Returns
        -------
        ndarray of shape (n_nodes, n_features), float32
        """
        data = values[self.entries >> 1]
        matrix = sp.csr_array((data, self.columns, self.pointers), shape=(self.n_nodes,) * 2)
        if np.count_nonzero(values) < 0.8 * len(values):
            matrix = matrix.copy()
            matrix.eliminate_zeros()
        out = matrix @ X
        out += X
        return out

    def sum(self, values: np.ndarray) -> np.ndarray:
        """Sum of the values of each node's pairs, (n_nodes,), float64."""
        return pair_sum(values, self.i, self.j, self.n_nodes)


def adjacency_of(i: np.ndarray, j: np.ndarray, n_nodes: int) -> Adjacency:
    """Adjacency of pairs that are given once each.

    Parameters
    ----------
    i, j : ndarray of shape (n_pairs,), int64
        With ``i < j``.
    n_nodes : int

    Returns
    -------
    Adjacency
    """
    rows, columns = np.stack([i, j], axis=1).reshape(-1), np.stack([j, i], axis=1).reshape(-1)
    numbers = np.arange(len(rows), dtype=np.int32 if len(rows) < 2**31 else np.int64)
    matrix = sp.csr_array((numbers, (rows, columns)), shape=(n_nodes, n_nodes))
    matrix.sort_indices()
    columns = matrix.indices.astype(np.int32, copy=False)
    return Adjacency(i, j, matrix.indptr.astype(np.int64), columns, matrix.data)


@dataclass(frozen=True)
class CommonNeighbors:
    """The samples that are adjacent to both ends of a pair: its triangles.

    Attributes
    ----------
    order : ndarray of shape (n_pairs,), int64
        Pair of each row below.
    pointers : ndarray of shape (n_pairs + 1,), int64
        Triangles of row e are those from ``pointers[e]`` to ``pointers[e + 1]``.
    from_i, from_j : ndarray of shape (n_triangles,), int32
        Pair that joins the common neighbour to the pair's i, and to its j.
    rank : ndarray of shape (n_triangles,), int16
        The larger of its ranks among the neighbours of i and of j.
    """

    order: np.ndarray
    pointers: np.ndarray
    from_i: np.ndarray
    from_j: np.ndarray
    rank: np.ndarray

    @property
    def counts(self) -> np.ndarray:
        """Number of common neighbours of each pair, (n_pairs,), int64."""
        return self._in_order(np.diff(self.pointers))

    def counts_within(self, rank: int) -> np.ndarray:
        """Number of common neighbours of at most this rank at both ends, (n_pairs,), int64."""
        out = np.empty(len(self.order), dtype=np.int64)
        for rows, triangles, pointers in self._blocks():
            total = np.concatenate([[0], np.cumsum(self.rank[triangles] <= rank)])
            out[rows] = total[pointers[1:]] - total[pointers[:-1]]
        return self._in_order(out)

    def products(self, values: np.ndarray) -> np.ndarray:
        """Sum of the products of the values of the two other sides, (n_pairs,), float32."""
        return self._sum(self.from_i, values, factors_of=self.from_j)

    def sums(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Sum of the values of the sides at i, and of those at j; each (n_pairs,), float32."""
        return self._sum(self.from_i, values), self._sum(self.from_j, values)

    def _sum(
        self, sides: np.ndarray, values: np.ndarray, *, factors_of: np.ndarray | None = None
    ) -> np.ndarray:
        out = np.empty(len(self.order), dtype=np.float32)
        for rows, triangles, pointers in self._blocks():
            if factors_of is None:
                factors = np.ones(triangles.stop - triangles.start, dtype=np.float32)
            else:
                factors = values[factors_of[triangles]]
            shape = (rows.stop - rows.start, len(values))
            out[rows] = sp.csr_array((factors, sides[triangles], pointers), shape=shape) @ values
        return self._in_order(out)

    def _blocks(self) -> Iterator[tuple[slice, slice, np.ndarray]]:
        """Rows, their triangles, and where those of each row begin among them, block by block."""
        n_rows, start = len(self.order), 0
        while start < n_rows:
            first = self.pointers[start]
            stop = int(np.searchsorted(self.pointers, first + _BLOCK_TRIANGLES, side="right")) - 1
            stop = min(max(stop, start + 1), n_rows)
            pointers = (self.pointers[start : stop + 1] - first).astype(np.int32)
            yield slice(start, stop), slice(first, self.pointers[stop]), pointers
            start = stop

    def _in_order(self, of_rows: np.ndarray) -> np.ndarray:
        out = np.empty_like(of_rows)
        out[self.order] = of_rows
        return out


def common_neighbors(graph: Adjacency, ranks: np.ndarray) -> CommonNeighbors:
    """Find the triangles of a graph.

    For each pair the neighbours of the end that has fewer are looked up among those of the other:
    hubs cost no more than their neighbours do.

    Parameters
    ----------
    graph : Adjacency
    ranks : ndarray of shape (2 * n_pairs,)
        Rank of j among the neighbours of i, then of i among those of j, pair after pair.

    Returns
    -------
    CommonNeighbors
    """
    n, pointers, columns = graph.n_nodes, graph.pointers, graph.columns
    entries = graph.entries.astype(np.int32, copy=False)
    ranks = np.minimum(ranks, _MAX_RANK).astype(np.int16)
    degree = np.diff(pointers)
    swapped = degree[graph.i] < degree[graph.j]
    base = np.where(swapped, graph.j, graph.i)
    order = np.argsort(base, kind="stable")
    bounds = np.searchsorted(base[order], np.arange(n + 1))
    other = np.where(swapped, graph.i, graph.j)[order]
    base, swapped = base[order], swapped[order]
    n_rows = min(_MOST_ROWS, max(_FEWEST_ROWS, _TABLE_CELLS // max(n, 1)))
    table = np.full((n_rows, n), -1, dtype=np.int32)
    cells = table.reshape(-1)
    counts, parts = [], []
    for start in range(0, n, n_rows):
        stop = min(start + n_rows, n)
        pairs = slice(bounds[start], bounds[stop])
        if pairs.start == pairs.stop:
            continue
        own = slice(pointers[start], pointers[stop])
        places = np.repeat(np.arange(stop - start) * n, degree[start:stop]) + columns[own]
        cells[places] = entries[own]
        n_steps = degree[other[pairs]]
        ends = np.cumsum(n_steps)
        steps = np.arange(ends[-1]) + np.repeat(pointers[other[pairs]] - ends + n_steps, n_steps)
        at_base = cells[np.repeat((base[pairs] - start) * n, n_steps) + columns[steps]]
        cells[places] = -1
        hits = np.flatnonzero(at_base >= 0)
        found = np.concatenate([[0], np.cumsum(at_base >= 0)])[ends]
        counts.append(np.diff(found, prepend=0))
        a, b = at_base[hits], entries[steps[hits]]
        turned = np.repeat(swapped[pairs], counts[-1])
        rank = np.maximum(ranks[a], ranks[b])
        a, b = a >> 1, b >> 1
        parts.append((np.where(turned, b, a), np.where(turned, a, b), rank))
    empty = [(np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros(0, np.int16))]
    from_i, from_j, rank = (np.concatenate(part) for part in zip(*(parts or empty), strict=True))
    totals = np.cumsum(np.concatenate([[0], *counts]))
    return CommonNeighbors(order, totals.astype(np.int64), from_i, from_j, rank)
