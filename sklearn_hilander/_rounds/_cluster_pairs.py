"""Clusters of a round, pair by pair: how the two stand to each other."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np

from sklearn_hilander._graph._pair_table import Columns
from sklearn_hilander._graph._pairs import (
    in_blocks,
    logit,
    main_axes,
    pair_dot,
    pair_max,
    pair_sum,
    unit_rows,
)
from sklearn_hilander._linkage._linkage_model import Links

# Pairs of samples under this probability are no candidates.
_LEAST_LINK = 0.01
# Pairs whose relations are held at once: a multiple of the rows that networks take.
BLOCK_PAIRS = 65_536


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

    def beside(self, pairs: np.ndarray) -> tuple[ClusterPairs, np.ndarray]:
        """The same with what decides the relations of a few pairs alone: those of their ends.

        Parameters
        ----------
        pairs : ndarray of shape (n_rows,), int64

        Returns
        -------
        clusters : ClusterPairs
            Itself, where that would be most of the pairs.
        pairs : ndarray of shape (n_rows,), int64
            Where they are among these.
        """
        is_end = np.zeros(self.n_clusters, dtype=bool)
        is_end[self.i[pairs]] = is_end[self.j[pairs]] = True
        near = is_end[self.i] | is_end[self.j]
        if 2 * np.count_nonzero(near) > len(near):
            return self, pairs
        return self.take(near), (np.cumsum(near) - 1)[pairs]


def single_samples(
    links: Links, weights: np.ndarray, views: Iterable[np.ndarray] | None = None
) -> ClusterPairs:
    """Each sample as a cluster of its own; pairs that are hardly linked are left out.

    Parameters
    ----------
    links : Links
    weights : ndarray of shape (n_samples,)
        How many rows each sample stands for.
    views : iterable of ndarray, optional
        In place of those of `links`.

    Returns
    -------
    ClusterPairs
    """
    n = links.graph.n_nodes
    weights = weights.astype(np.float32)

    def weighted(view: np.ndarray) -> np.ndarray:
        # In one order of memory, which sums along a row depend on.
        rows = np.ascontiguousarray(unit_rows(main_axes(view)))
        return np.multiply(rows, weights[:, None], out=rows)

    sums = tuple(map(weighted, links.views if views is None else views))
    linked = np.flatnonzero(links.probability >= _LEAST_LINK)
    p = links.probability[linked]
    return ClusterPairs(
        labels=np.arange(n),
        sizes=weights,
        sums=sums,
        inner_p=np.zeros(n),
        inner_count=np.zeros(n),
        i=links.graph.i[linked],
        j=links.graph.j[linked],
        p=p,
        count=np.ones(len(p)),
        log_odds=in_blocks(len(p), lambda rows: logit(p[rows], 1e-4)),
        largest=p,
    )


def cluster_relations(clusters: ClusterPairs) -> np.ndarray:
    """Relations of each pair of clusters; the first column is the mean probability.

    Mean, log-odds and largest probability across; each against the best that either end has
    elsewhere; shares of either end's probability; links across against what one homogeneous
    cluster would have; probability within; sizes; and in each view the mean similarity
    across against either end's own and best, and the cosine of the means.

    Parameters
    ----------
    clusters : ClusterPairs

    Returns
    -------
    ndarray of shape (n_pairs, n_relations), float32
    """
    return relations_of(clusters)(slice(None))


def relations_of(clusters: ClusterPairs) -> Callable[[slice | np.ndarray], np.ndarray]:
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


def _squared_lengths(rows: np.ndarray) -> np.ndarray:
    out = np.empty(len(rows), dtype=rows.dtype)
    for start in range(0, len(rows), BLOCK_PAIRS):
        part = rows[start : start + BLOCK_PAIRS]
        (part * part).sum(axis=1, out=out[start : start + len(part)])
    return out


def _own_similarity(squared: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Mean similarity of two members of each cluster; the mean of the others for a single one."""
    many = sizes > 1
    pairs = np.where(many, sizes * (sizes - 1), 1)
    own = np.where(many, (squared - sizes) / pairs, 0)
    return np.where(many, own, own[many].mean() if many.any() else 1.0).astype(np.float32)
