"""Pairwise and BCubed precision, recall and F.

Both families are read from one sparse contingency table of classes and clusters,
in memory proportional to the number of samples.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse
from sklearn.utils import check_array, check_consistent_length

from sklearn_hilander._labels import as_given

NOISE = -1


def _check_labels(labels: ArrayLike, name: str) -> np.ndarray:
    """Return `labels` as a non-empty ndarray of shape (n_samples,), or raise ValueError."""
    if isinstance(labels, (list, tuple)):
        as_array = np.asarray(labels)
        # Of floats the check below names the argument that has NaN; of objects it would not.
        if as_array.dtype.kind != "f" or np.isfinite(as_array).all():
            labels = as_given(labels)
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
