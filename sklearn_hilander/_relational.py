"""The dimension-free architecture: linkage of sample pairs, then a judge of cluster pairs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch

from sklearn_hilander._judge import (
    ClusterPairs,
    run_rounds,
    single_samples,
)
from sklearn_hilander._linkage_model import (
    N_FOLDS,
    LinkageModel,
    assign_folds,
    out_of_fold,
    outside_fold,
    train_linkage,
)
from sklearn_hilander._neighbors import build_neighbor_graph
from sklearn_hilander._pairs import pair_dot, row_stochastic, sigmoid, sparse_pair_dot
from sklearn_hilander._perceptron import Perceptron, PerceptronSettings, fit_perceptron
from sklearn_hilander._relations import PairGraph, pair_graph
from sklearn_hilander.metrics import bcubed_f_score, pairwise_f_score

# Pairs of a round that training keeps: those not ruled out, at most so many.
_MIN_COLLECTED, _MAX_COLLECTED = 0.01, 6_000
_LOWEST_FOR_TRUTH, _LOWEST = 0.4, 0.15
# Rounds of earlier passes that the next pass trains on too.
_REMEMBERED = 25
# Thresholds whose score is this close to the best are as good; the middle one is taken.
_PLATEAU = 0.02


@dataclass(frozen=True)
class RelationalModel:
    """What meta-training leaves.

    Attributes
    ----------
    linkage : LinkageModel
    judges : tuple of Perceptron
        One a fold; a pair's log-odds are their mean.
    """

    linkage: LinkageModel
    judges: tuple[Perceptron, ...]

    def judge(self, clusters: ClusterPairs, relations: np.ndarray) -> np.ndarray:
        """Probability of each cluster pair to be one class."""
        return sigmoid(np.mean([net.log_odds(relations) for net in self.judges], axis=0))


def graph_builder(n_neighbors: int, **search: object) -> Callable[[np.ndarray], PairGraph]:
    """Embeddings -> PairGraph, with these settings of the search."""

    def build(features: np.ndarray) -> PairGraph:
        graph = build_neighbor_graph(torch.from_numpy(features), n_neighbors, **search)
        return pair_graph(features, graph.indices.numpy(), graph.similarities.numpy())

    return build


def train_relational(
    features: np.ndarray,
    y: np.ndarray,
    weights: np.ndarray,
    build_graph: Callable[[np.ndarray], PairGraph],
    *,
    max_iter: int,
    settings: PerceptronSettings,
    seed: int,
    on_network: Callable[[float], None],
) -> tuple[RelationalModel | None, float, list[float]]:
    """Learn from labelled embeddings; every score is made by networks of other classes.

    Parameters
    ----------
    features : ndarray of shape (n_samples, n_features), float32
    y : ndarray of shape (n_samples,), int64
    weights : ndarray of shape (n_samples,)
    build_graph : callable
    max_iter : int
        Passes over the merges: the first on those that labels and probabilities make, the others on
        those that the judge itself makes.
    settings : PerceptronSettings
    seed : int
    on_network : callable
        Called with the loss of each network.

    Returns
    -------
    model : RelationalModel or None
        None if there is no pair to learn from.
    linkage_threshold : float
        The middle of those that do best on the training samples, judged out of fold.
    loss_curve : list of float
        Mean loss of the judges of each pass.
    """
    graph = build_graph(features) if len(features) > 1 else None
    if graph is None or len(graph.i) == 0:
        return None, 0.5, []
    fold_of = assign_folds(y, seed)
    linkage, links = train_linkage(
        graph, build_graph, y, fold_of, settings=settings, seed=seed, on_network=on_network
    )
    start = single_samples(links, weights)
    school = _School(y, fold_of, settings, seed)
    judges: list[Perceptron] = []
    loss_curve = []
    for number in range(max_iter):
        if number == 0:
            school.attend(start, school.truth_judge, _LOWEST_FOR_TRUTH)
            school.attend(start, _similarity_judge, _LOWEST_FOR_TRUTH)
        else:
            school.attend(start, school.out_of_fold_judge(judges), _LOWEST)
        judges, losses = school.teach(number)
        loss_curve.append(float(np.mean(losses)))
        for loss in losses:
            on_network(loss)
    threshold = _calibrate(start, school.out_of_fold_judge(judges), y)
    return RelationalModel(linkage, tuple(judges)), threshold, loss_curve


class _School:
    """Rounds seen in training, and what there is to learn from them.

    Parameters
    ----------
    y : ndarray of shape (n_samples,), int64
    fold_of : ndarray of shape (n_samples,), int64
    settings : PerceptronSettings
    seed : int
    """

    def __init__(
        self, y: np.ndarray, fold_of: np.ndarray, settings: PerceptronSettings, seed: int
    ) -> None:
        self.one_hot = sp.csr_array((np.ones(len(y), np.float32), (np.arange(len(y)), y)))
        self.fold_of_class = np.zeros(self.one_hot.shape[1], dtype=np.int64)
        self.fold_of_class[y] = fold_of
        self.settings = settings
        self.seed = seed
        self.random = np.random.RandomState(seed)
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

    def out_of_fold_judge(self, judges: list[Perceptron]) -> Callable:
        """The judges, each pair by those that did not train on its classes."""

        def judge(clusters: ClusterPairs, relations: np.ndarray) -> np.ndarray:
            return sigmoid(out_of_fold(judges, relations, *self.folds(clusters)))

        return judge

    def attend(self, start: ClusterPairs, judge: Callable, lowest: float) -> None:
        """Remember the rounds that a judge makes."""
        for _ in run_rounds(start, judge, lowest=lowest, on_round=self._remember):
            pass

    def teach(self, number: int) -> tuple[list[Perceptron], list[float]]:
        """Train one judge a fold on the rounds remembered, and forget the oldest."""
        features, targets, weights, fold_i, fold_j = (
            np.concatenate(parts) for parts in zip(*self.lessons, strict=True)
        )
        judges, losses = [], []
        for fold in range(N_FOLDS):
            rows = outside_fold(fold, fold_i, fold_j)
            network, loss = fit_perceptron(
                features[rows],
                targets[rows],
                weights=weights[rows],
                settings=self.settings,
                seed=self.seed + 100 * (number + 1) + fold,
            )
            judges.append(network)
            losses.append(loss)
        if number < 2:
            self.lessons = self.lessons[-_REMEMBERED:]
        return judges, losses

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


def _similarity_judge(clusters: ClusterPairs, relations: np.ndarray) -> np.ndarray:
    """Average linkage: mean probability and mean similarity in the smoothed view, half each."""
    size = clusters.sizes
    i, j = clusters.i, clusters.j
    mean = pair_dot(clusters.sums[0], i, j) / (size[i] * size[j])
    return 0.5 * relations[:, 0] + 0.5 * np.clip(mean, 0, 1)


def _calibrate(start: ClusterPairs, judge: Callable, y: np.ndarray) -> float:
    """Middle of the thresholds whose pairwise and BCubed F are as good as the best."""
    thresholds, scores = [], []
    for threshold, clusters in run_rounds(start, judge, lowest=_LOWEST):
        thresholds.append(threshold)
        labels = clusters.labels
        scores.append((pairwise_f_score(y, labels) + bcubed_f_score(y, labels)) / 2)
    good = np.flatnonzero(np.asarray(scores) >= max(scores) - _PLATEAU)
    return thresholds[good[len(good) // 2]]
