"""A neighbour graph anew, for rows that moved little: within two hops of the one before."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from sklearn_hilander._device import in_threads, table_slices
from sklearn_hilander._graph._pairs import count_dtype, dot_at, sparse_quietly

# Cells of the table of a block's candidates, and rows of a block at most.
_BLOCK_CELLS = 4_000_000
_MOST_ROWS = 4_096


def search_two_hops(
    features: np.ndarray,
    graph: np.ndarray | sp.csr_array,
    n_neighbors: int | None = None,
    *,
    share: float = 0.25,
    looked_at: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Nearest rows among those that an earlier graph leads to within two steps.

    The first step goes along any neighbour, the second along the nearest of them; either way round.

    Parameters
    ----------
    features : ndarray of shape (n_nodes, n_features), float32
        Unit rows.
    graph : ndarray of shape (n_nodes, n_neighbors), int64, or csr_array of shape (n_nodes, n_nodes)
        Neighbours in the earlier graph, nearest first, where the row itself is none; or its
        similarities, symmetric, of rows with any number of neighbours.
    n_neighbors : int, optional
        By default as many as in the earlier graph; to be given with a csr_array.
    share : float, default=0.25
        Of the neighbours, that the second step takes: the nearest.
    looked_at : ndarray of shape (n_nodes, n_before), int64, optional
        The graph that `graph` was found in, with the same share: two steps that were in it need not
        be looked at again. What is found is the same.

    Returns
    -------
    indices : ndarray of shape (n_nodes, n_neighbors), int32, or int64 where that is too small
        Never the row itself, unless fewer are within reach: it then fills the places left over.
    similarities : ndarray of shape (n_nodes, n_neighbors), float32
        Cosines clipped to [0, 1]; 0 in places left over.

    References
    ----------
    Dong, Moses, Li, "Efficient k-nearest neighbor graph construction for generic similarity
    measures", WWW 2011: a neighbour of a neighbour is likely to be a neighbour.
    """
    n = len(features)
    if isinstance(graph, np.ndarray):
        k = n_neighbors or graph.shape[1]
        first, second = _steps(graph, share)
    else:
        k = n_neighbors or 1
        first, second = graph, _strongest(graph, share)
    if looked_at is not None:
        old_first, old_second = _steps(looked_at, share)
        new_second = _without(second, old_second)
        del old_second
    rows = torch.from_numpy(np.ascontiguousarray(features))
    found = np.empty((n, k), dtype=count_dtype(n))
    similarities = np.empty((n, k), dtype=np.float32)

    def search(block: slice) -> None:
        near = first[block]
        if looked_at is None:
            candidates = near @ second + near
        else:
            # Any second step after a new first one, and after an old one new ones.
            new = _without(near, old_first[block])
            candidates = new @ second + near + _without(near, new) @ new_second
        closeness, found[block] = _nearest(rows, block, candidates.tocsr(), k)
        similarities[block] = closeness.clip(0, 1)

    with sparse_quietly():
        in_threads(search, _blocks(first, second))
    return found, similarities


def _blocks(first: sp.csr_array, second: sp.csr_array) -> Iterator[slice]:
    """Blocks of rows whose candidates fit a table of so many cells."""
    reached = np.concatenate([[0], np.cumsum(np.diff(second.indptr)[first.indices])])
    most = np.diff(reached[first.indptr]) + np.diff(first.indptr)
    return table_slices(most, _BLOCK_CELLS, _MOST_ROWS)


def _steps(graph: np.ndarray, share: float) -> tuple[sp.csr_array, sp.csr_array]:
    """First and second steps of a search."""
    nearest = graph[:, : max(1, round(share * graph.shape[1]))]
    return _either_way(graph), _either_way(nearest)


def _without(places: sp.csr_array, others: sp.csr_array) -> sp.csr_array:
    """Places that are none of the others."""
    left = (places - places.multiply(others != 0)).tocsr()
    left.eliminate_zeros()
    return left


def _either_way(indices: np.ndarray) -> sp.csr_array:
    n, k = indices.shape
    small = count_dtype(2 * n * k)
    pointers = np.arange(0, n * k + 1, k, dtype=small)
    columns = indices.reshape(-1).astype(small, copy=False)
    places = sp.csr_array((np.ones(n * k, np.float32), columns, pointers), shape=(n, n))
    return (places + places.T).tocsr()


def _strongest(graph: sp.csr_array, share: float) -> sp.csr_array:
    """Of each row the nearest of its neighbours, either way round."""
    rows = np.repeat(np.arange(graph.shape[0]), np.diff(graph.indptr))
    order = np.lexsort((graph.indices, -graph.data, rows))
    rank = np.arange(len(rows)) - graph.indptr[rows]
    near = rank < np.maximum(1, np.round(share * np.diff(graph.indptr)))[rows]
    kept = (np.ones(near.sum(), np.float32), (rows[near], graph.indices[order][near]))
    places = sp.csr_array(kept, shape=graph.shape)
    return (places + places.T).tocsr()


def _nearest(
    rows: Tensor, block: slice, candidates: sp.csr_array, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Cosine and number of the k nearest candidates of each row; each (n_rows, k)."""
    columns, counts = candidates.indices, np.diff(candidates.indptr)
    cosines = dot_at(rows[block], rows, candidates.indptr, columns).numpy()
    of_row = np.repeat(np.arange(len(counts)), counts)
    cosines[columns == of_row + block.start] = -np.inf
    place = np.arange(len(columns)) - np.repeat(candidates.indptr[:-1], counts)
    table = np.full((len(counts), max(k, counts.max())), -np.inf, dtype=np.float32)
    table[of_row, place] = cosines
    closeness, at = (found.numpy() for found in torch.topk(torch.from_numpy(table), k, dim=1))
    own = np.arange(block.start, block.start + len(counts))[:, None]
    if len(columns) == 0:
        return closeness, np.broadcast_to(own, closeness.shape)
    places = np.minimum(candidates.indptr[:-1, None] + at, len(columns) - 1)
    return closeness, np.where(np.isneginf(closeness), own, columns[places])
