"""Scorers that cluster held-out rows afresh, for model selection."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.pipeline import Pipeline

from sklearn_hilander.metrics._agreement import bcubed_f_score, pairwise_f_score


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
