"""Clusters of two runs matched, so that labels go on."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse
from scipy.optimize import linear_sum_assignment
from scipy.sparse.csgraph import connected_components


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
    # Old numbers may have gaps: a row for each that there is, not for each that there might be.
    number_of, rows_of_both = np.unique(old[both], return_inverse=True)
    places = (rows_of_both.reshape(-1), columns[: len(old)][both])
    shape = (len(number_of), len(found))
    shared = sparse.coo_array((np.ones(both.sum()), places), shape=shape).tocsr()
    number = np.full(len(found), -1, dtype=np.int64)
    for rows, cols in _connected_parts(shared):
        part = shared[rows][:, cols].toarray()
        taken = linear_sum_assignment(part, maximize=True)
        agree = part[taken] > 0
        number[cols[taken[1][agree]]] = number_of[rows[taken[0][agree]]]
    free = np.flatnonzero(number < 0)
    first = np.full(len(found), len(new))
    np.minimum.at(first, columns[columns >= 0], np.flatnonzero(columns >= 0))
    number[free[np.argsort(first[free])]] = old.max(initial=-1) + 1 + np.arange(len(free))
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
