"""Rows to clusters with a model at hand, and decoding again what was clustered."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, Protocol

import numpy as np
import scipy.sparse as sp
import torch

from sklearn_hilander._clusters._growth import ClusterSettings, OnLevel, OnStage
from sklearn_hilander._clusters._known_clusters import KnownClusters, KnownGroups, numbered
from sklearn_hilander._clusters._merge_tree import components
from sklearn_hilander._constraints._node_constraints import NodeConstraints
from sklearn_hilander._constraints._row_constraints import RowConstraints
from sklearn_hilander._rows._distances import distance_graph
from sklearn_hilander._rows._embeddings import (
    Embeddings,
    canonical_embeddings,
    scale_again,
)
from sklearn_hilander._rows._graph_embedding import EmbeddedGraph, embed_graph
from sklearn_hilander._rows._row_scaler import RowScaler, fit_row_scaler
from sklearn_hilander._rows._row_source import RowSource
from sklearn_hilander._search._neighbors import build_neighbor_graph
from sklearn_hilander._types import Growth, Merges, NeighborGraph

_ALL_MERGES = "all_merges"


class Grower(Protocol):
    """A model, as this room needs it."""

    def reads_rows_on_cpu(self, device: torch.device) -> bool:
        """Whether the CPU reads neighbours' rows when they are clustered on a device."""

    def grow(
        self, source: RowSource, settings: ClusterSettings, **options: object
    ) -> tuple[Growth, NeighborGraph | None]:
        """Clusters of embeddings, level by level."""

    def merges_below(self, growth: Growth, constraints: Any) -> Merges:
        """Merges under the last threshold of a growth."""


def cluster_rows(
    X: np.ndarray,
    model: Grower,
    settings: ClusterSettings,
    on_level: OnLevel | None = None,
    constraints: RowConstraints | None = None,
    on_stage: OnStage | None = None,
) -> KnownClusters:
    """Cluster rows.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features), or csr_array of shape (n_samples, n_samples)
        Rows; or for "precomputed" their distances, of `check_distances`.
    model : Model
    settings : ClusterSettings
    on_level : callable, optional
    constraints : RowConstraints, optional
    on_stage : callable, optional

    Returns
    -------
    KnownClusters
    """
    by_cells = model.reads_rows_on_cpu(settings.device)
    embeddings, scaler, embedded = embed_rows(X, settings, by_cells=by_cells)
    faithful = settings.faithful and embedded is None
    nodes = np.arange(len(embeddings.inverse)) if faithful else embeddings.inverse
    source = None
    if embedded is None:
        features, embeddings = embeddings.features, embeddings.without_features()
        source = RowSource(partial(scale_again, X, scaler, embeddings), features)
        del features
    return cluster_embeddings(
        embeddings,
        scaler,
        nodes,
        model,
        settings,
        source=source,
        mean_features=X.astype(np.float32) if faithful else None,
        embedded=embedded,
        on_level=on_level,
        on_stage=on_stage,
        constraints=None if constraints is None else constraints.on_nodes(nodes),
        group_names=None if constraints is None else constraints.group_names,
    )


def cluster_embeddings(
    embeddings: Embeddings,
    scaler: RowScaler,
    nodes: np.ndarray,
    model: Grower,
    settings: ClusterSettings,
    *,
    source: RowSource | None = None,
    mean_features: np.ndarray | None = None,
    embedded: EmbeddedGraph | None = None,
    on_level: OnLevel | None = None,
    on_stage: OnStage | None = None,
    constraints: NodeConstraints | None = None,
    group_names: np.ndarray | None = None,
) -> KnownClusters:
    """Cluster rows that are embeddings already.

    Parameters
    ----------
    embeddings : Embeddings
        In canonical order.
    scaler : RowScaler
        That made them.
    nodes : ndarray of shape (n_samples,), int64
        Node of each sample.
    model : Model
    settings : ClusterSettings
    source : RowSource, optional
        Of the features of the embeddings, where these come without.
    mean_features : ndarray of shape (n_samples, n_features), float32, optional
        As in `grow_by_scorer`, where each sample is a node.
    embedded : EmbeddedGraph, optional
        That the embeddings were made for.
    on_level, on_stage : callable, optional
    constraints : NodeConstraints, optional
        On the nodes.
    group_names : ndarray of shape (n_groups,), optional
        Of the groups of `constraints`.

    Returns
    -------
    KnownClusters
    """
    source = source or RowSource.of(embeddings.features)
    if settings.faithful:
        growth, _ = model.grow(
            RowSource.of(source()[embeddings.inverse]),
            settings,
            mean_features=mean_features,
            on_level=on_level,
            on_stage=on_stage,
            constraints=constraints,
        )
        graph = None
    else:
        growth, graph = model.grow(
            source,
            settings,
            weights=embeddings.counts,
            on_level=on_level,
            on_stage=on_stage,
            constraints=constraints,
            **({} if embedded is None else {"embedded": embedded}),
        )
    if embedded is not None:
        graph = NeighborGraph(
            torch.from_numpy(embedded.indices), torch.from_numpy(embedded.similarities)
        )
    elif graph is None:
        distinct = torch.from_numpy(source()).to(settings.device)
        graph = build_neighbor_graph(distinct, settings.n_neighbors, **settings.search())
    groups = None
    if constraints is not None and group_names is not None:
        groups = KnownGroups(group_names, constraints.members)
    known = KnownClusters(
        scaler=scaler,
        embeddings=replace(embeddings, features=source()),
        graph_indices=graph.indices.cpu().numpy(),
        graph_similarities=graph.similarities.cpu().numpy(),
        nodes=nodes,
        partition=growth.labels[-1],
        number=np.zeros(0, dtype=np.int64),
        n_clusters=0,
        linkage_threshold=settings.linkage_threshold,
        min_cluster_size=settings.min_cluster_size,
        n_clustered=len(nodes),
        growth=growth,
        constraints=constraints,
        groups=groups,
    )
    return numbered(known)


