"""What can be asked of a clustering, computed when it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import numpy as np
import scipy.sparse as sp

from sklearn_hilander._clusters._clustering import Grower, all_merges
from sklearn_hilander._clusters._growth import ClusterSettings
from sklearn_hilander._clusters._known_clusters import KnownClusters
from sklearn_hilander._clusters._membership import (
    each_once,
    largest_of_rows,
    linked_to_peak,
    shares,
    strongest,
)
from sklearn_hilander._clusters._merge_tree import Hierarchy, spanning_forest
from sklearn_hilander._clusters._review import merge_candidates, split_candidates, table
from sklearn_hilander._incoming._joining import Joiner
from sklearn_hilander._levels._level_record import peaks_of
from sklearn_hilander._rows._embeddings import canonical_embeddings, match_rows
from sklearn_hilander._types import Merges, concatenate_merges


class Judging(Grower, Protocol):
    """A model, as this room needs it."""

    def judged(self, growth: Any) -> Merges | None:
        """Pairs of clusters and the probability that they are one."""


def once(compute: Callable) -> Callable:
    """Keep the result of a function of known clusters with them."""

    def kept(known: KnownClusters, *args: object) -> Any:
        if compute.__name__ not in known.views:
            known.views[compute.__name__] = compute(known, *args)
        return known.views[compute.__name__]

    kept.__name__, kept.__doc__ = compute.__name__, compute.__doc__
    return kept


@once
def node_labels(known: KnownClusters) -> np.ndarray:
    """Label of each node, (n_nodes,), int64."""
    return known.number[known.partition]


@once
def peaks(known: KnownClusters) -> np.ndarray:
    """Node that is the peak of each cluster, (n_clusters,), int64."""
    return peaks_of(node_labels(known), known.growth.prominence)


@once
def exemplars(known: KnownClusters) -> np.ndarray:
    """Sample that is the peak of each cluster, (n_clusters,), int64."""
    return known.first[peaks(known)]


@once
def sizes(known: KnownClusters) -> np.ndarray:
    """Samples of each cluster, (n_clusters,), int64."""
    return np.bincount(known.labels[known.labels >= 0], minlength=known.n_clusters)


@once
def centers(known: KnownClusters) -> np.ndarray:
    """Mean embedding of each cluster, (n_clusters, n_features), float64."""
    inside = known.labels >= 0
    rows, n = known.embeddings.inverse[inside], known.n_clusters
    shape = (n, len(known.embeddings.features))
    pool = sp.csr_array((np.ones(len(rows)), (known.labels[inside], rows)), shape=shape)
    means = (pool @ known.embeddings.features.astype(np.float64)) / sizes(known)[:, None]
    if known.scaler.metric == "euclidean":
        means = means * known.scaler.scale + known.scaler.center
    return means


@once
def tree(known: KnownClusters, model: Judging) -> Merges:
    """Spanning forest of the merges behind the labels, over the nodes."""
    merges = known.growth.merges
    if known.linkage_threshold < known.growth.thresholds[-1]:
        merges = all_merges(known, model)
    return spanning_forest(merges, len(known.partition))


@once
def links(known: KnownClusters) -> Merges:
    """Linkage of neighbouring nodes, each pair once."""
    return each_once(known.growth.links, len(known.partition))


@once
def probabilities(known: KnownClusters, model: Judging) -> np.ndarray:
    """Membership strength of each sample, (n_samples,), float64."""
    of_nodes = linked_to_peak(tree(known, model), node_labels(known), peaks(known))
    return of_nodes[known.nodes]


@once
def outlier_scores(known: KnownClusters) -> np.ndarray:
    """1 - strongest linkage probability to another sample, (n_samples,), float64."""
    score = 1 - np.clip(strongest(known.growth.links, len(known.partition)), 0, 1)[known.nodes]
    score[known.embeddings.counts[known.embeddings.inverse] > 1] = 0.0
    return score


@once
def hierarchy(known: KnownClusters, model: Judging) -> Hierarchy:
    """Levels and merges over the samples."""
    nodes, first = known.nodes, known.first
    copies = np.flatnonzero(first[nodes] != np.arange(len(nodes)))
    same = Merges(first[nodes[copies]], copies, np.ones(len(copies)))

    def over_samples(merges: Merges) -> Merges:
        moved = Merges(first[merges.a], first[merges.b], merges.probability)
        return concatenate_merges([same, moved])

    growth = known.growth
    return Hierarchy(
        labels=tuple(labels[nodes] for labels in growth.labels),
        peaks=tuple(first[found] for found in growth.peaks),
        thresholds=growth.thresholds,
        recorded=over_samples(growth.merges),
        clusters=known.labels,
        constrained=known.constraints is not None and known.constraints.keeps_apart,
        go_on=None if growth.rounds is None else partial(_more_merges, known, model),
    )


def merges_to_review(known: KnownClusters, model: Judging, top: int) -> np.recarray:
    """Pairs of clusters by the probability that they are one."""
    judged = None
    # The judge saw whole clusters only where they are those of the fit.
    if known.linkage_threshold == known.growth.thresholds[-1]:
        judged = _judged(known, model)
    reviewed = concatenate_merges([known.growth.reviewed, tree(known, model)])
    return merge_candidates(
        node_labels(known), exemplars(known), sizes(known), judged, reviewed, links(known), top
    )


def splits_to_review(known: KnownClusters, model: Judging, top: int) -> np.recarray:
    """Clusters by their weakest inner merge."""
    return split_candidates(
        tree(known, model),
        node_labels(known),
        known.growth.prominence,
        np.bincount(known.nodes),
        known.first,
        top,
    )


def linkage_pairs(known: KnownClusters) -> np.recarray:
    """Every pair of neighbours that was scored, by their samples."""
    found = links(known)
    return table(i=known.first[found.a], j=known.first[found.b], probability=found.probability)


def fitted_membership(known: KnownClusters, top: int) -> sp.csr_array:
    """Share of each sample's linkage that goes to each cluster, (n_samples, n_clusters)."""
    counts = np.bincount(known.nodes).astype(np.float64)
    of_nodes = shares(links(known), node_labels(known), known.n_clusters, counts, top)
    return of_nodes[known.nodes]


