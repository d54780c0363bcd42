"""The linkage threshold that did best on classes held out of meta-training."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sklearn_hilander._clusters._growth import ClusterSettings
from sklearn_hilander._models._model import Model
from sklearn_hilander._rows._graph_embedding import EmbeddedGraph
from sklearn_hilander._rows._row_source import RowSource
from sklearn_hilander.metrics import pairwise_f_score

# Share of the classes that the threshold is chosen on, and how many that must be at least.
HELD_OUT_SHARE = 0.25
MIN_HELD_OUT_CLASSES = 2
THRESHOLD_GRID = tuple(np.round(np.linspace(0.05, 0.95, 19), 2).tolist())


def split_classes(y: np.ndarray, seed: int) -> np.ndarray | None:
    """Choose whole classes to hold out.

    Parameters
    ----------
    y : ndarray of shape (n_samples,), int64
    seed : int

    Returns
    -------
    ndarray of shape (n_samples,), bool, or None
        Rows of the held-out classes; None if too few classes have two samples.
    """
    classes, counts = np.unique(y, return_counts=True)
    order = np.random.RandomState(seed).permutation(len(classes))
    n_held_out = round(len(classes) * HELD_OUT_SHARE)
    several = counts[order] > 1
    if min(several[:n_held_out].sum(), several[n_held_out:].sum()) < MIN_HELD_OUT_CLASSES:
        return None
    return np.isin(y, classes[order[:n_held_out]])


def calibrate_threshold(
    features: np.ndarray,
    y: np.ndarray,
    model: Model,
    clustering: ClusterSettings,
    embedded: EmbeddedGraph | None = None,
) -> float:
    """Linkage threshold of highest pairwise F; of equally good ones the middle one.

    Parameters
    ----------
    features : ndarray of shape (n_samples, n_features), float32
        Embeddings of classes that the model was not trained on.
    y : ndarray of shape (n_samples,), int64
    model : Model
    clustering : ClusterSettings
    embedded : EmbeddedGraph, optional
        That the embeddings were made for.

    Returns
    -------
    float
    """
    scores = []
    source = RowSource.of(features)
    more = {} if embedded is None else {"embedded": embedded}
    for threshold in THRESHOLD_GRID:
        growth, _ = model.grow(source, replace(clustering, linkage_threshold=threshold), **more)
        scores.append(pairwise_f_score(y, growth.labels[-1]))
    best = np.flatnonzero(np.isclose(scores, np.max(scores)))
    return THRESHOLD_GRID[best[len(best) // 2]]
