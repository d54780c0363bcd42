"""How two samples stand to each other in clusters that a random walk seldom leaves."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from sklearn_hilander._flow import flow_clusters
from sklearn_hilander._pairs import Columns


def flow_relations(i: np.ndarray, j: np.ndarray, weights: np.ndarray, n_nodes: int) -> Columns:
    """Relations of each pair in the clusters of a flow along weighted pairs.

    Whether the two are in one cluster; the share of either end's flow that goes into the
    other's cluster; and the sizes of their clusters.

    Parameters
    ----------
    i, j : ndarray of shape (n_pairs,), int64
    weights : ndarray of shape (n_pairs,)
    n_nodes : int

    Returns
    -------
    Columns
        Five.
    """
    labels = flow_clusters(i, j, weights, n_nodes)
    out = Columns()
    out.add(labels[i] == labels[j])
    kept = np.flatnonzero(weights > 0)
    ends = (np.concatenate([i[kept], j[kept]]), labels[np.concatenate([j[kept], i[kept]])])
    n_clusters = int(labels.max()) + 1
    into = sp.csr_array(
        (np.concatenate([weights[kept], weights[kept]]), ends), shape=(n_nodes, n_clusters)
    )
    into.sum_duplicates()
    total = np.asarray(into.sum(axis=1)).reshape(-1) + 1e-12
    rows = np.repeat(np.arange(n_nodes), np.diff(into.indptr))
    keys = rows * n_clusters + into.indices
    shares = into.data / total[rows]

    def share(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        wanted = a * n_clusters + labels[b]
        at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        return np.where(keys[at] == wanted, shares[at], 0)

    out.both(share(i, j), share(j, i))
    sizes = np.log(np.bincount(labels))[labels]
    out.both(sizes[i], sizes[j])
    return out
