"""What a person should look at next: clusters that may be one, clusters that may be two."""

from __future__ import annotations

import numpy as np

from sklearn_hilander._clusters._merge_tree import components
from sklearn_hilander._types import Merges


def merge_candidates(
    labels: np.ndarray,
    exemplars: np.ndarray,
    sizes: np.ndarray,
    judged: Merges | None,
    reviewed: Merges,
    links: Merges,
    top: int,
) -> np.recarray:
    """Pairs of clusters by the probability that they are one.

    Parameters
    ----------
    labels : ndarray of shape (n_nodes,), int64
        Cluster of each node, or -1.
    exemplars, sizes : ndarray of shape (n_clusters,)
    judged : Merges or None
        Nodes that stand for clusters, and the probability of whole clusters: it counts alone, if
        there is any.
    reviewed : Merges
        Nodes that stood for parts of clusters, the largest parts first: the first counts.
    links : Merges
        Pairs of nodes: their mean counts where there is nothing else.
    top : int

    Returns
    -------
    recarray of shape (at most top,)
        a, b, probability, exemplar_a, exemplar_b, size_a, size_b.
    """
    n = len(sizes)
    if judged is not None:
        keys, probability = _of_pairs(judged, labels, n)
        keys, first = np.unique(keys, return_index=True)
        probability = probability[first]
    else:
        keys, probability = _of_pairs(reviewed, labels, n)
        keys, first = np.unique(keys, return_index=True)
        probability = probability[first]
        weak, p = _of_pairs(links, labels, n)
        weak, position, counts = np.unique(weak, return_inverse=True, return_counts=True)
        mean = np.bincount(position.reshape(-1), p, len(weak)) / counts
        new = ~np.isin(weak, keys)
        keys = np.concatenate([keys, weak[new]])
        probability = np.concatenate([probability, mean[new]])
    order = np.lexsort((keys, -probability))[:top]
    a, b = keys[order] // max(n, 1), keys[order] % max(n, 1)
    return table(
        a=a,
        b=b,
        probability=probability[order],
        exemplar_a=exemplars[a],
        exemplar_b=exemplars[b],
        size_a=sizes[a],
        size_b=sizes[b],
    )


def split_candidates(
    tree: Merges,
    labels: np.ndarray,
    prominence: np.ndarray,
    counts: np.ndarray,
    first: np.ndarray,
    top: int,
) -> np.recarray:
    """Clusters by their weakest inner merge, the weakest first.

    Parameters
    ----------
    tree : Merges
        Spanning forest over the nodes, the most probable merges first.
    labels : ndarray of shape (n_nodes,), int64
        Cluster of each node, or -1.
    prominence : ndarray of shape (n_nodes,)
    counts : ndarray of shape (n_nodes,)
        Samples of each node.
    first : ndarray of shape (n_nodes,), int64
        A sample of each node.
    top : int

    Returns
    -------
    recarray of shape (at most top,)
        cluster, probability, exemplar_a, exemplar_b, size_a, size_b.
    """
    inner = np.flatnonzero((labels[tree.a] == labels[tree.b]) & (labels[tree.a] >= 0))
    cluster = labels[tree.a[inner]]
    # The last merge of each cluster is its weakest.
    _, last = np.unique(cluster[::-1], return_index=True)
    weakest = inner[len(inner) - 1 - last] if len(inner) else inner
    order = np.lexsort((labels[tree.a[weakest]], tree.probability[weakest]))[:top]
    weakest = weakest[order]
    kept = np.setdiff1d(inner, weakest)
    part = components(Merges(tree.a[kept], tree.b[kept], np.ones(len(kept))), len(labels), 0.0)
    sizes = np.bincount(part, counts).astype(np.int64)
    by_part = np.lexsort((-prominence, part))
    peak = by_part[np.r_[True, part[by_part][1:] != part[by_part][:-1]]]
    a, b = part[tree.a[weakest]], part[tree.b[weakest]]
    swap = sizes[a] < sizes[b]
    a, b = np.where(swap, b, a), np.where(swap, a, b)
    return table(
        cluster=labels[tree.a[weakest]],
        probability=tree.probability[weakest],
        exemplar_a=first[peak[a]],
        exemplar_b=first[peak[b]],
        size_a=sizes[a],
        size_b=sizes[b],
    )


def table(**columns: np.ndarray) -> np.recarray:
    """Columns side by side, by their names."""
    dtype = [(name, column.dtype) for name, column in columns.items()]
    return np.rec.fromarrays(list(columns.values()), dtype=dtype)


def _of_pairs(pairs: Merges, labels: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Key of the two clusters of each pair that joins two different ones, and its probability."""
    a, b = labels[pairs.a], labels[pairs.b]
    across = (a != b) & (a >= 0) & (b >= 0)
    a, b = a[across], b[across]
    return np.minimum(a, b) * n + np.maximum(a, b), pairs.probability[across]
