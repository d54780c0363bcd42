"""The values that pass between rooms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


@dataclass(frozen=True)
class NeighborGraph:
    """Each node's nearest *other* nodes, most similar first.

    Attributes
    ----------
    indices : Tensor of shape (n_nodes, n_neighbors), int64
        ``indices[i, j]`` is the j-th neighbour of node i, never i itself.
    similarities : Tensor of shape (n_nodes, n_neighbors), float32
        Similarity of each edge, in [0, 1]. A similarity of 0 means that there is no edge: the
        entry only fills its place.
    """

    indices: Tensor
    similarities: Tensor

    @property
    def n_nodes(self) -> int:
        """Number of nodes."""
        return self.indices.shape[0]

    @property
    def n_neighbors(self) -> int:
        """Number of neighbours of each node."""
        return self.indices.shape[1]


@dataclass(frozen=True)
class Level:
    """One graph of the hierarchy: samples at depth 0, supernodes above.

    Attributes
    ----------
    depth : int
        0 for the samples themselves.
    graph : NeighborGraph
        Neighbour graph of the nodes, built on the peak features.
    peak_features : Tensor of shape (n_nodes, n_features), float32
        Embedding of each node's peak sample.
    mean_features : Tensor of shape (n_nodes, n_features), float32
        Mean of the embeddings of each node's members.
    sizes : Tensor of shape (n_nodes,), float32
        Number of samples in each node.
    peaks : Tensor of shape (n_nodes,), int64
        Sample that is each node's peak.
    """

    depth: int
    graph: NeighborGraph
    peak_features: Tensor
    mean_features: Tensor
    sizes: Tensor
    peaks: Tensor


@dataclass(frozen=True)
class EdgeScores:
    """What a scorer says of one level.

    Attributes
    ----------
    linkage : Tensor of shape (n_nodes, n_neighbors), float32
        Linkage probability of each edge of the level's graph.
    density : Tensor of shape (n_nodes,), float32
        Density of each node, in [-1, 1].
    """

    linkage: Tensor
    density: Tensor


@dataclass(frozen=True)
class Forest:
    """The kept edges of one level: each node's parent, and the trees they form.

    Attributes
    ----------
    parents : Tensor of shape (n_nodes,), int64
        Parent of each node; a root is its own parent.
    labels : Tensor of shape (n_nodes,), int64
        Tree of each node, numbered from 0 in the order of their roots.
    roots : Tensor of shape (n_trees,), int64
        Root of each tree, ascending.
    parent_linkage : Tensor of shape (n_nodes,), float32
        Linkage probability of the edge to the parent; 1 for a root.
    """

    parents: Tensor
    labels: Tensor
    roots: Tensor
    parent_linkage: Tensor

    @property
    def n_edges(self) -> int:
        """Number of kept edges."""
        return self.parents.shape[0] - self.roots.shape[0]


@dataclass(frozen=True)
class Hierarchy:
    """Clusters of every level, from the finest to the coarsest.

    Attributes
    ----------
    labels : tuple of ndarray of shape (n_samples,), int64
        Cluster of each sample after each level; within a level from 0, contiguous.
    peaks : tuple of ndarray of shape (n_clusters_at_level,), int64
        Peak sample of each cluster after each level.
    """

    labels: tuple[np.ndarray, ...]
    peaks: tuple[np.ndarray, ...]

    @property
    def n_levels(self) -> int:
        """Number of levels that were run."""
        return len(self.labels)

    @property
    def n_clusters(self) -> tuple[int, ...]:
        """Number of clusters after each level."""
        return tuple(len(peaks) for peaks in self.peaks)
