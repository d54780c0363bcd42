"""Embeddings with the covariance within clusters made round, by links instead of labels."""

from __future__ import annotations

import numpy as np

from sklearn_hilander._graph._pair_graph import PairGraph
from sklearn_hilander._graph._pairs import unit_rows

# Mean squared differences under this are noise of float32.
_ROUNDING = 1e-12
_BLOCK_ROWS = 16_384


def whiten_by_links(graph: PairGraph, p: np.ndarray, shrinkage: float) -> np.ndarray:
    """Embeddings with the covariance within clusters made round.

    The covariance is that of differences over pairs, weighted by the linkage probabilities that
    the model itself gives: within-class covariance normalisation without labels.

    Parameters
    ----------
    graph : PairGraph
    p : ndarray of shape (n_pairs,), float32
    shrinkage : float
        Share of the sphere in the covariance, in [0, 1].

    Returns
    -------
    ndarray of shape (n_nodes, n_features), float32
        Unit rows.
    """
    X = graph.features - graph.features.mean(axis=0)
    d = X.shape[1]
    # Sum over pairs of p (x_i - x_j)(x_i - x_j)^T: the graph's Laplacian between the rows.
    linked = graph.adjacency.weighted_sum(p, X)
    linked -= X
    degree = graph.adjacency.sum(p)[:, None].astype(np.float32)
    for start in range(0, len(X), _BLOCK_ROWS):
        part = slice(start, start + _BLOCK_ROWS)
        np.subtract(degree[part] * X[part], linked[part], out=linked[part])
    covariance = (X.T @ linked).astype(np.float64)
    del linked
    covariance = (covariance + covariance.T) / 2
    scale = np.trace(covariance) / d
    # Equal rows, but for the rounding of float32: there is nothing to make round.
    if not scale > _ROUNDING * p.sum():
        return graph.features
    covariance = (1 - shrinkage) * covariance / scale + shrinkage * np.eye(d)
    values, vectors = np.linalg.eigh(covariance)
    # Rounding can take the least ones under what the shrinkage leaves, even under 0.
    values = np.maximum(values, max(shrinkage, _ROUNDING))
    X = X @ ((vectors / np.sqrt(values)) @ vectors.T).astype(np.float32)
    return unit_rows(X, in_place=True)
