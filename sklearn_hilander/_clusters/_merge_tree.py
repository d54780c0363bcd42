"""The hierarchy of a clustering: who was joined at what linkage probability, and cuts of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from sklearn_hilander._types import Levels, Merges, concatenate_merges


@dataclass(frozen=True)
class Hierarchy(Levels):
    """Clusters of every level, and the tree of merges behind them.

    Attributes
    ----------
    labels : tuple of ndarray of shape (n_samples,), int64
        Cluster of each sample after each level, finest first; within a level from 0, contiguous.
    peaks : tuple of ndarray of shape (n_clusters_at_level,), int64
        Peak sample of each cluster after each level.
    thresholds : tuple of float
        Linkage threshold of each level.
    recorded : Merges
        Merges that were found on the way to the labels.
    clusters : ndarray of shape (n_samples,), int64
        The labels of the estimator, -1 included.
    constrained : bool
        Whether there were constraints; then what was never joined may be forbidden.
    go_on : callable, optional
        Finds the merges under the last threshold. Called when they are first asked for.

    Examples
    --------
    >>> from scipy.cluster.hierarchy import is_monotonic, is_valid_linkage
    >>> from sklearn_hilander import HiLanderClustering
    >>> from sklearn_hilander.datasets import make_identities
    >>> X, _ = make_identities(100, mean_size=10, random_state=0)
    >>> hierarchy = HiLanderClustering().fit(X).hierarchy_
    >>> Z = hierarchy.to_linkage()
    >>> bool(is_valid_linkage(Z) and is_monotonic(Z))
    True
    >>> len(set(hierarchy.cut(n_clusters=7)))
    7
    """

    thresholds: tuple[float, ...]
    recorded: Merges
    clusters: np.ndarray
    constrained: bool = False
    go_on: Callable[[], Merges] | None = None

    @cached_property
    def merges(self) -> Merges:
        """Merges as the edges of a spanning forest over the samples, the most probable first.

        Those under the linkage threshold included. Computed when first asked for.
        """
        more = [] if self.go_on is None else [self.go_on()]
        return spanning_forest(concatenate_merges([self.recorded, *more]), len(self.clusters))

    def cut(
        self, n_clusters: int | None = None, *, linkage_threshold: float | None = None
    ) -> np.ndarray:
        """Labels of another granularity, in O(n_samples); changes nothing.

        Parameters
        ----------
        n_clusters : int, optional
            So many clusters: the most probable merges are made.
        linkage_threshold : float, optional
            All merges of a higher probability are made. At each of `thresholds` this gives the
            clusters of that level.

        Returns
        -------
        ndarray of shape (n_samples,), int64
            Numbered from 0 in the order of their first samples.

        Raises
        ------
        ValueError
            If not exactly one of the two is given, it is NaN, or `n_clusters` cannot be had: it is
            not between 1 and `n_samples`, or constraints keep more clusters apart.
        """
        if (n_clusters is None) == (linkage_threshold is None):
            raise ValueError("cut takes one of n_clusters and linkage_threshold.")
        n_samples = len(self.clusters)
        if linkage_threshold is not None:
            if np.isnan(linkage_threshold):
                raise ValueError("linkage_threshold is NaN: a probability is wanted.")
            merges = self.merges if linkage_threshold < self.thresholds[-1] else self.recorded
            return first_come(components(merges, n_samples, linkage_threshold))
        assert n_clusters is not None
        if not 1 <= n_clusters <= n_samples:
            raise ValueError(f"n_clusters={n_clusters} is not between 1 and {n_samples} samples.")
        least = n_samples - len(self.merges)
        if n_clusters < least and self.constrained:
            raise ValueError(
                f"n_clusters={n_clusters}: under the constraints given to fit, {least} clusters "
                "are the fewest."
            )
        every = self._complete()
        made = n_samples - n_clusters
        return first_come(
            components(Merges(every.a[:made], every.b[:made], np.ones(made)), n_samples, 0.0)
        )

    def to_linkage(self, *, clusters: bool = False) -> np.ndarray:
        """Linkage matrix as of :func:`scipy.cluster.hierarchy.linkage`.

        Heights are 1 - linkage probability. What was never joined is joined at height 1.

        Parameters
        ----------
        clusters : bool, default=False
            If True, the leaves are the clusters instead of the samples: leaf k is cluster k.
            Samples labelled -1 are left out.

        Returns
        -------
        ndarray of shape (n_leaves - 1, 4), float64
        """
        every = self._complete()
        if not clusters:
            return linkage_matrix(every, len(self.clusters))
        a, b = self.clusters[every.a], self.clusters[every.b]
        n_clusters = int(self.clusters.max(initial=-1)) + 1
        # Small clusters, labelled -1, may be all that joins two others: contract them.
        extra = np.cumsum(self.clusters < 0) - 1 + n_clusters
        leaf = np.where(self.clusters < 0, extra, self.clusters)
        a, b = leaf[every.a], leaf[every.b]
        merges = Merges(a, b, every.probability)
        n_leaves = n_clusters + int((self.clusters < 0).sum())
        tree = spanning_forest(merges, n_leaves)
        return linkage_matrix(leave_out(tree, n_clusters, n_leaves), max(n_clusters, 1))

    def to_pandas(self) -> Any:
        """The merges as a data frame, one row a merge.

        Returns
        -------
        pandas.DataFrame
            Columns parent, left, right (scipy's node numbers), probability, size.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise ImportError("Hierarchy.to_pandas needs pandas: pip install pandas") from error
        Z = self.to_linkage()
        n_samples = len(self.clusters)
        return pd.DataFrame(
            {
                "parent": n_samples + np.arange(len(Z)),
                "left": Z[:, 0].astype(np.int64),
                "right": Z[:, 1].astype(np.int64),
                "probability": 1 - Z[:, 2],
                "size": Z[:, 3].astype(np.int64),
            }
        )

    def to_networkx(self) -> Any:
        """The merges as a tree, edges from a merge to its two parts.

        Returns
        -------
        networkx.DiGraph
            Nodes have scipy's numbers and the attributes probability and size.
        """
        try:
            import networkx as nx
        except ImportError as error:
            raise ImportError(
                "Hierarchy.to_networkx needs networkx: pip install networkx"
            ) from error
        n_samples = len(self.clusters)
        graph = nx.DiGraph()
        graph.add_nodes_from(range(n_samples), probability=1.0, size=1)
        for node, (left, right, height, size) in enumerate(self.to_linkage().tolist(), n_samples):
            graph.add_node(node, probability=1 - height, size=int(size))
            graph.add_edges_from([(node, int(left)), (node, int(right))])
        return graph

    def _complete(self) -> Merges:
        """The spanning forest made a tree: what was never joined, at probability 0."""
        n_samples = len(self.clusters)
        _, first = np.unique(components(self.merges, n_samples, -1.0), return_index=True)
        first = np.sort(first)
        rest = Merges(first[:-1], first[1:], np.zeros(max(len(first) - 1, 0)))
        return concatenate_merges([self.merges, rest])


def components(merges: Merges, n_nodes: int, threshold: float) -> np.ndarray:
    """Cluster of each node when the merges above the threshold are made, (n_nodes,), int64."""
    above = merges.probability > threshold
    graph = sp.coo_array(
        (np.ones(above.sum(), dtype=np.int8), (merges.a[above], merges.b[above])),
        shape=(n_nodes, n_nodes),
    )
    return connected_components(graph, directed=False)[1].astype(np.int64)


def first_come(labels: np.ndarray, keep: np.ndarray | None = None) -> np.ndarray:
    """Number clusters from 0 in the order of their first samples.

    Parameters
    ----------
    labels : ndarray of shape (n_samples,), int64
        Contiguous from 0.
    keep : ndarray of shape (n_clusters,), bool, optional
        The others get -1.

    Returns
    -------
    ndarray of shape (n_samples,), int64
    """
    present, first = np.unique(labels, return_index=True)
    number = np.full(int(labels.max(initial=-1)) + 1, -1, dtype=np.int64)
    kept = present if keep is None else present[keep[present]]
    by_first = np.argsort(first if keep is None else first[keep[present]], kind="stable")
    number[kept[by_first]] = np.arange(len(kept))
    return number[labels]


def spanning_forest(merges: Merges, n_nodes: int) -> Merges:
    """Merges that join two parts when made in falling order of probability (Kruskal)."""
    order = np.argsort(-merges.probability, kind="stable")
    a, b = merges.a[order].tolist(), merges.b[order].tolist()
    parent = list(range(n_nodes))
    kept = []
    for at, (one, other) in enumerate(zip(a, b, strict=True)):
        one, other = _root(parent, one), _root(parent, other)
        if one != other:
            parent[other] = one
            kept.append(at)
    order = order[kept]
    return Merges(merges.a[order], merges.b[order], merges.probability[order])


def linkage_matrix(tree: Merges, n_nodes: int) -> np.ndarray:
    """Linkage matrix of a spanning tree whose edges come in falling order of probability."""
    Z = np.zeros((max(n_nodes - 1, 0), 4))
    parent = list(range(n_nodes))
    cluster, size = list(range(n_nodes)), [1] * n_nodes
    heights = np.clip(1 - tree.probability, 0, 1).tolist()
    for row, (one, other, height) in enumerate(
        zip(tree.a.tolist(), tree.b.tolist(), heights, strict=True)
    ):
        one, other = _root(parent, one), _root(parent, other)
        left, right = sorted((cluster[one], cluster[other]))
        if size[one] < size[other]:
            one, other = other, one
        parent[other] = one
        size[one] += size[other]
        cluster[one] = n_nodes + row
        Z[row] = left, right, height, size[one]
    return Z


def leave_out(tree: Merges, n_kept: int, n_nodes: int) -> Merges:
    """The same forest without its leaves from `n_kept` on: merges of kept ones alone.

    Parameters
    ----------
    tree : Merges
        Of `spanning_forest`.
    n_kept, n_nodes : int

    Returns
    -------
    Merges
        Two kept leaves are joined at the probability at which they were before.
    """
    parent = list(range(n_nodes))
    a, b, probability = [], [], []
    for one, other, p in zip(
        tree.a.tolist(), tree.b.tolist(), tree.probability.tolist(), strict=True
    ):
        one, other = sorted((_root(parent, one), _root(parent, other)))
        # The root of a part is a kept leaf if it has one.
        parent[other] = one
        if other < n_kept:
            a.append(one)
            b.append(other)
            probability.append(p)
    return Merges(np.array(a, dtype=np.int64), np.array(b, dtype=np.int64), np.array(probability))


def _root(parent: list[int], node: int) -> int:
    """Root of a node, with the path to it halved."""
    while parent[node] != node:
        parent[node] = parent[parent[node]]
        node = parent[node]
    return node
