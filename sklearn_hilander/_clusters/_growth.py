"""Embeddings to hierarchy, by the level loop or by the rounds of the judge."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sklearn_hilander._constraints._node_constraints import NodeConstraints
from sklearn_hilander._levels._decode import constrain_forest, decode_forest
from sklearn_hilander._levels._hierarchy import grow_hierarchy
from sklearn_hilander._levels._level_record import growth_of_levels, peaks_of, rank_of
from sklearn_hilander._rounds._cluster_rounds import cluster_by_relations
from sklearn_hilander._rounds._relational import RelationalModel, graph_builder
from sklearn_hilander._rows._graph_embedding import EmbeddedGraph, GraphBuilderWithin
from sklearn_hilander._rows._row_source import RowSource
from sklearn_hilander._search._neighbors import build_neighbor_graph
from sklearn_hilander._types import (
    EdgeScores,
    Forest,
    Growth,
    Level,
    NeighborGraph,
    concatenate_merges,
)

# Share of the largest coordinate that a center must be off by to be moved.
_OFF_CENTER = 1e-4
# (level, nodes before, nodes after)
OnLevel = Callable[[int, int, int], None]
# What is being done from now on, in words.
OnStage = Callable[[str], None]


@dataclass(frozen=True)
class ClusterSettings:
    """Parameters of one clustering; names as in `HiLanderClustering`."""

    n_neighbors: int
    linkage_threshold: float
    max_levels: int | None
    min_cluster_size: int
    metric: str
    algorithm: str
    n_threads: int
    device: torch.device
    faithful: bool

    def search(self, metric: str | None = None) -> dict[str, Any]:
        """Keyword arguments of `build_neighbor_graph`, for another metric if given.

        Embeddings made for a graph of distances are unit rows.
        """
        metric = metric or self.metric
        metric = "cosine" if metric == "precomputed" else metric
        return dict(metric=metric, algorithm=self.algorithm, n_threads=self.n_threads)


def grow_by_scorer(
    features: np.ndarray,
    scorer: Callable,
    settings: ClusterSettings,
    *,
    weights: np.ndarray | None = None,
    mean_features: np.ndarray | None = None,
    embedded: EmbeddedGraph | None = None,
    constraints: NodeConstraints | None = None,
    on_level: OnLevel | None = None,
    on_stage: OnStage | None = None,
) -> tuple[Growth, NeighborGraph | None]:
    """Run the level loop on embeddings.

    Parameters
    ----------
    features : ndarray of shape (n_nodes, n_features), float32
    scorer : callable
        Level -> EdgeScores.
    settings : ClusterSettings
    weights, mean_features
        As in `iterate_levels`.
    embedded : EmbeddedGraph, optional
        That the embeddings were made for: level 0 has its edges, and no level has edges between its
        components.
    constraints : NodeConstraints, optional
    on_level, on_stage : callable, optional

    Returns
    -------
    growth : Growth
    graph : NeighborGraph or None
        Of level 0; None if there is one node only.
    """
    if on_stage is not None:
        on_stage("the level loop")
    threshold = settings.linkage_threshold
    scored: list[EdgeScores] = []
    labels = np.arange(len(features))

    def to_device(array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(settings.device)

    def decode(level: Level, scores: EdgeScores) -> Forest:
        nonlocal labels
        scored.append(scores)
        strict = settings.faithful
        if constraints is None and embedded is None:
            return decode_forest(level.graph, scores, threshold, strict=strict)
        indices = level.graph.indices.cpu().numpy()
        free = np.ones(indices.shape, dtype=bool)
        if embedded is not None:
            part = embedded.components[level.peaks.cpu().numpy()]
            free = part[indices] == part[:, None]
        if constraints is not None:
            nodes = np.repeat(np.arange(len(indices)), indices.shape[1])
            forbidden = constraints.conflicting(labels, len(indices), nodes, indices.reshape(-1))
            free &= ~forbidden.reshape(indices.shape)
        allowed = to_device(free)
        forest = decode_forest(level.graph, scores, threshold, strict=strict, allowed=allowed)
        if constraints is None:
            return forest
        forest = constrain_forest(
            forest, scores.density, constraints, labels, join=level.depth == 0
        )
        labels = forest.labels.cpu().numpy()[labels]
        return forest

    def report(level: Level, forest: Forest) -> None:
        if on_level is not None:
            on_level(level.depth, level.graph.n_nodes, len(forest.roots))

    whole = settings.faithful and constraints is None
    given = None
    if embedded is not None:
        k = min(settings.n_neighbors, embedded.indices.shape[1])
        given = NeighborGraph(
            to_device(np.ascontiguousarray(embedded.indices[:, :k])),
            to_device(np.ascontiguousarray(embedded.similarities[:, :k])),
        )
    levels, trace = grow_hierarchy(
        to_device(features),
        scorer,
        n_neighbors=settings.n_neighbors,
        early_stop=settings.faithful,
        on_level=report,
        build_graph=partial(
            build_neighbor_graph, n_neighbors=settings.n_neighbors, **settings.search()
        ),
        decode=decode,
        max_levels=settings.max_levels,
        min_nodes=settings.n_neighbors + 2 if whole else 2,
        weights=None if weights is None else to_device(weights),
        mean_features=None if mean_features is None else to_device(mean_features),
        graph=given,
    )
    return growth_of_levels(
        levels, trace, scored, threshold, settings.faithful, constraints
    ), trace[0][0].graph if trace else None


def grow_by_relations(
    source: RowSource,
    model: RelationalModel,
    settings: ClusterSettings,
    *,
    weights: np.ndarray | None = None,
    embedded: EmbeddedGraph | None = None,
    constraints: NodeConstraints | None = None,
    on_level: OnLevel | None = None,
    on_stage: OnStage | None = None,
) -> tuple[Growth, NeighborGraph | None]:
    """Run the rounds of the judge on embeddings; each threshold is a level.

    Parameters
    ----------
    source : RowSource
        Of the embeddings, (n_nodes, n_features), float32.
    model : RelationalModel
    settings : ClusterSettings
    weights : ndarray of shape (n_nodes,), optional
    embedded : EmbeddedGraph, optional
        That the embeddings were made for: no pair is further apart than it leads.
    constraints : NodeConstraints, optional
    on_level, on_stage : callable, optional

    Returns
    -------
    growth : Growth
        The peak of a cluster is its member with the largest sum of linkage probabilities.
    graph : NeighborGraph or None
        None too if it is not one of the metric's similarities.
    """
    if weights is None:
        weights = np.ones(len(source()), dtype=np.float32)
    if embedded is None:
        source = source.through(partial(on_sphere, metric=settings.metric))
    judged = cluster_by_relations(
        source,
        weights,
        model,
        graph_builder(settings.n_neighbors, device=settings.device, **settings.search("cosine"))
        if embedded is None
        else GraphBuilderWithin(embedded, settings.n_neighbors),
        settings.linkage_threshold,
        settings.max_levels,
        constraints,
        on_level,
        on_stage,
    )
    prominence = rank_of(judged.density)
    growth = Growth(
        labels=judged.levels,
        peaks=tuple(peaks_of(labels, prominence) for labels in judged.levels),
        thresholds=judged.thresholds,
        merges=concatenate_merges(judged.rounds.log.merges if judged.rounds else judged.merges),
        links=judged.links,
        reviewed=concatenate_merges([]),
        prominence=prominence,
        rounds=judged.rounds,
    )
    graph = judged.graph
    if graph is None or settings.metric != "cosine":
        return growth, None
    return growth, NeighborGraph(
        torch.from_numpy(graph.indices), torch.from_numpy(graph.similarities)
    )


def on_sphere(features: np.ndarray, metric: str) -> np.ndarray:
    """Embeddings as unit rows, which relations are taken of.

    For "euclidean" rows get one more coordinate, the root mean square of their lengths, and are
    projected from there onto the sphere: near rows keep the order of their distances.

    Relations do not change when the rows are turned, and fewer rows than coordinates span no more
    dimensions than there are rows: so many coordinates are given, or 10,000 of them would make
    whitening solve for the axes of a 10,000 x 10,000 covariance.

    Parameters
    ----------
    features : ndarray of shape (n_nodes, n_features), float32
    metric : {"cosine", "euclidean", "precomputed"}
        Embeddings made for a graph of distances are unit rows.

    Returns
    -------
    ndarray of shape (n_nodes, n_coordinates), float32
    """
    if metric != "euclidean":
        return _within_span(features)
    # A fit centres its rows. Those of a stream have the center of its first rows.
    center = features.min(axis=0) / 2 + features.max(axis=0) / 2
    if np.abs(center).max() > _OFF_CENTER * np.abs(features).max():
        features = features - center
    squares = (features.astype(np.float64) ** 2).sum(axis=1, keepdims=True)
    height = np.sqrt(squares.mean()) or 1.0
    lifted = np.hstack([features, np.full((len(features), 1), height)])
    return _within_span((lifted / np.sqrt(squares + height**2)).astype(np.float32))


def _within_span(rows: np.ndarray) -> np.ndarray:
    """The same rows by at most as many coordinates as there are rows, turned."""
    if rows.shape[1] <= rows.shape[0]:
        return rows
    triangle: Any = np.linalg.qr(rows.T.astype(np.float64), mode="r")
    return triangle.T.astype(np.float32)
