"""What the level loop found on the way: merges, linked pairs, and who is a peak of what."""

from __future__ import annotations

import numpy as np
import torch

from sklearn_hilander._constraints._node_constraints import NodeConstraints
from sklearn_hilander._levels._decode import best_parents, leads_up
from sklearn_hilander._types import (
    EdgeScores,
    Forest,
    Growth,
    Level,
    Levels,
    Merges,
    concatenate_merges,
)


def growth_of_levels(
    levels: Levels,
    trace: list[tuple[Level, Forest]],
    scored: list[EdgeScores],
    threshold: float,
    strict: bool,
    constraints: NodeConstraints | None = None,
) -> Growth:
    """Gather what the levels leave.

    Parameters
    ----------
    levels : Levels
    trace : list of (Level, Forest)
    scored : list of EdgeScores
        Of each level in the trace.
    threshold : float
    strict : bool
        As in `decode_forest`.
    constraints : NodeConstraints, optional

    Returns
    -------
    Growth
        Its merges are the kept edges, between peaks; under the threshold, the best edge of each
        node that was left on the last level.
    """
    n_samples = len(levels.labels[0])
    kept = [_kept_edges(level, forest) for level, forest in trace]
    if constraints is not None and len(constraints.must):
        a, b = constraints.must.T
        kept.insert(0, Merges(a, b, np.ones(len(a))))
    edges = [_edges(level, scores) for (level, _), scores in zip(trace, scored, strict=True)] or [
        concatenate_merges([])
    ]
    under = concatenate_merges([])
    if trace:
        under = _edges_under(trace[-1][0], scored[-1], threshold, strict)
    if constraints is not None and len(under):
        labels = levels.labels[-1]
        a, b = labels[under.a], labels[under.b]
        admitted = constraints.admit(labels, int(labels.max()) + 1, a, b, under.probability)
        under = Merges(under.a[admitted], under.b[admitted], under.probability[admitted])
    return Growth(
        labels=levels.labels,
        peaks=levels.peaks,
        thresholds=(threshold,) * levels.n_levels,
        merges=concatenate_merges([*kept, under]),
        links=edges[0],
        reviewed=concatenate_merges(edges[:0:-1]),
        prominence=_prominence(n_samples, trace, scored),
    )


def rank_of(density: np.ndarray) -> np.ndarray:
    """Rank by density, from 0; of equals the first ranks highest. (n_samples,), int64."""
    n_samples = len(density)
    rank = np.empty(n_samples, dtype=np.int64)
    rank[np.lexsort((-np.arange(n_samples), density))] = np.arange(n_samples)
    return rank


def peaks_of(labels: np.ndarray, prominence: np.ndarray) -> np.ndarray:
    """Member of highest prominence of each cluster, (n_clusters,), int64; labels of -1 are none."""
    order = np.lexsort((-prominence, labels))
    order = order[labels[order] >= 0]
    first = np.r_[True, labels[order][1:] != labels[order][:-1]][: len(order)]
    return order[first]


def _kept_edges(level: Level, forest: Forest) -> Merges:
    """Edges of the forest, between the peaks of its nodes."""
    nodes = torch.arange(len(forest.parents), device=forest.parents.device)
    child = (forest.parents != nodes).nonzero()[:, 0]
    return Merges(
        level.peaks[child].cpu().numpy(),
        level.peaks[forest.parents[child]].cpu().numpy(),
        forest.parent_linkage[child].cpu().numpy().astype(np.float64),
    )


def _edges(level: Level, scores: EdgeScores) -> Merges:
    """Every scored edge, in either direction that the graph has."""
    is_edge = (level.graph.similarities > 0).cpu()
    nodes = torch.arange(level.graph.n_nodes)[:, None].expand(is_edge.shape)[is_edge]
    peaks = level.peaks.cpu()
    return Merges(
        peaks[nodes].numpy(),
        peaks[level.graph.indices.cpu()[is_edge]].numpy(),
        scores.linkage.cpu()[is_edge].numpy().astype(np.float64),
    )


def _edges_under(level: Level, scores: EdgeScores, threshold: float, strict: bool) -> Merges:
    """Best edge to a denser node of each node, where it is at or under the threshold."""
    keep = leads_up(level.graph, scores, strict=strict)
    best = _kept_edges(level, best_parents(level.graph.indices, scores.linkage, keep))
    under = best.probability <= threshold
    return Merges(best.a[under], best.b[under], best.probability[under])


def _prominence(
    n_samples: int, trace: list[tuple[Level, Forest]], scored: list[EdgeScores]
) -> np.ndarray:
    """Rank by the last level that a sample was a node of, then by its density there."""
    last, density = np.full(n_samples, -1), np.zeros(n_samples)
    for (level, forest), scores in zip(trace, scored, strict=True):
        peaks = level.peaks.cpu().numpy()
        last[peaks] = level.depth
        density[peaks] = scores.density.cpu().numpy()
        roots = level.peaks[forest.roots].cpu().numpy()
        last[roots] = level.depth + 1
    order = np.lexsort((-np.arange(n_samples), density, last))
    rank = np.empty(n_samples, dtype=np.int64)
    rank[order] = np.arange(n_samples)
    return rank
