"""Clusters of a flow at the scale where they change least.

A walk along few neighbours stays in small clusters, one along many in large ones. Clusters that
the samples are really made of are found over a range of scales; others change with every step.
So no number of neighbours has to be chosen: the clusters that agree best with those of the next
finer and the next coarser scale are taken (Delvenne, Yaliraki, Barahona, "Stability of graph
communities across time scales", PNAS 2010, ask the same of a walk's length).
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import numpy as np
import scipy.sparse as sp
import torch

from sklearn_hilander._device import in_threads
from sklearn_hilander._flows._flow import flow_clusters, merge_clusters
from sklearn_hilander._graph._pair_graph import PairGraph
from sklearn_hilander.metrics import bcubed_f_score, pairwise_precision_recall_fscore

# Each about a factor of the square root of 2 above the one before: 4 to 40 of 40 neighbours.
_SHARES = (0.1, 0.15, 0.2, 0.275, 0.4, 0.575, 0.8, 1.0)
# Agreement this close to the best is as good; the coarsest of these scales is taken.
_AS_GOOD = 0.01
# Once agreement has fallen so far, the costly coarser scales are left out; and less is enough where
# more neighbours would have to be looked for.
_FALLEN, _FALLEN_ENOUGH = 0.07, 0.04
# Of more samples than this, so many stretches of so many tell the scale. They lie cell by cell.
_MOST_NODES, _N_STRETCHES, _STRETCH = 50_000, 20, 400
_BLOCK_ROWS = 65_536
# Clusters are about as large as the walk looks far: so many of them are looked for at least.
_FEWEST_CLUSTERS = 4


def stable_flow(graphs: Iterable[PairGraph], n_neighbors: int) -> tuple[np.ndarray, int, PairGraph]:
    """Cluster the samples of a neighbour graph, at a scale that is found by itself.

    Parameters
    ----------
    graphs : iterable of PairGraph
        Of the same samples, with ever more neighbours. A wider one is asked for only where
        the scale may be beyond the one before.
    n_neighbors : int
        Of the last one.

    Returns
    -------
    labels : ndarray of shape (n_nodes,), int64
        Contiguous from 0.
    scale : int
        Number of neighbours that the walk goes along.
    graph : PairGraph
        The last one that was asked for.
    """
    rough: list[np.ndarray] = []
    for graph in graphs:
        scale, merged, has_fallen = _find_scale(graph, n_neighbors, rough)
        if has_fallen:
            break
    walk = _walk(graph.indices[:, :scale], graph.similarities[:, :scale])
    return flow_clusters(*walk, graph.n_nodes, merged), scale, graph


def share_kept(labels: np.ndarray, flow: np.ndarray) -> float:
    """Of the pairs of samples in one cluster those that a flow has in one, too."""
    return pairwise_precision_recall_fscore(flow, labels)[0]


def _find_scale(
    graph: PairGraph, n_neighbors: int, rough: list[np.ndarray]
) -> tuple[int, np.ndarray | None, bool]:
    """Find the most stable scale within a graph.

    Parameters
    ----------
    graph : PairGraph
    n_neighbors : int
    rough : list of ndarray, int64
        Clusters of merges alone at the scales that a graph of fewer neighbours has; those of the
        others are added.

    Returns
    -------
    scale : int
    merged : ndarray of shape (n_nodes,), int64, or None
        Clusters of merges alone at that scale, along the first graph that has it; None if only
        some of the samples were looked at.
    has_fallen : bool
        Coarser scales need not be looked at.
    """
    # A walk that reaches most of a few samples finds them to be one, and that at any scale.
    farthest = max(1, graph.n_nodes // _FEWEST_CLUSTERS)
    reach = (min(round(share * n_neighbors), farthest) for share in _SHARES)
    scales = sorted({max(1, q) for q in reach if q <= graph.n_neighbors})
    indices, similarities, counted = _sample(graph.indices, graph.similarities)

    # Which scale is stable, merges alone tell as well. Not those that go on from the clusters of
    # another scale: they agree with it, whatever the samples are.
    def clusters(q: int) -> np.ndarray:
        walk = _walk(indices[:, :q], similarities[:, :q])
        return merge_clusters(*walk, len(counted))[counted]

    agreement = [bcubed_f_score(*both) for both in pairwise(rough)]
    # One scale a thread, though it may turn out that the last of them need not be looked at.
    at_once = torch.get_num_threads()
    for start in range(len(rough), len(scales), at_once):
        rough += in_threads(clusters, scales[start : start + at_once])
        while len(agreement) + 1 < len(rough) and not _has_fallen(agreement, _FALLEN):
            agreement.append(bcubed_f_score(*rough[len(agreement) : len(agreement) + 2]))
        if _has_fallen(agreement, _FALLEN):
            break
    at = most_stable(agreement)
    merged = rough[at] if counted.all() else None
    return scales[at], merged, _has_fallen(agreement, _FALLEN_ENOUGH)


def _has_fallen(agreement: list[float], by: float) -> bool:
    return bool(agreement) and agreement[-1] < max(agreement) - by


def _walk(
    indices: np.ndarray, similarities: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of neighbours and their weights, twice the similarity where it is mutual.

    Returns
    -------
    i, j : ndarray of shape (n_pairs,), int64
    weights : ndarray of shape (n_pairs,), float32
    """
    n, q = indices.shape
    pointers = np.arange(0, n * q + 1, q)
    # Places that are left over are of similarity 0.
    entries = similarities.reshape(-1), indices.reshape(-1), pointers
    edges = sp.csr_array(entries, shape=(n, n), copy=True)
    edges.eliminate_zeros()
    pairs = sp.triu(edges + edges.T, k=1, format="coo")
    i, j = (ends.astype(np.int64) for ends in (pairs.row, pairs.col))
    return i, j, pairs.data


def _sample(
    indices: np.ndarray, similarities: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of very many samples some stretches, and whatever is beside them.

    Returns
    -------
    indices : ndarray of shape (n_kept, n_neighbors)
    similarities : ndarray of shape (n_kept, n_neighbors), float32
        0 where the neighbour is not kept.
    counted : ndarray of shape (n_kept,), bool
        Who is in a stretch: the others lack some of their neighbours.
    """
    n = len(indices)
    if n <= _MOST_NODES:
        return indices, similarities, np.ones(n, dtype=bool)
    within = np.zeros(n, dtype=bool)
    for start in np.linspace(0, n - _STRETCH, _N_STRETCHES).astype(int):
        within[start : start + _STRETCH] = True
    beside = within.copy()
    beside[indices[within]] = True
    for start in range(0, n, _BLOCK_ROWS):
        part = slice(start, start + _BLOCK_ROWS)
        beside[part] |= within[indices[part]].any(axis=1)
    number = np.cumsum(beside) - 1
    neighbors = indices[beside]
    near = np.where(beside[neighbors], similarities[beside], np.float32(0))
    return np.where(near > 0, number[neighbors], 0), near, within[beside]


def most_stable(agreement: list[float]) -> int:
    """Which of several clusterings, from fine to coarse, agrees best with the ones beside it.

    Parameters
    ----------
    agreement : list of float
        Of each clustering with the next, one fewer than there are.

    Returns
    -------
    int
        Neither the first nor the last, where there are three or more.
    """
    if len(agreement) < 2:
        return 0
    each = np.array(agreement)
    both_sides = (each[1:] + each[:-1]) / 2
    return 1 + int(np.flatnonzero(both_sides >= both_sides.max() - _AS_GOOD)[-1])
