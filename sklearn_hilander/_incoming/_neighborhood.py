"""Scores of new rows by their neighbourhood among known ones, for scorers of the level loop."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from sklearn_hilander._clusters._growth import ClusterSettings
from sklearn_hilander._clusters._known_clusters import KnownClusters
from sklearn_hilander._incoming._joining import Candidates, best_by_part
from sklearn_hilander._search._neighbors import query_neighbors
from sklearn_hilander._types import EdgeScores, Level, NeighborGraph


class NeighborhoodScorer(Protocol):
    """Scores of some nodes of a level."""

    @property
    def n_hops(self) -> int:
        """Rings of neighbours that decide a node's scores."""

    @property
    def max_neighbors(self) -> int | None:
        """Most neighbours that it looks at; None for all."""

    def __call__(self, level: Level, nodes: Tensor) -> EdgeScores:
        """Scores of the edges of these nodes."""


def score_neighborhoods(
    features: np.ndarray,
    known: KnownClusters,
    scorer: NeighborhoodScorer,
    settings: ClusterSettings,
) -> Candidates:
    """Candidates of new rows: the parts of their known neighbours, by linkage probability.

    Parameters
    ----------
    features : ndarray of shape (n_new, n_features), float32
    known : KnownClusters
    scorer : NeighborhoodScorer
    settings : ClusterSettings

    Returns
    -------
    Candidates
    """
    level, nodes, members = _neighborhood_level(features, known, scorer, settings)
    scores = scorer(level, nodes)
    indices = level.graph.indices[nodes].cpu().numpy()
    is_edge = (level.graph.similarities[nodes] > 0).cpu().numpy()
    linkage = scores.linkage.cpu().numpy()[is_edge].astype(np.float64)
    rows = np.repeat(np.arange(len(features)), indices.shape[1]).reshape(indices.shape)[is_edge]
    neighbors = members[indices[is_edge]]
    return best_by_part(rows, known.row_parts[neighbors], linkage, neighbors)


def _neighborhood_level(
    features: np.ndarray,
    known: KnownClusters,
    scorer: NeighborhoodScorer,
    settings: ClusterSettings,
) -> tuple[Level, Tensor, np.ndarray]:
    """A level of the new rows and just those fitted rows that decide their scores.

    Returns
    -------
    level : Level
        Fitted rows first, then the new ones. Rows of the last ring have no edges.
    nodes : Tensor of shape (n_new,)
        The new rows.
    members : ndarray of shape (n_fitted_in_level,)
        Distinct fitted row of each of the first nodes.
    """
    rows = torch.from_numpy(features)
    fitted = torch.from_numpy(known.embeddings.features)
    device = settings.device
    n_neighbors = min(settings.n_neighbors, scorer.max_neighbors or settings.n_neighbors)
    found = query_neighbors(rows.to(device), fitted.to(device), n_neighbors, metric=settings.metric)
    indices, similarities = found.indices.cpu().numpy(), found.similarities.cpu().numpy()
    inner = members = np.unique(indices)
    for _ in range(scorer.n_hops - 1):
        inner = members
        members = np.union1d(members, known.graph_indices[members, :n_neighbors])
    n_new, width = len(rows), indices.shape[1]
    graph_indices = np.zeros((len(members) + n_new, width), dtype=np.int64)
    graph_similarities = np.zeros(graph_indices.shape, dtype=np.float32)
    at, k = np.searchsorted(members, inner), min(width, known.graph_indices.shape[1])
    graph_indices[at, :k] = np.searchsorted(members, known.graph_indices[inner, :k])
    graph_similarities[at, :k] = known.graph_similarities[inner, :k]
    graph_indices[len(members) :] = np.searchsorted(members, indices)
    graph_similarities[len(members) :] = similarities
    level_features = torch.cat([fitted[torch.from_numpy(members)], rows]).to(device)
    graph = NeighborGraph(
        torch.from_numpy(graph_indices).to(device), torch.from_numpy(graph_similarities).to(device)
    )
    every = torch.arange(len(level_features), device=device)
    sizes = torch.ones(len(level_features), device=device)
    level = Level(0, graph, level_features, level_features, sizes, every)
    return level, every[len(members) :], members
