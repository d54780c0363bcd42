"""How rows become embeddings: of unit length, or centred and in a unit of the data's own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sklearn_hilander._rows._row_hashes import hash_rows

FARTHEST = float(np.finfo(np.float32).max)
_MEDIAN_SAMPLE = 2_000
# Rows that all of the sample are compared with at once: 33 MB of distances.
_PROBED_ROWS = 2_048


@dataclass(frozen=True)
class RowScaler:
    """How rows of one data set become embeddings.

    Attributes
    ----------
    metric : {"cosine", "euclidean", "precomputed"}
        "precomputed" has no rows to scale.
    center : ndarray of shape (n_features,), float64, or None
        For "euclidean": subtracted from each row.
    scale : float
        For "euclidean": length that becomes 1. For "precomputed": distance of similarity 0.
    """

    metric: str
    center: np.ndarray | None = None
    scale: float = 1.0

    def __call__(self, X: np.ndarray) -> np.ndarray:
        """Embeddings of some rows, each from its own values alone; float32."""
        rows = np.array(X, dtype=np.float64, order="C")
        if self.center is not None:
            # New rows may lie as far out as a float64 can say: the farthest float32 will do.
            with np.errstate(over="ignore"):
                rows -= self.center
                rows /= self.scale
            np.clip(rows, -FARTHEST, FARTHEST, out=rows)
        else:
            # By the largest value first: the square of 1e200 is not a float64.
            largest = np.abs(rows).max(axis=1, keepdims=True)
            np.divide(rows, largest, out=rows, where=largest > 0)
            norms = np.sqrt(np.add.reduce(rows * rows, axis=1, keepdims=True))
            np.divide(rows, norms, out=rows, where=norms > 0)
        # Adding 0 makes -0.0 and 0.0 the same bits.
        return rows.astype(np.float32) + np.float32(0)


def fit_row_scaler(X: np.ndarray, metric: str, n_neighbors: int) -> RowScaler:
    """Choose how rows become embeddings.

    Cosine needs nothing. For "euclidean" the length that becomes 1 is the median distance to
    the `n_neighbors`-th neighbour, over at most 2,000 rows, evenly spaced in content order.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
    metric : {"cosine", "euclidean"}
    n_neighbors : int

    Returns
    -------
    RowScaler
    """
    if metric == "cosine":
        return RowScaler(metric)
    # Midrange and rounding: a mean's last bits would depend on the order of the rows.
    low, high = X.min(axis=0).astype(np.float64), X.max(axis=0).astype(np.float64)
    center = low / 2 + high / 2
    largest = float(np.abs(high - center).max()) or 1.0
    coarse = RowScaler(metric, center, largest)
    order = np.argsort(hash_rows(X, coarse), kind="stable")
    probe = coarse(X[order[:: -(-len(X) // _MEDIAN_SAMPLE)]])
    radii = _kth_distances(probe, coarse, X, n_neighbors)
    positive = radii[radii > 0]
    if len(positive) == 0:
        return coarse
    return RowScaler(metric, center, float(f"{np.median(positive) * largest:.3g}"))


def _kth_distances(
    probe: np.ndarray, scaler: RowScaler, X: np.ndarray, n_neighbors: int
) -> np.ndarray:
    """Distance of each probe row to its k-th nearest row of X, in embedding units."""
    k = min(n_neighbors + 1, len(X))
    best = np.full((len(probe), 0), np.inf)
    probe = probe.astype(np.float64)
    own = (probe * probe).sum(axis=1)[:, None]
    for start in range(0, len(X), _PROBED_ROWS):
        rows = scaler(X[start : start + _PROBED_ROWS]).astype(np.float64)
        squared = own + (rows * rows).sum(axis=1) - 2 * probe @ rows.T
        best = np.concatenate([best, squared], axis=1)
        if best.shape[1] > k:
            best.partition(k - 1, axis=1)
            best = best[:, :k].copy()
    return np.sqrt(np.maximum(best.max(axis=1), 0))