def new_membership(
    X: np.ndarray, known: KnownClusters, model: Joiner, settings: ClusterSettings, top: int
) -> sp.csr_array:
    """Probability of each new row to belong to each cluster; that of its copy for a known one."""
    new = canonical_embeddings(X, known.scaler)
    copies = match_rows(new, known.embeddings, known.by_hash)
    fresh, old = np.flatnonzero(copies < 0), np.flatnonzero(copies >= 0)
    shape = (len(copies), known.n_clusters)
    out = sp.csr_array(shape)
    if len(fresh):
        found = model.candidates(new.features[fresh], known, settings)
        labels = known.number[found.part]
        inside = labels >= 0
        total = np.bincount(found.row[inside], found.probability[inside], len(fresh))
        p = found.probability[inside] / np.maximum(total, 1.0)[found.row[inside]]
        out = out + sp.csr_array((p, (fresh[found.row[inside]], labels[inside])), shape=shape)
    if len(old):
        samples = known.embeddings.first[copies[old]]
        pick = sp.csr_array(
            (np.ones(len(old)), (old, np.arange(len(old)))), shape=(len(copies), len(old))
        )
        out = out + pick @ fitted_membership(known, top)[samples]
    return largest_of_rows(sp.csr_array(out), top)[new.inverse]


@once
def _judged(known: KnownClusters, model: Judging) -> Merges | None:
    return model.judged(known.growth)


def _more_merges(known: KnownClusters, model: Judging) -> Merges:
    merges = all_merges(known, model)
    return Merges(known.first[merges.a], known.first[merges.b], merges.probability)
