"""The one level loop: graph, scores, forest, supernodes, again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import torch
from torch import Tensor

from sklearn_hilander._levels._supernodes import supernode_means
from sklearn_hilander._types import EdgeScores, Forest, Level, Levels, NeighborGraph

GraphBuilder = Callable[[Tensor], NeighborGraph]
Scorer = Callable[[Level], EdgeScores]
Decoder = Callable[[Level, EdgeScores], Forest]


def iterate_levels(
    features: Tensor,
    scorer: Scorer,
    *,
    build_graph: GraphBuilder,
    decode: Decoder,
    max_levels: int | None,
    weights: Tensor | None = None,
    mean_features: Tensor | None = None,
    graph: NeighborGraph | None = None,
    min_nodes: int = 2,
) -> Iterator[tuple[Level, Forest]]:
    """Yield each level with its forest, until `max_levels` or fewer than `min_nodes` nodes.

    The caller stops earlier by leaving the loop.

    Parameters
    ----------
    features : Tensor of shape (n_samples, n_features)
        Embeddings that the graphs are built on.
    scorer : callable
        Level -> EdgeScores.
    build_graph : callable
        Tensor of shape (n_nodes, n_features) -> NeighborGraph.
    decode : callable
        (Level, EdgeScores) -> Forest.
    max_levels : int or None
        None means no limit: the caller stops.
    weights : Tensor of shape (n_samples,), optional
        How many rows each sample stands for; 1 by default.
    mean_features : Tensor of shape (n_samples, n_features), optional
        Embeddings that mean features of supernodes average; `features` by default.
    graph : NeighborGraph, optional
        Graph of level 0, where it is known already.
    min_nodes : int, default=2

    Yields
    ------
    level : Level
    forest : Forest
    """
    device = features.device
    if weights is None:
        weights = torch.ones(features.shape[0], device=device)
    if mean_features is None:
        mean_features = features
    peaks = torch.arange(features.shape[0], device=device)
    labels = peaks
    peak_features, means, sizes = features, features, weights
    for depth in count() if max_levels is None else range(max_levels):
        if peaks.shape[0] < min_nodes:
            return
        if depth > 0 or graph is None:
            graph = build_graph(peak_features)
        level = Level(depth, graph, peak_features, means, sizes, peaks)
        forest = decode(level, scorer(level))
        yield level, forest
        labels = forest.labels[labels]
        peaks = peaks[forest.roots]
        peak_features = features[peaks]
        means, sizes = supernode_means(mean_features, labels, peaks.shape[0], weights)


def grow_hierarchy(
    features: Tensor,
    scorer: Scorer,
    *,
    n_neighbors: int,
    early_stop: bool = False,
    on_level: Callable[[Level, Forest], None] | None = None,
    **loop: Any,
) -> tuple[Levels, list[tuple[Level, Forest]]]:
    """Cluster by running the level loop until a level adds no edge.

    Parameters
    ----------
    features : Tensor of shape (n_samples, n_features)
    scorer : callable
        Level -> EdgeScores.
    n_neighbors : int
        Used by the early stop only; `build_graph` decides the graphs.
    early_stop : bool, default=False
        The authors' rule: stop when (edges of the level before) / (edges of this level) is less
        than `n_neighbors`.
    on_level : callable, optional
        Called with each level and its forest, for progress.
    **loop
        As in `iterate_levels`.

    Returns
    -------
    levels : Levels
    trace : list of (Level, Forest)
    """
    labels = torch.arange(features.shape[0], device=features.device)
    level_labels, level_peaks, trace = [], [], []
    edges_before = float("inf")
    for level, forest in iterate_levels(features, scorer, **loop):
        labels = forest.labels[labels]
        level_labels.append(labels.cpu().numpy())
        level_peaks.append(level.peaks[forest.roots].cpu().numpy())
        trace.append((level, forest))
        if on_level is not None:
            on_level(level, forest)
        if forest.n_edges == 0:
            break
        if early_stop and edges_before / forest.n_edges < n_neighbors:
            break
        edges_before = forest.n_edges
    if not level_labels:
        level_labels.append(labels.cpu().numpy())
        level_peaks.append(labels.cpu().numpy())
    return Levels(tuple(level_labels), tuple(level_peaks)), trace
