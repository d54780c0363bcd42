"""Pairs of samples as a sparse matrix, and sums over the neighbours of a sample."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch

from sklearn_hilander._graph._pairs import count_dtype, pair_sum
from sklearn_hilander._ops import sparse_neighbor_sum

# Nodes whose entries are ranked at once.
_BLOCK_ROWS = 256


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

    def at_entries(self, values: np.ndarray) -> np.ndarray:
        """The value of each entry's pair, (2 * n_pairs,)."""
        return values[self.entries >> 1]

    def matrix(self, values: np.ndarray) -> sp.csr_array:
        """The values of the pairs as a symmetric matrix, (n_nodes, n_nodes)."""
        data, columns = self.at_entries(values), self.columns
        # Of one type: sparse arrays would take the wider one for both.
        pointers = self.pointers.astype(self.entries.dtype)
        if np.count_nonzero(values) < 0.8 * len(values):
            kept = data != 0
            data, columns = data[kept], columns[kept]
            n_kept = np.cumsum(kept, dtype=pointers.dtype)
            pointers = np.where(pointers > 0, n_kept[pointers - 1], 0)
        return sp.csr_array((data, columns, pointers), shape=(self.n_nodes,) * 2)

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
        return one_step(self.matrix(values), X)

    def sum(self, values: np.ndarray) -> np.ndarray:
        """Sum of the values of each node's pairs, (n_nodes,), float64."""
        return pair_sum(values, self.i, self.j, self.n_nodes)


def one_step(matrix: sp.csr_array, X: np.ndarray) -> np.ndarray:
    """Each row of `X` plus those that the matrix leads to, times its weights, float32."""
    arrays = (X, matrix.indptr, matrix.indices, matrix.data)
    features, pointers, columns, weights = (torch.from_numpy(each) for each in arrays)
    # Between two and three times quicker than scipy's product.
    return sparse_neighbor_sum(features, pointers, columns, weights).add_(features).numpy()


def adjacency_of(i: np.ndarray, j: np.ndarray, n_nodes: int) -> Adjacency:
    """Adjacency of pairs that are given once each.

    Parameters
    ----------
    i, j : ndarray of shape (n_pairs,), int64
        With ``i < j``, sorted.
    n_nodes : int

    Returns
    -------
    Adjacency
    """
    n_pairs = len(i)
    above = np.searchsorted(i, np.arange(n_nodes + 1))
    numbers = np.arange(n_pairs, dtype=count_dtype(2 * n_pairs))
    upper = sp.csr_array((numbers, j, above), shape=(n_nodes, n_nodes))
    # Column by column: of each node the pairs that it is the j of, ascending by their i.
    lower = upper.tocsc()
    below = lower.indptr.astype(np.int64)
    pointers = above + below
    columns = np.empty(2 * n_pairs, dtype=np.int32)
    entries = np.empty(2 * n_pairs, dtype=numbers.dtype)
    place = np.arange(n_pairs) + np.repeat(above[:-1], np.diff(below))
    columns[place] = lower.indices
    entries[place] = 2 * lower.data + 1
    del lower
    place = np.arange(n_pairs) + np.repeat(below[1:], np.diff(above))
    columns[place] = j
    entries[place] = 2 * numbers
    return Adjacency(i, j, pointers, columns, entries)


def entry_ranks(graph: Adjacency, indices: np.ndarray) -> np.ndarray:
    """Rank of the other end among the neighbours of an entry's node, from 1; k + 10 where none.

    Parameters
    ----------
    graph : Adjacency
    indices : ndarray of shape (n_nodes, n_neighbors), int64
        Neighbours, nearest first.

    Returns
    -------
    ndarray of shape (2 * n_pairs,), int16, or int32 where int16 is too small
    """
    n, k = indices.shape
    pointers, columns = graph.pointers, graph.columns
    out = np.full(len(columns), k + 10, dtype=np.int16 if k + 10 < 2**15 else np.int32)
    rank = np.arange(1, k + 1, dtype=out.dtype)
    for start in range(0, n if len(columns) else 0, _BLOCK_ROWS):
        stop = min(start + _BLOCK_ROWS, n)
        first, rows = pointers[start], np.arange(stop - start)
        own = slice(first, pointers[stop])
        if own.start == own.stop:
            continue
        keys = np.repeat(rows * n, np.diff(pointers[start : stop + 1])) + columns[own]
        wanted = (rows[:, None] * n + indices[start:stop]).reshape(-1)
        at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        found = keys[at] == wanted
        out[first + at[found]] = np.broadcast_to(rank, (stop - start, k)).reshape(-1)[found]
    return out
