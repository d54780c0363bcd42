"""The values that pass between rooms."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
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
class Merges:
    """Samples that were joined, as a weighted graph: its components are clusters.

    The clusters at a threshold are the components of the merges above it.

    Attributes
    ----------
    a, b : ndarray of shape (n_merges,), int64
        A sample of either side.
    probability : ndarray of shape (n_merges,), float64
        Linkage probability of the merge, in [0, 1].
    """

    a: np.ndarray
    b: np.ndarray
    probability: np.ndarray

    def __len__(self) -> int:
        """Number of merges."""
        return len(self.a)


@dataclass(frozen=True)
class Levels:
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


@dataclass(frozen=True)
class Growth(Levels):
    """Levels, and what was found on the way.

    Attributes
    ----------
    thresholds : tuple of float
        Linkage threshold of each level.
    merges : Merges
        Above the linkage threshold those that made the clusters; known ones under it, too.
    links : Merges
        Pairs of neighbouring samples and their linkage probability.
    reviewed : Merges
        Pairs of peaks that were scored on higher levels, the highest level first.
    prominence : ndarray of shape (n_samples,), int64
        The peak of any set of samples is its member of highest prominence; all are different.
    rounds : Rounds or None
        Where the rounds of the judge ended, if there were any.
    """

    thresholds: tuple[float, ...]
    merges: Merges
    links: Merges
    reviewed: Merges
    prominence: np.ndarray
    # Of a room that imports this one.
    rounds: Any = None


def concatenate_merges(parts: Iterable[Merges]) -> Merges:
    """All of some merges, in order."""
    parts = list(parts)
    if not parts:
        none = np.zeros(0, dtype=np.int64)
        return Merges(none, none, np.zeros(0))
    return Merges(
        *(np.concatenate([getattr(p, name) for p in parts]) for name in ("a", "b", "probability"))
    )
