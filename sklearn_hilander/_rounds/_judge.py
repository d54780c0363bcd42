"""Cluster pairs judged as wholes, round by round under a falling threshold.

The nodes of a round are clusters. Two are candidates if any of their samples are. A small
network sees how the two stand to each other and to their other candidates, and says whether they
are of one class. The best pairs above the threshold merge (the shape of SCC, Monath et al., KDD
2021); then the next round begins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from sklearn_hilander._constraints._node_constraints import NodeConstraints
from sklearn_hilander._graph._pairs import pair_max
from sklearn_hilander._rounds._cluster_merges import merge
from sklearn_hilander._rounds._cluster_pairs import BLOCK_PAIRS, ClusterPairs, relations_of

THRESHOLDS = tuple(np.round(np.concatenate([[0.98], np.arange(0.95, 0.14, -0.05)]), 2).tolist())
# Where a hierarchy goes on, once the last threshold of the clustering is reached.
_BELOW = (0.1, 0.05, 0.0)
ROUNDS_PER_THRESHOLD = 4
# Very sure pairs of very small clusters need not wait for being each other's best.
_SURE, _SMALL = 0.98, 4

Judge = Callable[[ClusterPairs, np.ndarray], np.ndarray]
_NONE: np.ndarray = np.zeros((0, 0), dtype=np.float32)


def _judge_pairs(
    clusters: ClusterPairs, judge: Judge, rows: np.ndarray | None, *, whole: bool, blind: bool
) -> tuple[np.ndarray | None, np.ndarray]:
    """Probability of each of these pairs; and their relations, if they are wanted as a whole."""
    if blind and not whole:
        return None, judge(clusters if rows is None else clusters.take(rows), _NONE)
    if rows is not None:
        clusters, rows = clusters.beside(rows)
    some_relations = relations_of(clusters)
    if whole:
        every = slice(None) if rows is None else rows
        relations = some_relations(every)
        return relations, judge(clusters.take(every), relations)
    n_rows = len(clusters.i) if rows is None else len(rows)
    q = np.empty(n_rows, dtype=np.float32)
    for start in range(0, n_rows, BLOCK_PAIRS):
        part = slice(start, min(start + BLOCK_PAIRS, n_rows))
        pairs = part if rows is None else rows[part]
        q[part] = judge(clusters.take(pairs), some_relations(pairs))
    return None, q


def run_rounds(
    clusters: ClusterPairs,
    judge: Judge,
    *,
    lowest: float,
    on_round: Callable[[ClusterPairs, np.ndarray, np.ndarray], None] | None = None,
    on_merge: Callable[[np.ndarray, np.ndarray, np.ndarray, float, np.ndarray], None] | None = None,
    constraints: NodeConstraints | None = None,
    highest: float = 1.0,
    within: np.ndarray | None = None,
    blind: bool = False,
) -> Iterator[tuple[float, ClusterPairs]]:
    """Merge under a falling threshold; yield the clusters after each one.

    Parameters
    ----------
    clusters : ClusterPairs
    judge : callable
        (ClusterPairs, relations) -> probability of each pair.
    lowest : float
        The last threshold.
    on_round : callable, optional
        Called with the clusters, relations and probabilities of each round.
    on_merge : callable, optional
        Called with the clusters that became one, their probabilities, the threshold before, and
        the new number of each cluster.
    constraints : NodeConstraints, optional
        Merges that would break one are not made.
    highest : float, default=1.0
        Begin with the thresholds under this one.
    within : ndarray of shape (n_samples,), int64, optional
        A partition of the samples: only clusters in the same part of it merge.
    blind : bool, default=False
        The judge looks at the clusters alone: relations are made for `on_round` only.

    Yields
    ------
    threshold : float
    clusters : ClusterPairs
    """
    # A clustering at a very low threshold does not linger under the usual ones.
    falling = THRESHOLDS if highest == 1.0 else (*THRESHOLDS, *_BELOW)
    # What was judged last, as long as nothing has merged since.
    judged: tuple[ClusterPairs, np.ndarray | None, np.ndarray] | None = None
    for threshold in (*(t for t in falling if lowest + 1e-6 < t < highest - 1e-6), lowest):
        for _ in range(ROUNDS_PER_THRESHOLD):
            if len(clusters.i) == 0:
                break
            if judged is None:
                candidates, rows = clusters, None
                if within is not None or constraints is not None:
                    # Pairs that may not merge are still what others are compared with.
                    rows = np.flatnonzero(_allowed(clusters, constraints, within))
                    candidates = clusters.take(rows)
                whole = on_round is not None
                judged = candidates, *_judge_pairs(clusters, judge, rows, whole=whole, blind=blind)
            candidates, relations, q = judged
            if on_round is not None and relations is not None:
                on_round(candidates, relations, q)
            chosen = np.flatnonzero(_chosen(candidates, q, threshold, constraints))
            if len(chosen) == 0:
                break
            a, b = candidates.i[chosen], candidates.j[chosen]
            judged = None
            clusters, new_of = merge(clusters, a, b)
            if on_merge is not None:
                on_merge(a, b, q[chosen], highest, new_of)
        yield threshold, clusters
        highest = threshold


def _allowed(
    clusters: ClusterPairs, constraints: NodeConstraints | None, within: np.ndarray | None
) -> np.ndarray:
    """Pairs that may merge, (n_pairs,), bool."""
    i, j = clusters.i, clusters.j
    allowed = np.ones(len(i), dtype=bool)
    if within is not None:
        part = np.zeros(clusters.n_clusters, dtype=np.int64)
        part[clusters.labels] = within
        allowed &= part[i] == part[j]
    if constraints is not None:
        allowed &= ~constraints.conflicting(clusters.labels, clusters.n_clusters, i, j)
    return allowed


def _chosen(
    clusters: ClusterPairs,
    q: np.ndarray,
    threshold: float,
    constraints: NodeConstraints | None,
) -> np.ndarray:
    """Pairs that merge in this round: each the best of both its ends, constraints kept."""
    i, j = clusters.i, clusters.j
    best = pair_max(q, i, j, clusters.n_clusters, -1.0)
    best_of_i, best_of_j = q >= best[i], q >= best[j]
    chosen = (q > threshold) & best_of_i & best_of_j
    if threshold >= 0.9:
        small = np.minimum(clusters.sizes[i], clusters.sizes[j]) <= _SMALL
        chosen |= (q > max(_SURE, threshold)) & (best_of_i | best_of_j) & small
    if constraints is not None:
        at = np.flatnonzero(chosen)
        admitted = constraints.admit(clusters.labels, clusters.n_clusters, i[at], j[at], q[at])
        chosen[at[~admitted]] = False
    return chosen
