"""What is shown of clusters: how large they are, and which of their members."""

from __future__ import annotations

from collections.abc import Sized
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import check_array

NOISE = -1


@dataclass(frozen=True)
class SizeBins:
    """Clusters counted by size, in bins that double: 1, 2, 3-4, 5-8, ...

    Attributes
    ----------
    lower, upper : ndarray of shape (n_bins,), int64
        Smallest and largest size of each bin, both included. The first and the last bin are not
        empty; those between may be.
    n_clusters : ndarray of shape (n_bins,), int64
        Clusters in each bin.
    n_samples : ndarray of shape (n_bins,), int64
        Samples in those clusters.
    n_noise : int
        Samples labelled -1, which are in no bin.
    """

    lower: np.ndarray
    upper: np.ndarray
    n_clusters: np.ndarray
    n_samples: np.ndarray
    n_noise: int

    @property
    def names(self) -> list[str]:
        """The sizes of each bin in words: ``"1"``, ``"3-4"`` with an en dash."""
        return [
            f"{low:,}" if low == high else f"{low:,}–{high:,}"
            for low, high in zip(self.lower, self.upper, strict=True)
        ]


def check_labels(labels: ArrayLike, name: str = "labels") -> np.ndarray:
    """Cluster labels as int64 of shape (n_samples,), or ValueError."""
    # -0.5 or "a" is no label; 3.0, as a CSV gives it, is one.
    array: np.ndarray = check_array(labels, dtype=None, ensure_2d=False, input_name=name)
    if array.ndim != 1:
        raise ValueError(f"{name} must be 1-d, got an array of shape {array.shape}.")
    if array.dtype.kind not in "iuf" or (array != np.floor(array)).any() or array.min() < -1:
        raise ValueError(f"{name} must be integers from 0, or -1 for noise.")
    return array.astype(np.int64)


def check_length(values: Sized, n_samples: int, name: str) -> None:
    """Raise ValueError unless there is one value a sample."""
    if len(values) != n_samples:
        raise ValueError(f"{name} has {len(values)} rows, but there are labels of {n_samples}.")


def check_numbers(values: ArrayLike, n_samples: int, name: str) -> np.ndarray:
    """One number a sample, float64 of shape (n_samples,), or ValueError."""
    array: np.ndarray = check_array(values, dtype=np.float64, ensure_2d=False, input_name=name)
    if array.ndim != 1:
        raise ValueError(f"{name} must be 1-d, got an array of shape {array.shape}.")
    check_length(array, n_samples, name)
    return array


def cluster_sizes(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Clusters, noise left out, and their sizes; both (n_clusters,), int64."""
    return np.unique(labels[labels != NOISE], return_counts=True)


def bin_sizes(labels: np.ndarray) -> SizeBins:
    """Count clusters, and the samples in them, by size.

    Parameters
    ----------
    labels : ndarray of shape (n_samples,), int64

    Returns
    -------
    SizeBins
    """
    sizes = cluster_sizes(labels)[1]
    n_noise = int(np.count_nonzero(labels == NOISE))
    if not len(sizes):
        empty = np.zeros(0, dtype=np.int64)
        return SizeBins(empty, empty, empty, empty, n_noise)
    upper = 2 ** np.arange(int(sizes.max() - 1).bit_length() + 1, dtype=np.int64)
    place = np.searchsorted(upper, sizes)
    first = place.min()
    count = np.bincount(place)[first:]
    samples = np.bincount(place, weights=sizes).astype(np.int64)[first:]
    lower = np.append(1, upper[:-1] + 1)
    return SizeBins(lower[first:], upper[first:], count, samples, n_noise)


def largest_clusters(labels: np.ndarray, n_clusters: int) -> np.ndarray:
    """The largest clusters, largest first, of equals the first; at most `n_clusters`, int64."""
    clusters, sizes = cluster_sizes(labels)
    return clusters[np.argsort(-sizes, kind="stable")[:n_clusters]]


def unit_rows(X: ArrayLike) -> np.ndarray:
    """Embeddings of length 1, float32 of the same shape; a row of zeros stays one."""
    X = check_array(X, dtype=np.float32, input_name="X")
    norms = np.linalg.norm(X, axis=1, keepdims=True)
    return X / np.where(norms > 0, norms, 1)


def choose_members(
    labels: np.ndarray,
    clusters: np.ndarray,
    n_members: int,
    *,
    rows: np.ndarray | None = None,
    exemplars: np.ndarray | None = None,
    probabilities: np.ndarray | None = None,
    first: np.ndarray | None = None,
) -> list[np.ndarray]:
    """Members of each cluster to show: the exemplar, then those most like it.

    Parameters
    ----------
    labels : ndarray of shape (n_samples,), int64
    clusters : ndarray of shape (n_shown,), int64
    n_members : int
        Most members of one cluster.
    rows : ndarray of shape (n_samples, n_features), float32, optional
        Unit-norm embeddings: members come in the order of their cosine to the exemplar. Without
        them, in the order of their probabilities; without those, of their rows.
    exemplars : ndarray of shape (n_clusters,), int64, optional
        Exemplar of cluster c at c. Without them, the member nearest to the cluster's mean; without
        `rows`, the first of the order.
    probabilities : ndarray of shape (n_samples,), optional
    first : ndarray of shape (n_samples,), bool, optional
        Members that come right after the exemplar, before those nearer to it.

    Returns
    -------
    list of ndarray of shape (n_members_shown,), int64
        Rows of the members.
    """
    shown = []
    # One sort instead of one pass over all labels for each cluster.
    by_cluster = np.argsort(labels, kind="stable")
    starts = np.searchsorted(labels[by_cluster], [clusters, clusters + 1])
    for cluster, start, stop in zip(clusters, *starts, strict=True):
        members = by_cluster[start:stop]
        exemplar = None if exemplars is None else exemplars[cluster]
        if rows is not None:
            center = rows[members].mean(axis=0) if exemplar is None else rows[exemplar]
            closeness = rows[members] @ center
            if exemplar is None:
                exemplar = members[np.argmax(closeness)]
                closeness = rows[members] @ rows[exemplar]
        elif probabilities is not None:
            closeness = probabilities[members]
        else:
            closeness = np.zeros(len(members))
        later = np.zeros(len(members), bool) if first is None else ~first[members]
        order = members[np.lexsort((-closeness, later, members != exemplar))]
        shown.append(order[:n_members])
    return shown
