"""The state that a clustering leaves: rows seen, and the clusters that they are in."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from sklearn_hilander._clusters._merge_tree import first_come
from sklearn_hilander._constraints._node_constraints import NodeConstraints
from sklearn_hilander._rows._embeddings import Embeddings
from sklearn_hilander._rows._row_scaler import RowScaler
from sklearn_hilander._types import Growth


@dataclass(frozen=True)
class KnownGroups:
    """Which nodes must not share a cluster with new rows of a group.

    Attributes
    ----------
    names : ndarray of shape (n_groups,)
    members : ndarray of shape (n_members, 2), int64
        (node, group).
    """

    names: np.ndarray
    members: np.ndarray


@dataclass(frozen=True)
class KnownClusters:
    """Clusters of rows seen, and what it takes to ask them and to join new rows.

    Samples are rows as the user gave them. Distinct rows are samples without their exact copies.
    Nodes are what was clustered: the distinct rows, or the samples where the architecture
    takes copies for nodes of their own.

    Attributes
    ----------
    scaler : RowScaler
    embeddings : Embeddings
        Of the rows seen; `hashes` need not ascend.
    graph_indices, graph_similarities : ndarray of shape (n_distinct, n_neighbors)
        Neighbours of each distinct row among those that were there when it came.
    nodes : ndarray of shape (n_samples,), int64
        Node of each sample.
    partition : ndarray of shape (n_nodes,), int64
        Part of each node, from 0: clusters of any size.
    number : ndarray of shape (n_parts,), int64
        Label of each part; -1 for those under the minimum size.
    n_clusters : int
    linkage_threshold : float
    min_cluster_size : int
    n_clustered : int
        Samples that were clustered together at last; the others, which came later, joined.
    growth : Growth
        Over the nodes.
    constraints : NodeConstraints or None
        Over the nodes.
    groups : KnownGroups or None
    """

    scaler: RowScaler
    embeddings: Embeddings
    graph_indices: np.ndarray
    graph_similarities: np.ndarray
    nodes: np.ndarray
    partition: np.ndarray
    number: np.ndarray
    n_clusters: int
    linkage_threshold: float
    min_cluster_size: int
    n_clustered: int
    growth: Growth
    constraints: NodeConstraints | None = None
    groups: KnownGroups | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Without the views, which are computed again when asked for, and which hold functions."""
        return {name: value for name, value in vars(self).items() if name != "views"}

    @cached_property
    def labels(self) -> np.ndarray:
        """Label of each sample, (n_samples,), int64."""
        return self.number[self.partition[self.nodes]]

    @cached_property
    def row_parts(self) -> np.ndarray:
        """Part of each distinct row, (n_distinct,), int64."""
        return self.partition[self.nodes[self.embeddings.first]]

    @cached_property
    def first(self) -> np.ndarray:
        """First sample of each node, (n_nodes,), int64."""
        return np.unique(self.nodes, return_index=True)[1]

    @cached_property
    def by_hash(self) -> np.ndarray:
        """Distinct rows in the order of their hashes, (n_distinct,), int64."""
        return np.argsort(self.embeddings.hashes, kind="stable")

    @cached_property
    def views(self) -> dict[str, Any]:
        """What was computed on demand; gone with the next clustering."""
        return {}


def numbered(known: KnownClusters) -> KnownClusters:
    """The same parts, numbered in the order of their first samples; small ones get -1."""
    parts = known.partition[known.nodes]
    large = np.bincount(parts) >= known.min_cluster_size
    labels = first_come(parts, large)
    number = np.full(len(large), -1, dtype=np.int64)
    number[parts] = labels
    return replace(known, number=number, n_clusters=int(labels.max(initial=-1)) + 1)