def embed_rows(
    X: np.ndarray, settings: ClusterSettings, *, by_cells: bool
) -> tuple[Embeddings, RowScaler, EmbeddedGraph | None]:
    """Embeddings of rows, or of what stands for them where distances alone are known.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features), or csr_array of shape (n_samples, n_samples)
        As in `cluster_rows`.
    settings : ClusterSettings
    by_cells : bool
        As in `canonical_embeddings`.

    Returns
    -------
    embeddings : Embeddings
    scaler : RowScaler
        That made them.
    embedded : EmbeddedGraph or None
        That they were made for.
    """
    if settings.metric == "precomputed":
        return _embed_distances(X, settings.n_neighbors)
    scaler = fit_row_scaler(X, settings.metric, settings.n_neighbors)
    return canonical_embeddings(X, scaler, by_cells=by_cells), scaler, None


def _embed_distances(
    distances: sp.csr_array, n_neighbors: int
) -> tuple[Embeddings, RowScaler, EmbeddedGraph]:
    """Embeddings of rows of which distances alone are known.

    Parameters
    ----------
    distances : csr_array of shape (n_samples, n_samples)
        Of `check_distances`.
    n_neighbors : int

    Returns
    -------
    embeddings : Embeddings
        Their hashes tell rows apart and nothing else: new rows have none to match.
    scaler : RowScaler
        Its scale is the distance of similarity 0.
    embedded : EmbeddedGraph
    """
    graph = distance_graph(distances, n_neighbors)
    embedded = embed_graph(graph, n_neighbors)
    hashes = np.arange(len(graph.first), dtype=np.uint64)
    embeddings = Embeddings(embedded.features, graph.inverse, graph.counts, hashes, graph.first)
    # In the unit of those given, to which new rows will be compared.
    with np.errstate(over="ignore", under="ignore"):
        far = np.ldexp(embedded.far, graph.exponent)
    limits = np.finfo(np.float64)
    far = float(np.clip(far, limits.tiny, limits.max))
    return embeddings, RowScaler("precomputed", scale=far), embedded


def decode_again(
    known: KnownClusters,
    model: Grower,
    min_cluster_size: int | None,
    linkage_threshold: float | None,
) -> KnownClusters:
    """Clusters at another threshold or minimum size, from the merges that were found.

    Parameters
    ----------
    known : KnownClusters
    model : Model
    min_cluster_size, linkage_threshold
        None leaves it as it is.

    Returns
    -------
    KnownClusters
    """
    decoded = known
    if min_cluster_size is not None:
        decoded = replace(decoded, min_cluster_size=min_cluster_size)
    if linkage_threshold is not None:
        merges = _merges_down_to(linkage_threshold, known, model)
        decoded = replace(
            decoded,
            partition=components(merges, len(known.partition), linkage_threshold),
            linkage_threshold=linkage_threshold,
        )
    decoded = numbered(decoded)
    if _ALL_MERGES in known.views:
        # They are of the growth, and that stays.
        decoded.views[_ALL_MERGES] = known.views[_ALL_MERGES]
    return decoded


def all_merges(known: KnownClusters, model: Grower) -> Merges:
    """Merges over the nodes, those under the last threshold included; found once."""
    if _ALL_MERGES not in known.views:
        known.views[_ALL_MERGES] = model.merges_below(known.growth, known.constraints)
    return known.views[_ALL_MERGES]


def with_merges_that_made_it(known: KnownClusters, model: Grower) -> KnownClusters:
    """The same clusters with all merges, where those of their growth end above their threshold."""
    merges = _merges_down_to(known.linkage_threshold, known, model)
    if merges is known.growth.merges:
        return known
    return replace(known, growth=replace(known.growth, merges=merges))


def _merges_down_to(threshold: float, known: KnownClusters, model: Grower) -> Merges:
    """Merges of the growth; all there are, if these end above a threshold."""
    below = threshold < known.growth.thresholds[-1]
    return all_merges(known, model) if below else known.growth.merges
