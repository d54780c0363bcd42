"""How two samples stand to each other in clusters that a random walk seldom leaves."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from sklearn_hilander._flows._flow import flow_clusters
from sklearn_hilander._graph._pair_table import Columns, PairTable
from sklearn_hilander._graph._pairs import in_blocks


def flow_relations(
    i: np.ndarray, j: np.ndarray, weights: np.ndarray, n_nodes: int, *, compact: bool = False
) -> PairTable:
    """Relations of each pair in the clusters of a flow along weighted pairs.

    Whether the two are in one cluster; the share of either end's flow that goes into the
    other's cluster; and the sizes of their clusters.

    Parameters
    ----------
    i, j : ndarray of shape (n_pairs,), int64
    weights : ndarray of shape (n_pairs,)
    n_nodes : int
    compact : bool, default=False
        Three digits of each alone.

    Returns
    -------
    PairTable
        Five columns.
    """
    held = np.float16 if compact else np.float32
    labels = flow_clusters(i, j, weights, n_nodes).astype(np.int32)
    kept = np.flatnonzero(weights > 0)
    a, b, of_kept = i[kept], j[kept], weights[kept].astype(np.float64)
    n_clusters = int(labels.max()) + 1
    into = sp.csr_array(
        (np.tile(of_kept, 2), (np.concatenate([a, b]), labels[np.concatenate([b, a])])),
        shape=(n_nodes, n_clusters),
    )
    into.sum_duplicates()
    del kept, a, b, of_kept
    total = np.asarray(into.sum(axis=1)).reshape(-1) + 1e-12
    rows = np.repeat(np.arange(n_nodes), np.diff(into.indptr))
    keys = rows * n_clusters + into.indices
    shares = into.data / total[rows]
    del into, rows

    def share(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        wanted = a * n_clusters + labels[b]
        at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        return np.where(keys[at] == wanted, shares[at], 0).astype(np.float32)

    of_i = in_blocks(len(i), lambda rows: share(i[rows], j[rows]), held)
    of_j = in_blocks(len(i), lambda rows: share(j[rows], i[rows]), held)
    sizes = np.log(np.bincount(labels))[labels]

    def block(rows: slice) -> Columns:
        a, b = i[rows], j[rows]
        out = Columns()
        out.add(labels[a] == labels[b])
        out.both(of_i[rows], of_j[rows])
        out.both(sizes[a], sizes[b])
        return out

    return PairTable(len(i), block, compact=compact)
