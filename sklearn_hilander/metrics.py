"""Pairwise and BCubed precision, recall and F, and scorers for model selection.

Both families are read from one sparse contingency table of classes and clusters,
in memory proportional to the number of samples.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse
from scipy.optimize import linear_sum_assignment
from scipy.sparse.csgraph import connected_components
from sklearn.pipeline import Pipeline
from sklearn.utils import check_array, check_consistent_length

__all__ = [
    "bcubed_f_score",
    "bcubed_f_scorer",
    "bcubed_precision_recall_fscore",
    "match_labels",
    "pairwise_f_score",
    "pairwise_f_scorer",
    "pairwise_precision_recall_fscore",
]

NOISE = -1


def _check_labels(labels: ArrayLike, name: str) -> np.ndarray:
    """Return `labels` as a non-empty ndarray of shape (n_samples,), or raise ValueError."""
    if isinstance(labels, (list, tuple)) and np.asarray(labels).dtype.kind in "US":
        # NumPy would turn the -1 of ["a", -1] into a string, and noise into a class.
        labels = np.asarray(labels, dtype=object)
    # What these options let through gets an error below that names the argument.
    lenient = {"ensure_2d": False, "allow_nd": True, "ensure_min_samples": 0}
    array = check_array(labels, dtype=None, ensure_min_features=0, input_name=name, **lenient)
    if array.ndim != 1:
        raise ValueError(f"{name} must be 1-d, got an array of shape {array.shape}.")
    if array.size == 0:
        raise ValueError(f"{name} is empty: at least one sample is needed.")
    return array


def _encode(labels: np.ndarray) -> np.ndarray:
    """Return codes from 0, int64 of shape (n_samples,); each noise row has one of its own."""
    if labels.dtype.kind == "O":
        # A dictionary, since labels of mixed types have no order to sort by.
        known: dict[Any, int] = {}
        codes = np.fromiter(
            (known.setdefault(label, len(known)) for label in labels), np.int64, labels.size
        )
        n_codes = len(known)
        noise = codes == known.get(NOISE, -1)
    else:
        values, inverse = np.unique(labels, return_inverse=True)
        codes, n_codes = inverse.astype(np.int64, copy=False), values.size
        noise = labels == NOISE if labels.dtype.kind in "if" else np.zeros(labels.size, bool)
    codes[noise] = n_codes + np.arange(np.count_nonzero(noise))
    return codes


def _contingency(
    labels_true: ArrayLike, labels_pred: ArrayLike
) -> tuple[sparse.coo_array, np.ndarray, np.ndarray]:
    """Count the samples of each class, each cluster, and each class in each cluster.

    Returns the table, int64 of shape (n_classes, n_clusters) with at most n_samples
    entries and no duplicates, and the sizes, integers of shapes (n_classes,), (n_clusters,).
    """
    true = _check_labels(labels_true, "labels_true")
    pred = _check_labels(labels_pred, "labels_pred")
    check_consistent_length(true, pred)
    classes, clusters = _encode(true), _encode(pred)
    class_sizes, cluster_sizes = np.bincount(classes), np.bincount(clusters)
    table = sparse.coo_array(
        (np.ones(classes.size, dtype=np.int64), (classes, clusters)),
        shape=(class_sizes.size, cluster_sizes.size),
    )
    # Going through CSR sums the duplicate entries in linear time.
    return table.tocsr().tocoo(), class_sizes, cluster_sizes


def _n_pairs(sizes: np.ndarray) -> int:
    """Return the number of unordered pairs within groups of the given sizes."""
    sizes = sizes.astype(np.int64, copy=False)
    return int(np.sum(sizes * (sizes - 1) // 2))


def pairwise_precision_recall_fscore(
    labels_true: ArrayLike, labels_pred: ArrayLike
) -> tuple[float, float, float]:
    r"""Compute pairwise precision, recall and F.

    A clustering is read as a set of statements "these two samples belong together".
    Over unordered pairs, with :math:`n_{ij}` samples of class i in cluster j,

    .. math::

        P = \frac{\sum_{ij} \binom{n_{ij}}{2}}{\sum_j \binom{n_{\cdot j}}{2}}, \quad
        R = \frac{\sum_{ij} \binom{n_{ij}}{2}}{\sum_i \binom{n_{i \cdot}}{2}}, \quad
        F = \frac{2 P R}{P + R}.

    Parameters
    ----------
    labels_true, labels_pred : array-like of shape (n_samples,)
        Classes and clusters: integers, strings or any hashable objects.

    Returns
    -------
    precision, recall : float
        Share of the pairs within clusters that are within classes too, and the reverse.
    f : float
        Harmonic mean of the two; 1.0 exactly when both partitions are the same.

    Raises
    ------
    ValueError
        If an argument is empty, is not 1-d or holds NaN, or if lengths differ.

    Notes
    -----
    A row labelled -1 (the number, not the string), on either side, stands alone: it is
    a class or cluster of its own. What DBSCAN and its kin call noise belongs to no
    cluster; such rows are not together, yet not dropped: leaving samples out costs recall.

    A ratio over no pairs at all is 1.0, since no statement was made that could be wrong
    (as the last point of a precision-recall curve has precision 1 and recall 0). So a
    clustering of singletons has precision 1.0 and, if there are pairs to be found,
    recall 0.0 and F 0.0. If neither side has a pair, all three are 1.0.

    References
    ----------
    .. [1] C. D. Manning, P. Raghavan, H. Schütze (2008). Introduction to Information
       Retrieval, section 16.3. Cambridge University Press.

    Examples
    --------
    >>> from sklearn_hilander.metrics import pairwise_precision_recall_fscore
    >>> pairwise_precision_recall_fscore([0, 0, 0, 1], ["a", "a", "b", "b"])
    (0.5, 0.3333333333333333, 0.4)
    """
    table, class_sizes, cluster_sizes = _contingency(labels_true, labels_pred)
    # Python integers from here on: exact at any size.
    n_both = _n_pairs(table.data)
    n_true, n_pred = _n_pairs(class_sizes), _n_pairs(cluster_sizes)
    precision = n_both / n_pred if n_pred else 1.0
    recall = n_both / n_true if n_true else 1.0
    f = 2 * n_both / (n_true + n_pred) if n_true + n_pred else 1.0
    return precision, recall, f


def pairwise_f_score(labels_true: ArrayLike, labels_pred: ArrayLike) -> float:
    """Compute pairwise F: the third value of `pairwise_precision_recall_fscore`, same errors.

    Parameters
    ----------
    labels_true, labels_pred : array-like of shape (n_samples,)
        Classes and clusters. Rows labelled -1 stand alone, as noise belongs to no cluster.

    Returns
    -------
    f : float
        Between 0.0 and 1.0; 1.0 exactly when both partitions are the same.
    """
    return pairwise_precision_recall_fscore(labels_true, labels_pred)[2]


def bcubed_precision_recall_fscore(
    labels_true: ArrayLike, labels_pred: ArrayLike
) -> tuple[float, float, float]:
    r"""Compute BCubed precision, recall and F.

    A sample's precision is the share of its cluster, itself included, that is of its
    class; its recall is the share of its class that is in its cluster. Averaged over the
    n samples, so that large classes dominate less than by pairs:

    .. math::

        P = \frac{1}{n} \sum_{ij} \frac{n_{ij}^2}{n_{\cdot j}}, \quad
        R = \frac{1}{n} \sum_{ij} \frac{n_{ij}^2}{n_{i \cdot}}, \quad
        F = \frac{2 P R}{P + R}.

    Parameters
    ----------
    labels_true, labels_pred : array-like of shape (n_samples,)
        Classes and clusters: integers, strings or any hashable objects. Each row labelled
        -1 stands alone, as noise belongs to no cluster; `pairwise_precision_recall_fscore`
        says more.

    Returns
    -------
    precision, recall : float
        Means over the samples. Never 0, as each sample is its own companion.
    f : float
        Harmonic mean of the two means; 1.0 exactly when both partitions are the same.

    Raises
    ------
    ValueError
        If an argument is empty, is not 1-d or holds NaN, or if lengths differ.

    References
    ----------
    .. [1] A. Bagga, B. Baldwin (1998). Entity-based cross-document coreferencing using
       the vector space model. COLING-ACL.
    .. [2] E. Amigó, J. Gonzalo, J. Artiles, F. Verdejo (2009). A comparison of extrinsic
       clustering evaluation metrics based on formal constraints. Information Retrieval
       12, 461-486.
    """
    table, class_sizes, cluster_sizes = _contingency(labels_true, labels_pred)
    counts = table.data
    n_samples = int(counts.sum())
    # Dividing before multiplying keeps whole classes exact, so equal partitions give 1.0.
    precision = float(np.sum(counts * (counts / cluster_sizes[table.col]))) / n_samples
    recall = float(np.sum(counts * (counts / class_sizes[table.row]))) / n_samples
    return precision, recall, 2 * precision * recall / (precision + recall)


def bcubed_f_score(labels_true: ArrayLike, labels_pred: ArrayLike) -> float:
    """Compute BCubed F: the third value of `bcubed_precision_recall_fscore`, same errors.

    Parameters
    ----------
    labels_true, labels_pred : array-like of shape (n_samples,)
        Classes and clusters. Rows labelled -1 stand alone, as noise belongs to no cluster.

    Returns
    -------
    f : float
        Above 0.0, at most 1.0; 1.0 exactly when both partitions are the same.
    """
    return bcubed_precision_recall_fscore(labels_true, labels_pred)[2]


def _cluster_afresh(estimator: Any, X: Any) -> np.ndarray:
    """Cluster `X` with a copy of the fitted clusterer, behind its pipeline's transformers."""
    # Also a pipeline within a pipeline: fit_predict of a Pipeline would refit its steps.
    while isinstance(estimator, Pipeline):
        if len(estimator.steps) > 1:
            X = estimator[:-1].transform(X)
        estimator = estimator[-1]
    clusterer = copy.copy(estimator)
    if hasattr(clusterer, "random_state"):
        # A generator is shared by a shallow copy, and drawing from it is a change of state.
        clusterer.random_state = copy.deepcopy(clusterer.random_state)
    return clusterer.fit_predict(X)


