"""Pairs of clusters joined to clusters, with what is known of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from sklearn_hilander._rounds._cluster_pairs import ClusterPairs


def merge(clusters: ClusterPairs, a: np.ndarray, b: np.ndarray) -> tuple[ClusterPairs, np.ndarray]:
    """Join pairs of clusters, and what they are connected to.

    Most rounds join a few of many: of the others nothing is summed anew.

    Parameters
    ----------
    clusters : ClusterPairs
    a, b : ndarray of shape (n_merges,), int64

    Returns
    -------
    clusters : ClusterPairs
        Numbered in the order of their first members; pairs in the order of their ends.
    new_of : ndarray of shape (n_clusters_before,), int64
    """
    c, n = clusters, clusters.n_clusters
    joined = sp.coo_array((np.ones(len(a)), (a, b)), shape=(n, n))
    m, new_of = connected_components(joined, directed=False)
    new_of = new_of.astype(np.int64)
    is_joined = np.bincount(new_of, minlength=m) > 1
    pooled = _Pool(new_of, is_joined)
    i, j = new_of[c.i], new_of[c.j]
    low, high = np.minimum(i, j), np.maximum(i, j)
    inner = low == high
    hit = (is_joined[low] | is_joined[high]) & ~inner
    left = np.flatnonzero(~(hit | inner))
    keys = low * m + high
    summed, position = np.unique(keys[hit], return_inverse=True)
    largest = np.zeros(len(summed), dtype=np.float32)
    np.maximum.at(largest, position, c.largest[hit])
    keys = np.concatenate([keys[left], summed])
    # As a rule two ascending runs, which a stable sort has only to merge.
    order = np.argsort(keys, kind="stable")
    keys = keys[order]

    def across(values: np.ndarray) -> np.ndarray:
        # Counts of nothing are integers, whatever the weights.
        sums = np.bincount(position, values[hit], len(summed)).astype(np.float64, copy=False)
        return np.concatenate([values[left], sums])[order]

    def within(before: np.ndarray, values: np.ndarray) -> np.ndarray:
        return np.bincount(new_of, before, m) + np.bincount(low[inner], values[inner], m)

    return replace(
        c,
        labels=new_of[c.labels],
        sizes=pooled(c.sizes),
        sums=tuple(pooled(sums) for sums in c.sums),
        inner_p=within(c.inner_p, c.p),
        inner_count=within(c.inner_count, c.count),
        i=keys // m,
        j=keys % m,
        p=across(c.p),
        count=across(c.count),
        log_odds=across(c.log_odds),
        largest=np.concatenate([c.largest[left], largest])[order],
    ), new_of


class _Pool:
    """Sums over the members of new clusters.

    Parameters
    ----------
    new_of : ndarray of shape (n_before,), int64
        New cluster of each one before, in the order of their first members.
    is_joined : ndarray of shape (n_new,), bool
        New clusters of several members.
    """

    def __init__(self, new_of: np.ndarray, is_joined: np.ndarray) -> None:
        n_before = len(new_of)
        self._joined = np.flatnonzero(is_joined)
        self._first = np.empty(len(is_joined), dtype=np.int64)
        self._first[new_of[::-1]] = np.arange(n_before)[::-1]
        members = np.flatnonzero(is_joined[new_of])
        row = (np.cumsum(is_joined) - 1)[new_of[members]]
        ones = np.ones(len(members), dtype=np.float32)
        self._members = sp.csr_array((ones, (row, members)), shape=(len(self._joined), n_before))

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Of values of each cluster before, (n_before, ...)."""
        out = values[self._first]
        out[self._joined] = self._members @ values
        return out


def apart_in(partition: np.ndarray, clusters: ClusterPairs) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of clusters that connect all those of each part of the samples."""
    part = np.zeros(clusters.n_clusters, dtype=np.int64)
    part[clusters.labels] = partition
    order = np.argsort(part, kind="stable")
    a, b = order[:-1], order[1:]
    same = part[a] == part[b]
    return np.minimum(a, b)[same], np.maximum(a, b)[same]
