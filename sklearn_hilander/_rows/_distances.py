"""Distances as the user gives them to a graph of distinct rows; errors that name the row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike
from scipy.sparse.csgraph import connected_components
from sklearn.utils.validation import validate_data

from sklearn_hilander._rows._distance_order import canonical_positions
from sklearn_hilander._rows._validation import check_classes

# Of the largest distance: what rounding may make of 0, or of the distance the other way round.
_ROUNDING = 1e-5
# Pairs whose distance the other way round is looked at.
_CHECKED_PAIRS = 200_000
WAY_OUT = (
    "give embeddings with metric='cosine' or 'euclidean', or fit all rows together on the graph of "
    "all of them"
)


@dataclass(frozen=True)
class DistanceGraph:
    """Distances of distinct rows, in an order that depends on the distances alone.

    Attributes
    ----------
    distances : csr_array of shape (n_distinct, n_distinct), float32
        Symmetric; the stored ones are those of neighbours, and above 0. In a unit of their own.
    exponent : int
        The unit is 2 to this power.
    inverse : ndarray of shape (n_samples,), int64
        Distinct row of each sample.
    counts : ndarray of shape (n_distinct,), float32
        Samples that are each distinct row.
    first : ndarray of shape (n_distinct,), int64
        First sample that is each distinct row.
    """

    distances: sp.csr_array
    exponent: int
    inverse: np.ndarray
    counts: np.ndarray
    first: np.ndarray


def check_distances(
    estimator: Any, X: Any, y: ArrayLike | None = None, *, reset: bool = True, square: bool = True
) -> Any:
    """Validate distances: a sparse neighbours graph, or a matrix of all of them.

    Parameters
    ----------
    estimator : estimator
    X : sparse matrix, sparse array or array-like of shape (n_samples, n_fitted)
        What is not stored is farther than what is. Zeros that are stored are distances of 0.
    y : array-like of shape (n_samples,), optional
    reset : bool, default=True
        As in ``validate_data``.
    square : bool, default=True
        Whether these are the distances of rows among themselves.

    Returns
    -------
    X : csr_array of shape (n_samples, n_fitted), float32 or float64
        Without the diagonal, if square. A copy.
    y : ndarray of shape (n_samples,)
        Only if given.

    Raises
    ------
    ValueError
        For what ``validate_data`` refuses, negative distances, and matrices that are not square or
        not symmetric. In `y`, for what `check_classes` refuses.
    """
    given: dict[str, Any] = {} if y is None else {"y": check_classes(y)}
    checked = validate_data(
        estimator, X, **given, accept_sparse="csr", dtype=[np.float64, np.float32], reset=reset
    )
    X, y = checked if given else (checked, None)
    if sp.issparse(X):
        distances = sp.csr_array(X, copy=True)
        distances.sum_duplicates()
    else:
        # Every value counts, zeros too: scipy would drop them.
        n, m = X.shape
        columns = np.tile(np.arange(m), n)
        distances = sp.csr_array((X.ravel().copy(), columns, np.arange(n + 1) * m), shape=X.shape)
    if square and X.shape[0] != X.shape[1]:
        raise ValueError(
            f"metric='precomputed' wants the distances of the rows among themselves, a square "
            f"matrix; got {X.shape[0]} x {X.shape[1]}. Splits of a search and transformers of new "
            "rows give distances to the fitted rows alone, which do not tell how the new rows lie "
            f"to each other: {WAY_OUT}."
        )
    slack = _ROUNDING * float(distances.data.max(initial=0))
    if len(wrong := np.flatnonzero(distances.data < -slack)):
        row = int(np.searchsorted(distances.indptr, wrong[0], side="right")) - 1
        raise ValueError(
            f"X has a negative distance, {distances.data[wrong[0]]:.3g}, in row {row}: "
            "metric='precomputed' wants distances, not similarities."
        )
    np.clip(distances.data, 0, None, out=distances.data)
    if square:
        distances = _without_diagonal(distances, slack)
        _check_symmetric(distances, slack)
    return distances if y is None else (distances, y)


def distance_graph(distances: sp.csr_array, n_neighbors: int) -> DistanceGraph:
    """The nearest distances of distinct rows.

    Rows at distance 0 are one: what is near to one of them is as near to all.

    Parameters
    ----------
    distances : csr_array of shape (n_samples, n_samples)
        Of `check_distances`.
    n_neighbors : int
        Of each row so many distances count, the least ones, and those of which it is one.

    Returns
    -------
    DistanceGraph
    """
    n = distances.shape[0]
    rows = np.repeat(np.arange(n), np.diff(distances.indptr))
    same = distances.data == 0
    places = sp.coo_array((same[same], (rows[same], distances.indices[same])), shape=(n, n))
    n_distinct, inverse = connected_components(places, directed=False)
    inverse = inverse.astype(np.int64)
    a, b, d = inverse[rows[~same]], inverse[distances.indices[~same]], distances.data[~same]
    inside = a == b
    a, b, d = _least(
        np.r_[a[~inside], b[~inside]], np.r_[b[~inside], a[~inside]], np.tile(d[~inside], 2)
    )
    order = np.lexsort((b, d, a))
    a, b, d = a[order], b[order], d[order].astype(np.float64)
    pointers = np.searchsorted(a, np.arange(n_distinct + 1))
    rank = np.arange(len(a)) - pointers[a]
    near = rank < n_neighbors
    last = np.full(n_distinct, np.inf)
    last[a[rank == n_neighbors - 1]] = d[rank == n_neighbors - 1]
    tied = np.flatnonzero(d == last[a])
    # Float32 holds any unit, if it is the distances' own; a power of two leaves their digits alone.
    exponent = int(np.median(np.frexp(d[near])[1])) - 1 if len(d) else 0
    with np.errstate(over="ignore", under="ignore"):
        d = np.ldexp(d, -exponent)
    position = canonical_positions(pointers, b, d, n_neighbors)
    # Of rows that are equally far the first in that order count, not the first that were given.
    b[tied] = b[tied][np.lexsort((position[b[tied]], a[tied]))]
    a, b, d = a[near], b[near], d[near]
    # No distance may become 0, which would no longer be stored.
    limits = np.finfo(np.float32)
    a, b, d = position[a], position[b], np.clip(d, limits.tiny, limits.max).astype(np.float32)
    a, b, d = _least(np.r_[a, b], np.r_[b, a], np.r_[d, d])
    pointers = np.searchsorted(a, np.arange(n_distinct + 1))
    graph = sp.csr_array((d, b, pointers), shape=(n_distinct, n_distinct))
    inverse = position[inverse]
    first = np.full(n_distinct, n, dtype=np.int64)
    np.minimum.at(first, inverse, np.arange(n))
    counts = np.bincount(inverse, minlength=n_distinct).astype(np.float32)
    return DistanceGraph(graph, exponent, inverse, counts, first)


def nearest_of(distances: sp.csr_array, n_neighbors: int) -> tuple[np.ndarray, np.ndarray]:
    """Nearest rows of each row, and their distances.

    Parameters
    ----------
    distances : csr_array of shape (n_rows, n_columns)
    n_neighbors : int

    Returns
    -------
    indices : ndarray of shape (n_rows, n_neighbors), int64
        0 where there is no further one.
    nearest : ndarray of shape (n_rows, n_neighbors), float64
        Infinite where there is no further one.
    """
    n = distances.shape[0]
    rows = np.repeat(np.arange(n), np.diff(distances.indptr))
    order = np.lexsort((distances.indices, distances.data, rows))
    rank = np.arange(len(rows)) - distances.indptr[rows]
    near = rank < n_neighbors
    indices = np.zeros((n, n_neighbors), dtype=np.int64)
    nearest = np.full((n, n_neighbors), np.inf)
    indices[rows[near], rank[near]] = distances.indices[order][near]
    nearest[rows[near], rank[near]] = distances.data[order][near]
    return indices, nearest


def _least(a: np.ndarray, b: np.ndarray, d: np.ndarray) -> tuple[np.ndarray, ...]:
    """Each pair once, in order, at its least distance."""
    order = np.lexsort((d, b, a))
    a, b, d = a[order], b[order], d[order]
    first = np.r_[True, (a[1:] != a[:-1]) | (b[1:] != b[:-1])][: len(a)]
    return a[first], b[first], d[first]


def _without_diagonal(distances: sp.csr_array, slack: float) -> sp.csr_array:
    n = distances.shape[0]
    rows = np.repeat(np.arange(n), np.diff(distances.indptr))
    own = rows == distances.indices
    if len(wrong := np.flatnonzero(own & (distances.data > 100 * slack))):
        row = int(rows[wrong[0]])
        raise ValueError(
            f"X says that row {row} is {distances.data[wrong[0]]:.3g} away from itself: "
            "metric='precomputed' wants the distances of the rows among themselves. Distances of "
            f"new rows to fitted ones are for predict; else {WAY_OUT}."
        )
    pointers = np.r_[0, np.cumsum(np.bincount(rows[~own], minlength=n))]
    kept = (distances.data[~own], distances.indices[~own], pointers)
    return sp.csr_array(kept, shape=distances.shape)


def _check_symmetric(distances: sp.csr_array, slack: float) -> None:
    """Refuse distances that differ either way; what is stored one way alone is all right."""
    pairs = distances.tocoo()
    step = max(1, len(pairs.data) // _CHECKED_PAIRS)
    a, b, d = pairs.row[::step], pairs.col[::step], pairs.data[::step]
    n = distances.shape[0]
    keys = pairs.row.astype(np.int64) * n + pairs.col
    order = np.argsort(keys)
    wanted = b.astype(np.int64) * n + a
    at = (
        order[np.minimum(np.searchsorted(keys, wanted, sorter=order), len(keys) - 1)]
        if len(keys)
        else a
    )
    back = np.where(keys[at] == wanted, pairs.data[at], d)
    if len(wrong := np.flatnonzero(np.abs(back - d) > 100 * slack + 1e-2 * d)):
        i, j = int(a[wrong[0]]), int(b[wrong[0]])
        raise ValueError(
            f"X is not symmetric: row {i} is {d[wrong[0]]:.3g} away from row {j}, and row {j} "
            f"{back[wrong[0]]:.3g} from row {i}. metric='precomputed' wants the distances of the "
            f"rows among themselves; of distances that have a direction, give the mean. For new "
            f"rows: {WAY_OUT}."
        )
