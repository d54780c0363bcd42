"""Training of the dimension-free architecture: links, then a judge on merges of its own."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.sparse as sp
from sklearn.metrics.cluster import contingency_matrix

from sklearn_hilander._files._checkpoint import Checkpoint
from sklearn_hilander._graph._pair_graph import PairGraph
from sklearn_hilander._graph._pairs import row_stochastic, sigmoid, sparse_pair_dot
from sklearn_hilander._linkage._linkage_model import STAGES, Links
from sklearn_hilander._linkage._linkage_training import (
    N_FOLDS,
    LabelledGraph,
    out_of_fold,
    outside_fold,
    train_linkage,
)
from sklearn_hilander._linkage._perceptron import Perceptrons
from sklearn_hilander._linkage._perceptron_training import (
    PerceptronSettings,
    kept_as_one,
    kept_perceptrons,
)
from sklearn_hilander._rounds._cluster_pairs import ClusterPairs, single_samples
from sklearn_hilander._rounds._decoders import CANDIDATES, Decoder, partitions, similarity_judge
from sklearn_hilander._rounds._judge import run_rounds
from sklearn_hilander._rounds._relational import RelationalModel
from sklearn_hilander.metrics import bcubed_f_score, pairwise_f_score

# Pairs of a round that training keeps: those not ruled out, at most so many.
_MIN_COLLECTED, _MAX_COLLECTED = 0.01, 6_000
_LOWEST_FOR_TRUTH, _LOWEST = 0.4, 0.15
# Rounds of earlier passes that the next pass trains on too.
_REMEMBERED = 25
# Thresholds whose score is this close to the best do as well.
_PLATEAU = 0.02
# What the judge's threshold is to be near is no lower: where F is low, its probabilities are too
# sure of new classes.
_LEAST = 0.35
# Above the first score, held-out classes stand so far apart that they tell little of a threshold;
# at 1 they tell nothing, and it is this one.
_TELLS_LITTLE, _CAREFUL = 0.95, 0.8


def train_relational(
    data: list[LabelledGraph],
    build_graph: Callable[..., PairGraph],
    *,
    max_iter: int,
    settings: PerceptronSettings,
    seed: int,
    on_network: Callable[[float], None],
    start: Perceptrons | None = None,
    checkpoint: Checkpoint | None = None,
    n_stages: tuple[int, int] = STAGES,
    as_one: bool = False,
) -> tuple[RelationalModel | None, float, list[float]]:
    """Learn from labelled data sets; every score is made by networks of other classes.

    Parameters
    ----------
    data : list of LabelledGraph
        Those without a pair are left out.
    build_graph : callable
    max_iter : int
        Passes over the merges: the first on those that labels and probabilities make, the others on
        those that the judge itself makes, which a judge to start from does in the first, too.
    settings : PerceptronSettings
    seed : int
    on_network : callable
        Called with the loss of each network.
    start : Perceptrons, optional
        A judge of other data to go on from: it makes merges of its own from the first pass on.
    checkpoint : Checkpoint, optional
        Where the networks of each stage and pass are kept. Relations and rounds are computed again.
    n_stages : tuple of int, default=STAGES
        Of linkage, on the graph as given, and on that of whitened embeddings.
    as_one : bool, default=False
        The networks of the folds are taught to one, which is as many times quicker. On data like
        that they learned from it says what they do.

    Returns
    -------
    model : RelationalModel or None
        None if there is no pair to learn from.
    linkage_threshold : float
        Half of the best F on the training samples, judged out of fold, or more where that is low or
        near 1; or the nearest whose BCubed F is as good as the best.
    loss_curve : list of float
        Mean loss of the judges of each pass.
    """
    data = [one for one in data if len(one.graph.i)]
    if not data:
        return None, 0.5, []
    checkpoint = checkpoint or Checkpoint()
    linkage, links = train_linkage(
        data,
        build_graph,
        settings=settings,
        seed=seed,
        on_network=on_network,
        checkpoint=checkpoint,
        n_stages=n_stages,
        as_one=as_one,
    )
    random = np.random.RandomState(seed)
    schools = [_School(one, of_one, random) for one, of_one in zip(data, links, strict=True)]
    judges = start = start and start.repeated(N_FOLDS)
    loss_curve = []
    for number in range(max_iter):
        for school in schools:
            if number == 0:
                school.attend(school.truth_judge, _LOWEST_FOR_TRUTH)
                school.attend(similarity_judge, _LOWEST_FOR_TRUTH)
            if judges is not None:
                school.attend(school.out_of_fold_judge(judges), _LOWEST)
        lessons = [lesson for school in schools for lesson in school.lessons]
        features, targets, weights, fold_i, fold_j = (
            np.concatenate(parts) for parts in zip(*lessons, strict=True)
        )
        # One judge a fold.
        judges, losses = kept_perceptrons(
            checkpoint,
            f"judges {number}",
            features,
            targets,
            [outside_fold(fold, fold_i, fold_j) for fold in range(N_FOLDS)],
            weights=weights,
            settings=settings,
            seed=seed + 100 * (number + 1),
            start=start,
        )
        if number < 2:
            for school in schools:
                school.lessons = school.lessons[-_REMEMBERED:]
        loss_curve.append(float(np.mean(losses)))
        for loss in losses:
            on_network(loss)
    assert judges is not None, "there is one pass at least"
    chosen_by = [school for school, one in zip(schools, data, strict=True) if one.to_choose_by]
    chosen_by = chosen_by or schools
    threshold, decoder, scores = _calibrate(chosen_by, judges)
    if as_one:
        judges = kept_as_one(
            checkpoint,
            "judge as one",
            judges,
            features,
            weights=weights,
            settings=settings,
            seed=seed + 50 * (max_iter + 1),
        )
    n_learned = sum(len(school.y) for school in chosen_by)
    model = RelationalModel(linkage, judges, threshold, decoder, scores, n_learned)
    return model, threshold, loss_curve


class _School:
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


def _calibrate(
    schools: list[_School], judges: Perceptrons
) -> tuple[float, Decoder, dict[str, float]]:
    """Threshold of the judge, the decoder that does best or the first as good, and F of each.

    A merge at the probability q raises an expected F where q is over one half of it (Lipton, Elkan
    and Narayanaswamy, ECML 2014). So the threshold of the judge, whose probabilities are meant to
    be true, is half of the best F that it has, or the nearest whose BCubed F is as good as the
    best. Where F is low, they are too sure, and `_LEAST` takes the place of half of it. As F comes
    near 1 it rises: more classes than were held out will stand nearer to each other, and then a
    false merge joins whole clusters. Scores of average linkage are no probabilities: it has the
    middle of those that do as well.

    Decoders are compared by their best, so that none gains or loses by where its threshold comes
    from. Those within one standard error of the best, over the classes, are as good (Breiman,
    Friedman, Olshen, Stone, "Classification and Regression Trees", 1984).
    """
    found = []
    for kind in CANDIDATES:
        of_schools, decoded = [], []
        for school in schools:
            judge = school.out_of_fold_judge(judges)
            decoded.append(
                list(partitions(kind, school.links, school.start, judge, _LOWEST, every=True))
            )
            of_schools.append([_both_f(school.y, labels) for _, labels in decoded[-1]])
        both = np.mean(of_schools, axis=0)
        mean, bcubed = both.mean(axis=1), both[:, 1]
        thresholds = np.array([threshold for threshold, _ in decoded[0]])
        highest = int(mean.argmax())
        if kind == "judge":
            # Most pairs may be of one class, whose luck they then tell; rows count alike.
            good = np.flatnonzero(bcubed >= bcubed.max() - _PLATEAU)
            at = good[np.abs(thresholds[good] - _threshold_for(mean[highest])).argmin()]
        else:
            good = np.flatnonzero(mean >= mean[highest] - _PLATEAU)
            at = good[len(good) // 2]
        of_classes = [
            f_of_classes(school.y, of_school[highest][1])
            for school, of_school in zip(schools, decoded, strict=True)
        ]
        found.append(
            (mean[highest], np.concatenate(of_classes), Decoder(kind, float(thresholds[at])))
        )
    best, of_best, _ = max(found, key=lambda one: one[0])
    decoder = next(
        decoder
        for score, of_classes, decoder in found
        if best - score <= (of_best - of_classes).std() / len(of_best) ** 0.5
    )
    scores = {decoder.kind: float(score) for score, _, decoder in found}
    return found[0][-1].threshold, decoder, scores


def _threshold_for(score: float) -> float:
    """The threshold of the judge at a best F of so much."""
    tells_nothing = max(0.0, (score - _TELLS_LITTLE) / (1 - _TELLS_LITTLE))
    usual = max(score / 2, _LEAST)
    return usual + tells_nothing * (_CAREFUL - usual)


def f_of_classes(y: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """BCubed F of each class by itself, (n_classes,).

    Parameters
    ----------
    y, labels : ndarray of shape (n_samples,), int64
        Classes and clusters.
    """
    counts = contingency_matrix(y, labels, sparse=True, dtype=np.float64)
    of_class, of_cluster = counts.sum(axis=1), counts.sum(axis=0)
    squares = counts.multiply(counts)
    of_class = np.asarray(of_class).reshape(-1)
    recall = np.asarray(squares.sum(axis=1)).reshape(-1) / of_class**2
    precision = squares @ (1 / np.asarray(of_cluster).reshape(-1)) / of_class
    return 2 * precision * recall / (precision + recall)


def _both_f(y: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    return pairwise_f_score(y, labels), bcubed_f_score(y, labels)
