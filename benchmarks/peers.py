"""The clusterers that people use today, tuned on the same labelled rows that we learn from."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import pdist
from sklearn.cluster import DBSCAN, HDBSCAN
from sklearn.metrics import normalized_mutual_info_score
from sklearn.neighbors import NearestNeighbors, radius_neighbors_graph, sort_graph_by_row_values
from sklearn.preprocessing import normalize

from sklearn_hilander.metrics import (
    bcubed_precision_recall_fscore,
    pairwise_f_score,
    pairwise_precision_recall_fscore,
)

CUTS = np.linspace(0.02, 1.0, 99)
# Distances to the 5th neighbour at these quantiles are the radii that DBSCAN is tried with.
EPS_QUANTILES = np.linspace(0.02, 0.9, 30)
MIN_SAMPLES = (2, 5)


@dataclass(frozen=True)
class Peer:
    """A clusterer and how it is tuned.

    Attributes
    ----------
    name : str
    tuned : str
        What was tuned, for the table.
    fit : callable
        (X_meta, y_meta) -> callable (X) -> labels.
    is_random : bool, default=False
        Whether clusters differ from seed to seed; `fit` then takes a `seed`, too.
    """

    name: str
    tuned: str
    fit: Callable[..., Callable[[np.ndarray], np.ndarray]]
    is_random: bool = False


def figures(y: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """What a clustering reached; -1 rows count as clusters of one.

    Parameters
    ----------
    y, labels : ndarray of shape (n_samples,), int

    Returns
    -------
    dict
    """
    alone = np.flatnonzero(labels == -1)
    single = labels.copy()
    single[alone] = labels.max() + 1 + np.arange(len(alone))
    precision, recall, pairwise = pairwise_precision_recall_fscore(y, labels)
    classes = np.unique(y, return_inverse=True)[1]
    largest = classes[single == np.bincount(single).argmax()]
    return {
        "pairwise_f": pairwise,
        "pairwise_precision": precision,
        "pairwise_recall": recall,
        "bcubed_f": bcubed_precision_recall_fscore(y, labels)[2],
        "nmi": normalized_mutual_info_score(y, single),
        "n_clusters": len(np.unique(labels[labels >= 0])),
        "n_noise": len(alone),
        "n_classes": int(classes.max()) + 1,
        "largest_cluster": len(largest),
        "largest_cluster_purity": float(np.bincount(largest).max() / len(largest)),
    }


def best_by_pairwise_f(y: np.ndarray, candidates: Iterable[tuple[object, np.ndarray]]) -> object:
    """Setting whose labels have the highest pairwise F."""
    return max(candidates, key=lambda pair: pairwise_f_score(y, pair[1]))[0]


def tree_of(X: np.ndarray) -> np.ndarray:
    """Average linkage over cosine distances, as scipy gives it."""
    return linkage(pdist(normalize(X).astype(np.float32), "cosine"), "average")


def fit_average_linkage(X: np.ndarray, y: np.ndarray) -> Callable:
    """Choose where to cut the tree of average linkage."""
    tree = tree_of(X)
    cut = best_by_pairwise_f(y, ((c, fcluster(tree, c, "distance")) for c in CUTS))
    return lambda X: fcluster(tree_of(X), cut, "distance").astype(np.int64) - 1


def dbscan(X: np.ndarray, eps: float, min_samples: int) -> np.ndarray:
    """Cluster by DBSCAN over unit rows."""
    # The Euclidean distance of unit rows has the order of the cosine, and is much quicker.
    graph = radius_neighbors_graph(normalize(X), eps, mode="distance", include_self=True)
    graph = sort_graph_by_row_values(graph, warn_when_not_sorted=False)
    return DBSCAN(eps=eps, min_samples=min_samples, metric="precomputed").fit_predict(graph)


def fit_dbscan(X: np.ndarray, y: np.ndarray) -> Callable:
    """Choose the radius and `min_samples` of DBSCAN."""
    k = min(5, len(X) - 1)
    fifth = NearestNeighbors(n_neighbors=k).fit(normalize(X)).kneighbors()[0][:, -1]
    settings = [
        (eps, min_samples)
        for eps in np.unique(np.quantile(fifth, EPS_QUANTILES))
        for min_samples in MIN_SAMPLES
    ]
    eps, min_samples = best_by_pairwise_f(y, ((s, dbscan(X, *s)) for s in settings))
    return partial(dbscan, eps=eps, min_samples=min_samples)


def fit_hdbscan(X: np.ndarray, y: np.ndarray) -> Callable:
    """HDBSCAN needs no tuning: its own defaults, over unit rows."""
    return lambda X: HDBSCAN(min_cluster_size=5, copy=True).fit_predict(normalize(X))


PEERS = (
    Peer("DBSCAN", "eps, min_samples", fit_dbscan),
    Peer("average linkage", "cut", fit_average_linkage),
    Peer("HDBSCAN", "nothing", fit_hdbscan),
)