def pairwise_f_scorer(estimator: Any, X: Any, y: ArrayLike) -> float:
    """Cluster `X` afresh and compute pairwise F against `y`: a scorer.

    For ``GridSearchCV(..., scoring=pairwise_f_scorer)`` and `cross_val_score`; works with
    any clusterer that has `fit_predict`, even without `predict`. Use it with
    `GroupKFold` and ``groups=y`` to score on classes that the fit has not seen.

    Parameters
    ----------
    estimator : estimator or Pipeline
        The fitted clusterer. Its state does not change: a shallow copy is used. The
        transformers of a pipeline transform `X` and are not fitted again.
    X : array-like of shape (n_samples, n_features)
        Samples to cluster.
    y : array-like of shape (n_samples,)
        Their classes. Each row labelled -1, here or by the clusterer, stands alone.

    Returns
    -------
    f : float
        Pairwise F, between 0.0 and 1.0.

    Raises
    ------
    ValueError
        If `y` is empty, is not 1-d or holds NaN, or has another length than `X`.
    """
    return pairwise_f_score(y, _cluster_afresh(estimator, X))


def bcubed_f_scorer(estimator: Any, X: Any, y: ArrayLike) -> float:
    """Cluster `X` afresh and compute BCubed F against `y`: a scorer.

    Used as `pairwise_f_scorer` is, with the same errors.

    Parameters
    ----------
    estimator : estimator or Pipeline
        The fitted clusterer; its state does not change.
    X : array-like of shape (n_samples, n_features)
        Samples to cluster.
    y : array-like of shape (n_samples,)
        Their classes. Each row labelled -1, here or by the clusterer, stands alone.

    Returns
    -------
    f : float
        BCubed F, above 0.0 and at most 1.0.
    """
    return bcubed_f_score(y, _cluster_afresh(estimator, X))


