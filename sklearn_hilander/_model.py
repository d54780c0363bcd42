"""Meta-training as one pure function: labelled rows in, model and threshold out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from sklearn_hilander._architectures import Architecture
from sklearn_hilander._clustering import ClusterSettings, grow
from sklearn_hilander._embeddings import canonical_embeddings, fit_row_scaler
from sklearn_hilander._lander import Lander
from sklearn_hilander._scoring import LanderScorer, LocalScalingScorer
from sklearn_hilander._training import build_training_levels, train_lander
from sklearn_hilander.metrics import pairwise_f_score

# Share of the classes that the threshold is chosen on, and how many that must be at least.
HELD_OUT_SHARE = 0.25
MIN_HELD_OUT_CLASSES = 2
THRESHOLD_GRID = tuple(np.round(np.linspace(0.05, 0.95, 19), 2).tolist())
DEFAULT_THRESHOLD = 0.5


@dataclass(frozen=True)
class ModelSettings:
    """Parameters of one meta-training; names as in `HiLanderClustering`."""

    architecture: Architecture
    hidden_dim: int
    max_iter: int
    learning_rate: float
    batch_size: int
    calibrate: bool
    seed: int


@dataclass(frozen=True)
class Model:
    """What a clustering needs to know from meta-training.

    Attributes
    ----------
    lander : Lander or None
        None for the scorer that needs no training.
    linkage_threshold : float
        Calibrated on held-out classes, where that was asked for and possible.
    loss_curve : tuple of float
    """

    lander: Lander | None = None
    linkage_threshold: float = DEFAULT_THRESHOLD
    loss_curve: tuple[float, ...] = ()

    def make_scorer(self) -> LanderScorer | LocalScalingScorer:
        """A fresh scorer of this model."""
        return LocalScalingScorer() if self.lander is None else LanderScorer(self.lander)


def meta_train(
    X: np.ndarray,
    y: np.ndarray,
    settings: ModelSettings,
    clustering: ClusterSettings,
    on_epoch: Callable[[int, float], None] | None = None,
) -> Model:
    """Learn from labelled rows how to cluster.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
    y : ndarray of shape (n_samples,), int64
        Classes from 0.
    settings : ModelSettings
    clustering : ClusterSettings
        Of the graphs; its `linkage_threshold` and `min_cluster_size` are not used.
    on_epoch : callable, optional
        Called with the epoch and its loss.

    Returns
    -------
    Model
    """
    scaler = fit_row_scaler(X, clustering.metric, clustering.n_neighbors)
    embeddings = canonical_embeddings(X, scaler)
    # Copies with different labels: the first one counts.
    features, labels = embeddings.features, y[embeddings.first]
    threshold = DEFAULT_THRESHOLD
    if settings.calibrate:
        held_out = split_classes(labels, settings.seed)
        if held_out is not None:
            rest, _ = _train(
                features[~held_out],
                labels[~held_out],
                embeddings.counts[~held_out],
                settings,
                clustering,
            )
            threshold = calibrate_threshold(
                features[held_out], labels[held_out], LanderScorer(rest), clustering
            )
    lander, curve = _train(features, labels, embeddings.counts, settings, clustering, on_epoch)
    return Model(lander, threshold, tuple(curve))


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
    chosen = order[:n_held_out]
    if min((counts[chosen] > 1).sum(), (counts[order[n_held_out:]] > 1).sum()) < (
        MIN_HELD_OUT_CLASSES
    ):
        return None
    return np.isin(y, classes[chosen])


def calibrate_threshold(
    features: np.ndarray, y: np.ndarray, scorer: Callable, clustering: ClusterSettings
) -> float:
    """Linkage threshold of highest pairwise F; of equally good ones the middle one.

    Parameters
    ----------
    features : ndarray of shape (n_samples, n_features), float32
        Embeddings of classes that the scorer was not trained on.
    y : ndarray of shape (n_samples,), int64
    scorer : callable
    clustering : ClusterSettings

    Returns
    -------
    float
    """
    scores = []
    for threshold in THRESHOLD_GRID:
        hierarchy, _ = grow(features, scorer, replace(clustering, linkage_threshold=threshold))
        scores.append(pairwise_f_score(y, hierarchy.labels[-1]))
    best = np.flatnonzero(np.isclose(scores, np.max(scores)))
    return THRESHOLD_GRID[best[len(best) // 2]]


def _train(
    features: np.ndarray,
    y: np.ndarray,
    counts: np.ndarray,
    settings: ModelSettings,
    clustering: ClusterSettings,
    on_epoch: Callable[[int, float], None] | None = None,
) -> tuple[Lander, list[float]]:
    """Train a fresh model."""
    # Weights are drawn from the global generator of torch: borrow it and give it back.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        lander = Lander(
            features.shape[1],
            hidden_dim=settings.hidden_dim,
            encoder=settings.architecture.encoder,
            mean_features=settings.architecture.mean_features,
        ).to(clustering.device)
    levels = build_training_levels(
        torch.from_numpy(features).to(clustering.device),
        torch.from_numpy(y).to(clustering.device),
        lander,
        clustering.n_neighbors,
        weights=torch.from_numpy(counts).to(clustering.device),
        **clustering.search(),
    )
    curve = train_lander(
        lander,
        levels,
        max_iter=settings.max_iter,
        learning_rate=settings.learning_rate,
        batch_size=settings.batch_size,
        generator=torch.Generator().manual_seed(settings.seed),
        on_epoch=on_epoch,
    )
    return lander.requires_grad_(False), curve
