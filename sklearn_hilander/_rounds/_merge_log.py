"""The merges of the rounds, so that those above a threshold give the clusters of that threshold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sklearn_hilander._types import Merges


@dataclass(frozen=True)
class MergeLog:
    """Merges so far, at probabilities that fall from the leaves to the roots.

    A merge counts with the least of its own probability, those of the merges within either
    cluster, and the threshold before: then the merges above a threshold give the clusters of
    that threshold.

    Attributes
    ----------
    representative : ndarray of shape (n_clusters,), int64
        A sample of each cluster.
    carried : ndarray of shape (n_clusters,), float64
        Least probability within each cluster; 1 for a single sample.
    merges : tuple of Merges
        One a round.
    """

    representative: np.ndarray
    carried: np.ndarray
    merges: tuple[Merges, ...] = ()

    @classmethod
    def of_samples(cls, n_samples: int) -> MergeLog:
        """An empty log of clusters that are one sample each."""
        return cls(np.arange(n_samples), np.ones(n_samples))

    def record(
        self, a: np.ndarray, b: np.ndarray, q: np.ndarray, highest: float, new_of: np.ndarray
    ) -> MergeLog:
        """Add the merges of one round.

        Parameters
        ----------
        a, b : ndarray of shape (n_merges,), int64
            Clusters that became one.
        q : ndarray of shape (n_merges,)
        highest : float
            The threshold before.
        new_of : ndarray of shape (n_clusters,), int64
            Of `merge`.
        """
        w = np.minimum(np.minimum(q.astype(np.float64), highest), self.carried[a])
        w = np.minimum(w, self.carried[b])
        n = int(new_of.max()) + 1
        carried, representative = np.ones(n), np.full(n, len(new_of))
        np.minimum.at(carried, new_of, self.carried)
        np.minimum.at(carried, new_of[a], w)
        representative[new_of[::-1]] = self.representative[::-1]
        made = Merges(self.representative[a], self.representative[b], w)
        return MergeLog(representative, carried, (*self.merges, made))
