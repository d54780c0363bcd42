"""Labelled rows as they would be among more classes: nearer to those of other classes.

Few classes stand apart, and many in the same space do not. What is learned from few is then too
sure of every link. A copy of their rows whose classes have moved towards each other shows what a
crowd is like, with nothing but the labels that there are.
"""

from __future__ import annotations

import numpy as np

from sklearn_hilander._graph._pairs import unit_rows

# Of the way to the middle of all rows, that classes go.
_SHARE = 0.4
# Rows of the copy at most: it is to show something, not to be all there is to learn from.
_MOST_ROWS = 10_000


def crowd(features: np.ndarray, y: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Move whole classes towards the middle of all rows.

    Rows keep how they stand to the mean of their class.

    Parameters
    ----------
    features : ndarray of shape (n_rows, n_features), float32
        Unit rows.
    y : ndarray of shape (n_rows,), int64
        Classes.
    seed : int
        Of the classes that are kept.

    Returns
    -------
    rows : ndarray of shape (n_kept,), int64
        Those of some classes, where all are many rows; ascending.
    moved : ndarray of shape (n_kept, n_features), float32
        Unit rows.
    """
    codes = np.unique(y, return_inverse=True)[1]
    counts = np.bincount(codes)
    order = np.random.RandomState(seed).permutation(len(counts))
    # One class at least.
    n_kept = max(1, int(np.searchsorted(np.cumsum(counts[order]), _MOST_ROWS, side="right")))
    kept = np.zeros(len(counts), dtype=bool)
    kept[order[:n_kept]] = True
    rows = np.flatnonzero(kept[codes])
    X, codes = features[rows], codes[rows]
    sums = np.zeros((len(counts), X.shape[1]), dtype=np.float32)
    np.add.at(sums, codes, X)
    offsets = sums / counts[:, None] - X.mean(axis=0)
    return rows, unit_rows(X - _SHARE * offsets[codes], in_place=True)