def match_labels(old: ArrayLike, new: ArrayLike) -> np.ndarray:
    """Renumber the clusters of `new` so that they keep the numbers they had in `old`.

    Clusters are matched one to one so that as many rows as possible keep their number (an optimal
    assignment). A cluster that is matched to none gets the next free number, in the order of its
    first row.

    Parameters
    ----------
    old : array-like of shape (n_old,), int
        Labels of before; -1 is no cluster.
    new : array-like of shape (n_new,), int
        Labels of now, ``n_new >= n_old``: the first rows are those of `old`. -1 stays -1.

    Returns
    -------
    ndarray of shape (n_new,), int64
        The same clusters as `new`. Not contiguous where a cluster of `old` is gone.

    Raises
    ------
    ValueError
        If there are fewer new rows than old ones, or labels are not integers from -1 on.

    Notes
    -----
    Time is that of the optimal assignment of each connected part of the table of old and new
    clusters, so it is close to O(n_new) where most clusters stay what they were.

    Examples
    --------
    >>> from sklearn_hilander.metrics import match_labels
    >>> match_labels([0, 0, 1, 1, 1], [1, 1, 0, 0, 2, 2]).tolist()
    [0, 0, 1, 1, 2, 2]
    """
    old, new = _cluster_numbers(old, "old"), _cluster_numbers(new, "new")
    if len(new) < len(old):
        raise ValueError(
            f"new has {len(new)} labels and old {len(old)}: the first rows of new must be those "
            "of old."
        )
    found, number_in = np.unique(new[new >= 0], return_inverse=True)
    columns = np.full(len(new), -1)
    columns[new >= 0] = number_in.reshape(-1)
    both = (old >= 0) & (columns[: len(old)] >= 0)
    shape = (int(old.max(initial=-1)) + 1, len(found))
    shared = sparse.coo_array(
        (np.ones(both.sum()), (old[both], columns[: len(old)][both])), shape=shape
    ).tocsr()
    number = np.full(len(found), -1, dtype=np.int64)
    for rows, cols in _connected_parts(shared):
        part = shared[rows][:, cols].toarray()
        taken = linear_sum_assignment(part, maximize=True)
        agree = part[taken] > 0
        number[cols[taken[1][agree]]] = rows[taken[0][agree]]
    free = np.flatnonzero(number < 0)
    first = np.full(len(found), len(new))
    np.minimum.at(first, columns[columns >= 0], np.flatnonzero(columns >= 0))
    number[free[np.argsort(first[free])]] = shape[0] + np.arange(len(free))
    return np.where(columns >= 0, number[columns] if len(found) else -1, -1)


def _cluster_numbers(labels: ArrayLike, name: str) -> np.ndarray:
    """Labels as int64, or ValueError."""
    array = np.asarray(labels)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise ValueError(f"{name} must be integers of shape (n_samples,).")
    array = array.astype(np.int64)
    if array.min(initial=0) < -1:
        raise ValueError(f"{name} has the label {array.min()}; labels are from -1 on.")
    return array


def _connected_parts(shared: sparse.csr_array) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows and columns of each connected part of a table that has both."""
    n_rows, n_columns = shared.shape
    table = shared.tocoo()
    n = n_rows + n_columns
    graph = sparse.coo_array((np.ones(table.nnz), (table.row, n_rows + table.col)), shape=(n, n))
    _, part = connected_components(graph, directed=False)
    order = np.argsort(part, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(part[order])) + 1):
        rows, columns = members[members < n_rows], members[members >= n_rows] - n_rows
        if len(rows) and len(columns):
            yield rows, columns
