"""The decoder and the threshold that do best on held-out classes, out of fold."""

from __future__ import annotations

import numpy as np
from sklearn.metrics.cluster import contingency_matrix

from sklearn_hilander._linkage._perceptron import Perceptrons
from sklearn_hilander._rounds._decoders import CANDIDATES, Decoder, partitions
from sklearn_hilander._rounds._lessons import LOWEST, School
from sklearn_hilander.metrics import bcubed_f_score, pairwise_f_score

# Thresholds whose score is this close to the best do as well.
_PLATEAU = 0.02
# What the judge's threshold is to be near is no lower: where F is low, its probabilities are too
# sure of new classes.
_LEAST = 0.35
# Above the first score, held-out classes stand so far apart that they tell little of a threshold;
# at 1 they tell nothing, and it is this one.
_TELLS_LITTLE, _CAREFUL = 0.95, 0.8


def choose_decoder(
    schools: list[School], judges: Perceptrons
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
                list(partitions(kind, school.links, school.start, judge, LOWEST, every=True))
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
