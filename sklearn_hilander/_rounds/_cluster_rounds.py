"""Embeddings to clusters by the rounds of the judge."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from sklearn_hilander._constraints._node_constraints import NodeConstraints
from sklearn_hilander._graph._pair_graph import PairGraph, PairGraphBuilder
from sklearn_hilander._graph._pairs import pair_sum
from sklearn_hilander._memory import give_back_memory
from sklearn_hilander._rounds._cluster_merges import merge
from sklearn_hilander._rounds._cluster_pairs import single_samples
from sklearn_hilander._rounds._merge_log import MergeLog
from sklearn_hilander._rounds._nested_rounds import Rounds, rounds_through
from sklearn_hilander._rounds._relational import RelationalModel
from sklearn_hilander._rows._row_source import RowSource
from sklearn_hilander._types import Merges


@dataclass(frozen=True)
class JudgedClusters:
    """What clustering by relations leaves.

    Attributes
    ----------
    levels : tuple of ndarray of shape (n_samples,), int64
        Labels after each threshold.
    thresholds : tuple of float
    density : ndarray of shape (n_samples,)
        Sum of each sample's linkage probabilities.
    links : Merges
        Pairs of samples and their linkage probability.
    graph : PairGraph or None
        Of the embeddings as given, without its pairs; None for one sample.
    rounds : Rounds or None
        None where no sample has a neighbour.
    merges : tuple of Merges
        Where there were no rounds: what had to be together.
    """

    levels: tuple[np.ndarray, ...]
    thresholds: tuple[float, ...]
    density: np.ndarray
    links: Merges
    graph: PairGraph | None
    rounds: Rounds | None
    merges: tuple[Merges, ...] = ()


def cluster_by_relations(
    source: RowSource,
    weights: np.ndarray,
    model: RelationalModel,
    build_graph: PairGraphBuilder,
    linkage_threshold: float,
    max_levels: int | None = None,
    constraints: NodeConstraints | None = None,
    on_level: Callable[[int, int, int], None] | None = None,
    on_stage: Callable[[str], None] | None = None,
) -> JudgedClusters:
    """Cluster embeddings.

    Parameters
    ----------
    source : RowSource
        Of unit rows, (n_samples, n_features), float32.
    weights : ndarray of shape (n_samples,)
        How many rows each sample stands for.
    model : RelationalModel
    build_graph : PairGraphBuilder
    linkage_threshold : float
    max_levels : int, optional
    constraints : NodeConstraints, optional
    on_level : callable, optional
        Called after each level, with its number and the numbers of clusters before and after it.
    on_stage : callable, optional
        Called with what is done from then on.

    Returns
    -------
    JudgedClusters
    """
    n_samples = len(source())

    def begin(what: str) -> None:
        if on_stage is not None:
            on_stage(what)

    def build_again(*whitened: Any) -> PairGraph:
        begin("the search for neighbours after whitening")
        again = build_graph(*whitened)
        begin(f"linkage of {len(again.i):,} pairs after whitening")
        return again

    def for_flows(graphs: Iterator[PairGraph]) -> Iterator[PairGraph]:
        for graph in graphs:
            begin(f"clusters of flows along up to {graph.n_neighbors} neighbours")
            # They read neighbours alone.
            graph.give_up("features")
            source.let_go()
            yield graph

    begin("the search for neighbours")
    if n_samples == 1:
        return _without_neighbors(n_samples, None, linkage_threshold, constraints)
    is_stable, in_doubt = model.decoder.kind == "stable", model.may_be_too_sure_of(n_samples)
    graphs = build_graph.widening(source) if is_stable else iter([build_graph(source())])
    if is_stable or in_doubt:
        graphs = for_flows(graphs)
    n_neighbors = min(build_graph.n_neighbors, n_samples - 1)
    cut, graph, near = model.decoder.cut(graphs, n_neighbors, in_doubt=in_doubt)
    # Neighbours are kept; rows, pairs and all else are no longer needed.
    kept = replace(graph)
    kept.give_up("features")
    del graphs, graph
    if not (kept.similarities > 0).any():
        return _without_neighbors(n_samples, _as_saved(kept), linkage_threshold, constraints)
    begin(f"linkage of {len(near.i):,} pairs")
    near.take_back(source())
    links = model.linkage(near, build_again, source)
    del near
    give_back_memory()
    i, j = links.graph.i, links.graph.j
    # Sums are all that is needed of the views: each is given up once it has been seen.
    views = list(links.views)
    links = replace(links, views=())
    clusters = single_samples(links, weights, _given_up(views))
    give_back_memory()
    log = MergeLog.of_samples(clusters.n_clusters)

    def record(*merged: Any) -> None:
        nonlocal log
        log = log.record(*merged)

    if constraints is not None and len(constraints.must):
        a, b = constraints.must.T
        clusters, new_of = merge(clusters, a, b)
        record(a, b, np.ones(len(a)), 1.0, new_of)
    begin("clusters of the linkage")

    def tell_of_cut(share: float) -> None:
        begin(f"the cut by a flow, which keeps {share:.0%} of the pairs of these clusters")

    partition = model.decoder(links, clusters, model.judge, constraints, cut, tell_of_cut)
    del cut
    begin("levels of the clusters")
    rounds = rounds_through(partition, clusters, model, linkage_threshold, record, constraints)
    levels: list[np.ndarray] = []
    thresholds = []
    for threshold, clusters in islice(rounds, max_levels):
        if on_level is not None:
            before = int(levels[-1].max()) + 1 if levels else n_samples
            on_level(len(levels), before, clusters.n_clusters)
        levels.append(clusters.labels)
        thresholds.append(threshold)
    return JudgedClusters(
        levels=tuple(levels),
        thresholds=tuple(thresholds),
        density=pair_sum(links.probability, i, j, n_samples),
        links=Merges(i, j, links.probability.astype(np.float64)),
        graph=_as_saved(kept),
        rounds=Rounds(clusters, log, thresholds[-1], partition),
    )


def _as_saved(graph: PairGraph) -> PairGraph:
    """The graph with neighbours of the type that files have."""
    return replace(graph, indices=graph.indices.astype(np.int64))


def _given_up(parts: list[np.ndarray]) -> Iterator[np.ndarray]:
    """Each part in turn; the list lets go of it, so that its memory can be freed."""
    while parts:
        yield parts.pop(0)


def _without_neighbors(
    n_samples: int,
    graph: PairGraph | None,
    threshold: float,
    constraints: NodeConstraints | None,
) -> JudgedClusters:
    """Each sample alone, but for what must be together."""
    a, b = np.zeros((2, 0), dtype=np.int64) if constraints is None else constraints.must.T
    _, labels = connected_components(
        sp.coo_array((np.ones(len(a)), (a, b)), shape=(n_samples, n_samples)), directed=False
    )
    none = np.zeros(0, dtype=np.int64)
    return JudgedClusters(
        levels=(labels.astype(np.int64),),
        thresholds=(threshold,),
        density=np.zeros(n_samples),
        links=Merges(none, none, np.zeros(0)),
        graph=graph,
        rounds=None,
        merges=(Merges(a, b, np.ones(len(a))),),
    )
