"""Rounds of merges that training watches, and what a judge of cluster pairs learns from them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.sparse as sp

from sklearn_hilander._graph._pairs import row_stochastic, sigmoid, sparse_pair_dot
from sklearn_hilander._linkage._linkage_model import Links
from sklearn_hilander._linkage._linkage_training import LabelledGraph, out_of_fold
from sklearn_hilander._linkage._perceptron import Perceptrons
from sklearn_hilander._rounds._cluster_pairs import ClusterPairs, single_samples
from sklearn_hilander._rounds._judge import run_rounds

# Pairs of a round that training keeps: those not ruled out, at most so many.
_MIN_COLLECTED, _MAX_COLLECTED = 0.01, 6_000
# The lowest threshold of the rounds.
LOWEST = 0.15


class School:
    """Rounds seen on one data set, and what there is to learn from them.

    Parameters
    ----------
    data : LabelledGraph
    links : Links
    random : RandomState
    """

    def __init__(self, data: LabelledGraph, links: Links, random: np.random.RandomState) -> None:
        self.y = y = np.unique(data.y, return_inverse=True)[1]
        self.links = links
        self.start = single_samples(links, data.weights)
        self.one_hot = sp.csr_array((np.ones(len(y), np.float32), (np.arange(len(y)), y)))
        self.fold_of_class = np.zeros(self.one_hot.shape[1], dtype=np.int64)
        self.fold_of_class[y] = data.fold_of
        self.random = random
        self.lessons: list[tuple[np.ndarray, ...]] = []

    def class_counts(self, clusters: ClusterPairs) -> sp.csr_array:
        """Samples of each class in each cluster, (n_clusters, n_classes)."""
        n = len(clusters.labels)
        members = sp.csr_array(
            (np.ones(n, np.float32), (clusters.labels, np.arange(n))),
            shape=(clusters.n_clusters, n),
        )
        return (members @ self.one_hot).tocsr()

    def truth(self, clusters: ClusterPairs) -> np.ndarray:
        """Probability that random members of either cluster are of one class, (n_pairs,)."""
        shares = row_stochastic(self.class_counts(clusters))
        return sparse_pair_dot(shares, shares, clusters.i, clusters.j)

    def folds(self, clusters: ClusterPairs) -> tuple[np.ndarray, np.ndarray]:
        """Fold of each end of each pair: that of its most frequent class."""
        counts = self.class_counts(clusters)
        fold = self.fold_of_class[np.asarray(counts.argmax(axis=1)).reshape(-1)]
        return fold[clusters.i], fold[clusters.j]

    def truth_judge(self, clusters: ClusterPairs, relations: np.ndarray) -> np.ndarray:
        """Truth, blurred by the mean probability so that merges have an order."""
        return np.clip(0.7 * self.truth(clusters) + 0.3 * relations[:, 0], 0, 1)

    def out_of_fold_judge(self, judges: Perceptrons) -> Callable:
        """The judges, each pair by those that did not train on its classes."""

        def judge(clusters: ClusterPairs, relations: np.ndarray) -> np.ndarray:
            return sigmoid(out_of_fold(judges, relations, *self.folds(clusters)))

        return judge

    def attend(self, judge: Callable, lowest: float) -> None:
        """Remember the rounds that a judge makes."""
        for _ in run_rounds(self.start, judge, lowest=lowest, on_round=self._remember):
            pass

    def _remember(self, clusters: ClusterPairs, relations: np.ndarray, q: np.ndarray) -> None:
        rows = np.flatnonzero(q > _MIN_COLLECTED)
        if len(rows) == 0:
            rows = np.arange(len(q))
        if len(rows) > _MAX_COLLECTED:
            rows = np.sort(self.random.choice(rows, _MAX_COLLECTED, replace=False))
        fold_i, fold_j = self.folds(clusters)
        sizes = clusters.sizes[clusters.i[rows]] * clusters.sizes[clusters.j[rows]]
        self.lessons.append(
            (relations[rows], self.truth(clusters)[rows], sizes**0.25, fold_i[rows], fold_j[rows])
        )
