"""How strongly samples belong to clusters, from the merges and links that a clustering left."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import breadth_first_order

from sklearn_hilander._types import Merges


def strongest(links: Merges, n_nodes: int) -> np.ndarray:
    """Highest linkage probability of each node, 0 where it has no link; (n_nodes,), float64."""
    out = np.zeros(n_nodes)
    np.maximum.at(out, links.a, links.probability)
    np.maximum.at(out, links.b, links.probability)
    return out


def each_once(links: Merges, n_nodes: int) -> Merges:
    """Each pair once, with the higher probability of its two directions."""
    keys = np.minimum(links.a, links.b) * n_nodes + np.maximum(links.a, links.b)
    unique, position = np.unique(keys, return_inverse=True)
    highest = np.zeros(len(unique))
    np.maximum.at(highest, position.reshape(-1), links.probability)
    return Merges(unique // n_nodes, unique % n_nodes, highest)


def linked_to_peak(tree: Merges, labels: np.ndarray, peaks: np.ndarray) -> np.ndarray:
    """Highest threshold at which each node still shares a cluster with its cluster's peak.

    That is the least probability on the way through the tree of merges.

    Parameters
    ----------
    tree : Merges
        Spanning forest; edges between clusters are passed over.
    labels : ndarray of shape (n_nodes,), int64
        Cluster of each node, or -1.
    peaks : ndarray of shape (n_clusters,), int64

    Returns
    -------
    ndarray of shape (n_nodes,), float64
        1 for peaks, 0 for nodes labelled -1.
    """
    n = len(labels)
    inner = (labels[tree.a] == labels[tree.b]) & (labels[tree.a] >= 0)
    a, b = tree.a[inner], tree.b[inner]
    # All peaks hang on one more node, so that one search reaches everything.
    ends = np.r_[a, np.full(len(peaks), n)], np.r_[b, peaks]
    graph = sp.coo_array((np.ones(len(ends[0])), ends), shape=(n + 1, n + 1)).tocsr()
    _, before = breadth_first_order(graph, n, directed=False)
    parent = np.where(before >= 0, before, n)
    parent[peaks] = n
    weight = np.zeros(n + 1)
    for child, other in ((a, b), (b, a)):
        up = parent[child] == other
        weight[child[up]] = tree.probability[inner][up]
    weight[n] = weight[peaks] = 1.0
    # Pointer jumping: after every pass twice as much of the way is behind.
    while (parent != n).any():
        weight = np.minimum(weight, weight[parent])
        parent = parent[parent]
    return np.where(labels >= 0, weight[:n], 0.0)


def shares(
    links: Merges, labels: np.ndarray, n_clusters: int, counts: np.ndarray, top: int
) -> sp.csr_array:
    """Share of each node's linkage probability that goes to each cluster.

    A node is linked to itself, and to its exact copies, with probability 1.

    Parameters
    ----------
    links : Merges
        Each pair once.
    labels : ndarray of shape (n_nodes,), int64
        Cluster of each node, or -1.
    n_clusters : int
    counts : ndarray of shape (n_nodes,)
        How many samples are copies of each node.
    top : int
        Entries of each row that are kept, the largest.

    Returns
    -------
    csr_array of shape (n_nodes, n_clusters), float64
        Rows sum to 1 at most.
    """
    n = len(labels)
    every = np.arange(n)
    rows = np.r_[links.a, links.b, every]
    others = np.r_[links.b, links.a, every]
    weight = np.r_[links.probability, links.probability, np.ones(n)] * counts[others]
    total = np.bincount(rows, weight, n)
    inside = labels[others] >= 0
    mass = sp.csr_array(
        (weight[inside], (rows[inside], labels[others[inside]])), shape=(n, n_clusters)
    )
    # diags_array came with scipy 1.12.
    scale = sp.dia_array((1 / total[None], [0]), shape=(n, n))
    return largest_of_rows(sp.csr_array(scale @ mass), top)


def largest_of_rows(mass: sp.csr_array, top: int) -> sp.csr_array:
    """Only the largest entries of each row, the first of equals."""
    mass.sum_duplicates()
    rows = np.repeat(np.arange(mass.shape[0]), np.diff(mass.indptr))
    order = np.lexsort((mass.indices, -mass.data, rows))
    rank = np.arange(len(order)) - mass.indptr[rows[order]]
    kept = np.sort(order[rank < top])
    return sp.csr_array((mass.data[kept], (rows[kept], mass.indices[kept])), shape=mass.shape)
