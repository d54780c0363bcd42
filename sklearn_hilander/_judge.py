"""Cluster pairs judged as wholes, round by round under a falling threshold.

The nodes of a round are clusters. Two are candidates if any of their samples are. A small
network sees how the two stand to each other and to their other candidates, and says whether they
are of one class. The best pairs above the threshold merge (the shape of SCC, Monath et al., KDD
2021); then the next round begins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from sklearn_hilander._constraints import NodeConstraints
from sklearn_hilander._linkage_model import Links
from sklearn_hilander._pairs import (
    Columns,
    logit,
    main_axes,
    pair_dot,
    pair_max,
    pair_sum,
    unit_rows,
)

THRESHOLDS = tuple(np.round(np.concatenate([[0.98], np.arange(0.95, 0.14, -0.05)]), 2).tolist())
# Where a hierarchy goes on, once the last threshold of the clustering is reached.
_BELOW = (0.1, 0.05, 0.0)
ROUNDS_PER_THRESHOLD = 4
# Pairs of samples under this probability are no candidates.
_LEAST_LINK = 0.01
# Pairs whose relations are held at once: a multiple of the rows that networks take.
_BLOCK_PAIRS = 65_536
# Very sure pairs of very small clusters need not wait for being each other's best.
_SURE, _SMALL = 0.98, 4

Judge = Callable[["ClusterPairs", np.ndarray], np.ndarray]


@dataclass(frozen=True)
class ClusterPairs:
    """Clusters of one round, and what is known of each pair of candidates.

    Attributes
    ----------
    labels : ndarray of shape (n_samples,), int64
        Cluster of each sample.
    sizes : ndarray of shape (n_clusters,), float32
    sums : tuple of ndarray of shape (n_clusters, n_components), float32
        Sum of the members' unit rows, in each view.
    inner_p, inner_count : ndarray of shape (n_clusters,)
        Sum of the probabilities of sample pairs within each cluster, and their number.
    i, j : ndarray of shape (n_pairs,), int64
    p, count, log_odds, largest : ndarray of shape (n_pairs,)
        Of the sample pairs across: sum of probabilities, number, sum of log-odds, and the largest
        probability.
    """

    labels: np.ndarray
    sizes: np.ndarray
    sums: tuple[np.ndarray, ...]
    inner_p: np.ndarray
    inner_count: np.ndarray
    i: np.ndarray
    j: np.ndarray
    p: np.ndarray
    count: np.ndarray
    log_odds: np.ndarray
    largest: np.ndarray

    @property
    def n_clusters(self) -> int:
        """Number of clusters."""
        return len(self.sizes)

    def take(self, pairs: slice | np.ndarray) -> ClusterPairs:
        """The same clusters with some of the pairs alone."""
        names = ("i", "j", "p", "count", "log_odds", "largest")
        return replace(self, **{name: getattr(self, name)[pairs] for name in names})


def single_samples(links: Links, weights: np.ndarray) -> ClusterPairs:
    """Each sample as a cluster of its own; pairs that are hardly linked are left out."""
    n = links.graph.n_nodes
    linked = np.flatnonzero(links.probability >= _LEAST_LINK)
    p = links.probability[linked]
    views = (unit_rows(main_axes(view)) for view in links.views)
    weights = weights.astype(np.float32)
    return ClusterPairs(
        labels=np.arange(n),
        sizes=weights,
        # In one order of memory, which sums along a row depend on.
        sums=tuple(np.multiply(view, weights[:, None], order="C") for view in views),
        inner_p=np.zeros(n),
        inner_count=np.zeros(n),
        i=links.graph.i[linked],
        j=links.graph.j[linked],
        p=p,
        count=np.ones(len(p)),
        log_odds=logit(p, 1e-4),
        largest=p,
    )


def cluster_relations(clusters: ClusterPairs, rows: np.ndarray | None = None) -> np.ndarray:
    """Relations of each pair of clusters; the first column is the mean probability.

    Mean, log-odds and largest probability across; each against the best that either end has
    elsewhere; shares of either end's probability; links across against what one homogeneous
    cluster would have; probability within; sizes; and in each view the mean similarity
    across against either end's own and best, and the cosine of the means.

    Parameters
    ----------
    clusters : ClusterPairs
    rows : ndarray of shape (n_rows,), int64, optional
        The pairs to be described, among all of them; by default each.

    Returns
    -------
    ndarray of shape (n_rows, n_relations), float32
    """
    return _relations_of(clusters)(slice(None) if rows is None else rows)


def _relations_of(clusters: ClusterPairs) -> Callable[[slice | np.ndarray], np.ndarray]:
    """`cluster_relations` of some of the pairs: what it takes of all of them is found before."""
    c, n = clusters, clusters.n_clusters
    mean = c.p / c.count
    best_mean = pair_max(mean, c.i, c.j, n, -9.0)
    across, across_count = pair_sum(c.p, c.i, c.j, n), pair_sum(c.count, c.i, c.j, n)
    total, total_count = across + 2 * c.inner_p, across_count + 2 * c.inner_count
    within = (c.inner_p + 1) / (c.inner_count + 1)
    kept = 2 * c.inner_p / np.clip(total, 1e-3, None)
    views = []
    for sums in c.sums:
        product = pair_dot(sums, c.i, c.j)
        squared = _squared_lengths(sums)
        similarity = product / (c.sizes[c.i] * c.sizes[c.j])
        best = pair_max(similarity, c.i, c.j, n, -9.0)
        views.append((product, squared, _own_similarity(squared, c.sizes), best))

    def relations(rows: slice | np.ndarray) -> np.ndarray:
        i, j, p, count, of_pair = c.i[rows], c.j[rows], c.p[rows], c.count[rows], mean[rows]
        out = Columns()
        out.add(of_pair)
        out.add(logit(of_pair, 1e-4))
        out.add(c.log_odds[rows] / count)
        out.add(c.largest[rows])
        out.both(of_pair - best_mean[i], of_pair - best_mean[j])
        out.both(p / (total[i] + 1e-3), p / (total[j] + 1e-3))
        out.both(p / (across[i] + 1e-3), p / (across[j] + 1e-3))
        out.both(count / total_count[i], count / total_count[j])
        size_i, size_j = c.sizes[i], c.sizes[j]
        both = c.inner_count[i] + c.inner_count[j] + count
        mixing = count * (size_i + size_j) ** 2 / (2 * size_i * size_j) / both
        out.add(np.log(np.clip(mixing, 1e-3, None)))
        out.add(np.log(count / (size_i * size_j)))
        out.both(within[i], within[j])
        out.both(of_pair - within[i], of_pair - within[j])
        out.both(kept[i], kept[j])
        out.both(np.log(size_i), np.log(size_j))
        for product, squared, own, best in views:
            across_view = product[rows]
            similarity = across_view / (size_i * size_j)
            out.add(similarity)
            out.both(similarity - own[i], similarity - own[j])
            out.add(across_view / np.clip(np.sqrt(squared[i] * squared[j]), 1e-9, None))
            out.both(similarity - best[i], similarity - best[j])
        return out.stack()

    return relations


def _judge_pairs(
    clusters: ClusterPairs, judge: Judge, rows: np.ndarray | None, *, whole: bool
) -> tuple[np.ndarray | None, np.ndarray]:
    """Probability of each of these pairs; and their relations, if they are wanted as a whole."""
    relations_of = _relations_of(clusters)
    if whole:
        every = slice(None) if rows is None else rows
        relations = relations_of(every)
        return relations, judge(clusters.take(every), relations)
    n_rows = len(clusters.i) if rows is None else len(rows)
    q = np.empty(n_rows, dtype=np.float32)
    for start in range(0, n_rows, _BLOCK_PAIRS):
        part = slice(start, min(start + _BLOCK_PAIRS, n_rows))
        pairs = part if rows is None else rows[part]
        q[part] = judge(clusters.take(pairs), relations_of(pairs))
    return None, q


def merge(clusters: ClusterPairs, a: np.ndarray, b: np.ndarray) -> tuple[ClusterPairs, np.ndarray]:
    """Join pairs of clusters, and what they are connected to.

    Returns
    -------
    clusters : ClusterPairs
    new_of : ndarray of shape (n_clusters_before,), int64
    """
    c, n = clusters, clusters.n_clusters
    joined = sp.coo_array((np.ones(len(a)), (a, b)), shape=(n, n))
    m, new_of = connected_components(joined, directed=False)
    new_of = new_of.astype(np.int64)
    pool = sp.csr_array((np.ones(n, np.float32), (new_of, np.arange(n))), shape=(m, n))
    i, j = new_of[c.i], new_of[c.j]
    inner = i == j
    keys = (np.minimum(i, j) * m + np.maximum(i, j))[~inner]
    unique, position = np.unique(keys, return_inverse=True)
    largest = np.zeros(len(unique), dtype=np.float32)
    np.maximum.at(largest, position, c.largest[~inner])

    def across(values: np.ndarray) -> np.ndarray:
        # Counts of nothing are integers, whatever the weights.
        return np.bincount(position, values[~inner], len(unique)).astype(np.float64, copy=False)

    def within(before: np.ndarray, values: np.ndarray) -> np.ndarray:
        return np.bincount(new_of, before, m) + np.bincount(i[inner], values[inner], m)

    return replace(
        c,
        labels=new_of[c.labels],
        sizes=pool @ c.sizes,
        sums=tuple(pool @ sums for sums in c.sums),
        inner_p=within(c.inner_p, c.p),
        inner_count=within(c.inner_count, c.count),
        i=unique // m,
        j=unique % m,
        p=across(c.p),
        count=across(c.count),
        log_odds=across(c.log_odds),
        largest=largest,
    ), new_of


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

    Yields
    ------
    threshold : float
    clusters : ClusterPairs
    """
    # A clustering at a very low threshold does not linger under the usual ones.
    falling = THRESHOLDS if highest == 1.0 else (*THRESHOLDS, *_BELOW)
    for threshold in (*(t for t in falling if lowest + 1e-6 < t < highest - 1e-6), lowest):
        for _ in range(ROUNDS_PER_THRESHOLD):
            if len(clusters.i) == 0:
                break
            candidates, rows = clusters, None
            if within is not None or constraints is not None:
                # Pairs that may not merge are still what others are compared with.
                rows = np.flatnonzero(_allowed(clusters, constraints, within))
                candidates = clusters.take(rows)
            relations, q = _judge_pairs(clusters, judge, rows, whole=on_round is not None)
            if on_round is not None and relations is not None:
                on_round(candidates, relations, q)
            chosen = np.flatnonzero(_chosen(candidates, q, threshold, constraints))
            if len(chosen) == 0:
                break
            a, b = candidates.i[chosen], candidates.j[chosen]
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
        chosen |= (q > _SURE) & (best_of_i | best_of_j) & small
    if constraints is not None:
        at = np.flatnonzero(chosen)
        admitted = constraints.admit(clusters.labels, clusters.n_clusters, i[at], j[at], q[at])
        chosen[at[~admitted]] = False
    return chosen


def _squared_lengths(rows: np.ndarray) -> np.ndarray:
    out = np.empty(len(rows), dtype=rows.dtype)
    for start in range(0, len(rows), _BLOCK_PAIRS):
        part = rows[start : start + _BLOCK_PAIRS]
        (part * part).sum(axis=1, out=out[start : start + len(part)])
    return out


def _own_similarity(squared: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Mean similarity of two members of each cluster; the mean of the others for a single one."""
    many = sizes > 1
    pairs = np.where(many, sizes * (sizes - 1), 1)
    own = np.where(many, (squared - sizes) / pairs, 0)
    return np.where(many, own, own[many].mean() if many.any() else 1.0).astype(np.float32)
