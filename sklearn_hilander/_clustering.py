"""Rows to clusters with a scorer at hand, and new rows to the clusters of old ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from sklearn_hilander._embeddings import (
    Embeddings,
    RowScaler,
    canonical_embeddings,
    fit_row_scaler,
    match_rows,
)
from sklearn_hilander._growth import ClusterSettings, OnLevel
from sklearn_hilander._neighbors import build_neighbor_graph, query_neighbors
from sklearn_hilander._types import Hierarchy, Level, NeighborGraph


@dataclass(frozen=True)
class KnownClusters:
    """Clusters of fitted rows, and what it takes to join new rows to them.

    Attributes
    ----------
    scaler : RowScaler
    embeddings : Embeddings
        Of the fitted rows.
    graph_indices, graph_similarities : ndarray of shape (n_distinct, n_neighbors)
        Level-0 graph of the distinct rows.
    labels : ndarray of shape (n_distinct,), int64
        Cluster of each distinct row, or -1.
    n_clusters : int
    """

    scaler: RowScaler
    embeddings: Embeddings
    graph_indices: np.ndarray
    graph_similarities: np.ndarray
    labels: np.ndarray
    n_clusters: int


class Grower(Protocol):
    """A model, as this room needs it."""

    def grow(
        self, features: np.ndarray, settings: ClusterSettings, **options: object
    ) -> tuple[Hierarchy, NeighborGraph | None]:
        """Hierarchy of embeddings."""

    def join_scorer(self) -> Callable:
        """What scores the edges of a new row to its known neighbours."""

    def join_threshold(self, linkage_threshold: float) -> float:
        """Score above which a new row joins its neighbour's cluster."""


def cluster_rows(
    X: np.ndarray, model: Grower, settings: ClusterSettings, on_level: OnLevel | None = None
) -> tuple[np.ndarray, Hierarchy, KnownClusters]:
    """Cluster rows.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
    model : Model
    settings : ClusterSettings
    on_level : callable, optional

    Returns
    -------
    labels : ndarray of shape (n_samples,), int64
    hierarchy : Hierarchy
        Over the samples as given.
    known : KnownClusters
    """
    scaler = fit_row_scaler(X, settings.metric, settings.n_neighbors)
    embeddings = canonical_embeddings(X, scaler)
    if settings.faithful:
        raw = X.astype(np.float32)
        unit = embeddings.features[embeddings.inverse]
        hierarchy, _ = model.grow(unit, settings, mean_features=raw, on_level=on_level)
        graph = None
    else:
        hierarchy, graph = model.grow(
            embeddings.features, settings, weights=embeddings.counts, on_level=on_level
        )
        hierarchy = _over_samples(hierarchy, embeddings)
    labels = finalize_labels(hierarchy.labels[-1], settings.min_cluster_size)
    if graph is None:
        distinct = torch.from_numpy(embeddings.features)
        graph = build_neighbor_graph(distinct, settings.n_neighbors, **settings.search())
    known = KnownClusters(
        scaler=scaler,
        embeddings=embeddings,
        graph_indices=graph.indices.cpu().numpy(),
        graph_similarities=graph.similarities.cpu().numpy(),
        labels=labels[embeddings.first],
        n_clusters=int(labels.max()) + 1,
    )
    return labels, hierarchy, known


def assign_rows(
    X: np.ndarray, known: KnownClusters, model: Grower, settings: ClusterSettings
) -> np.ndarray:
    """Join rows to known clusters, or open new ones.

    An exact copy of a fitted row gets its label. A row joins the cluster of the fitted neighbour
    with the highest linkage probability above the threshold. All other rows are clustered among
    themselves and get the next free labels.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
    known : KnownClusters
    model : Model
    settings : ClusterSettings

    Returns
    -------
    ndarray of shape (n_samples,), int64
    """
    new = canonical_embeddings(X, known.scaler)
    copies = match_rows(new, known.embeddings)
    labels = np.where(copies >= 0, known.labels[copies], -1)
    pending = np.flatnonzero(copies < 0)
    if len(pending):
        joined = _join(new.features[pending], known, model, settings)
        labels[pending] = joined
        pending = pending[joined < 0]
    if len(pending):
        hierarchy, _ = model.grow(new.features[pending], settings, weights=new.counts[pending])
        rows = np.full(len(labels), -1)
        rows[pending] = hierarchy.labels[-1]
        over_samples = rows[new.inverse]
        is_pending = over_samples >= 0
        opened = finalize_labels(over_samples[is_pending], settings.min_cluster_size)
        out = labels[new.inverse]
        out[is_pending] = np.where(opened >= 0, opened + known.n_clusters, -1)
        return out
    return labels[new.inverse]


def finalize_labels(labels: np.ndarray, min_cluster_size: int) -> np.ndarray:
    """Number clusters in the order of their first rows; those under the minimum size get -1.

    Parameters
    ----------
    labels : ndarray of shape (n_samples,), int64
        Contiguous from 0.
    min_cluster_size : int

    Returns
    -------
    ndarray of shape (n_samples,), int64
    """
    sizes = np.bincount(labels)
    _, first = np.unique(labels, return_index=True)
    large = np.flatnonzero(sizes >= min_cluster_size)
    number = np.full(len(sizes), -1, dtype=np.int64)
    number[large[np.argsort(first[large])]] = np.arange(len(large))
    return number[labels]


def _over_samples(hierarchy: Hierarchy, embeddings: Embeddings) -> Hierarchy:
    """The same hierarchy, over the samples instead of their distinct rows."""
    return Hierarchy(
        tuple(labels[embeddings.inverse] for labels in hierarchy.labels),
        tuple(embeddings.first[peaks] for peaks in hierarchy.peaks),
    )


def _join(
    features: np.ndarray, known: KnownClusters, model: Grower, settings: ClusterSettings
) -> np.ndarray:
    """Label of the known cluster that each new row joins, or -1."""
    scorer = model.join_scorer()
    level, nodes, members = _neighborhood_level(features, known, scorer, settings)
    scores = scorer(level, nodes)
    member_labels = torch.from_numpy(known.labels[members])
    labels = member_labels.to(settings.device)[level.graph.indices[nodes]]
    eligible = (
        (scores.linkage > model.join_threshold(settings.linkage_threshold))
        & (level.graph.similarities[nodes] > 0)
        & (labels >= 0)
    )
    best, column = scores.linkage.masked_fill(~eligible, -1.0).max(dim=1)
    joined = labels.gather(1, column[:, None])[:, 0]
    return torch.where(best >= 0, joined, torch.full_like(joined, -1)).cpu().numpy()


def _neighborhood_level(
    features: np.ndarray, known: KnownClusters, scorer: Callable, settings: ClusterSettings
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
