"""Meta-training as one pure function: labelled rows in, model and threshold out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from sklearn_hilander._clusters._clustering import embed_rows
from sklearn_hilander._clusters._growth import ClusterSettings, on_sphere
from sklearn_hilander._files._checkpoint import Checkpoint
from sklearn_hilander._incoming._row_training import train_row_judge
from sklearn_hilander._levels._lander import Lander
from sklearn_hilander._levels._training import build_training_levels, train_lander
from sklearn_hilander._linkage._crowding import crowd
from sklearn_hilander._linkage._linkage_training import LabelledGraph, assign_folds
from sklearn_hilander._linkage._perceptron import Perceptrons
from sklearn_hilander._linkage._perceptron_training import PerceptronSettings
from sklearn_hilander._memory import check_training_memory
from sklearn_hilander._models._architectures import Architecture
from sklearn_hilander._models._calibration import calibrate_threshold, split_classes
from sklearn_hilander._models._model import DEFAULT_THRESHOLD, Model, check_sees_graphs
from sklearn_hilander._rounds._relational import graph_builder
from sklearn_hilander._rounds._relational_training import train_relational
from sklearn_hilander._rows._graph_embedding import EmbeddedGraph, GraphBuilderWithin

# Passes over the merges that a judge needs that has learned from other data.
PASSES_FROM_START = 2


@dataclass(frozen=True)
class ModelSettings:
    """Parameters of one meta-training; names as in `HiLanderClustering`.

    Attributes
    ----------
    start : Perceptrons or None
        For "relational", a judge that was trained on other data.
    """

    architecture: Architecture
    hidden_dim: int
    max_iter: int
    learning_rate: float
    batch_size: int
    calibrate: bool
    seed: int
    start: Perceptrons | None = None


@dataclass(frozen=True)
class _Lesson:
    """What one training learns from, how, and whom it tells.

    Attributes
    ----------
    features : ndarray of shape (n_distinct, n_features), float32
        Embeddings without exact copies.
    y : ndarray of shape (n_distinct,), int64
        Classes. Of copies with different labels the first one counts.
    counts : ndarray of shape (n_distinct,), int64
        How many rows each stands for.
    embedded : EmbeddedGraph or None
        That the embeddings were made for.
    settings : ModelSettings
    clustering : ClusterSettings
    on_step : callable
    checkpoint : Checkpoint
    """

    features: np.ndarray
    y: np.ndarray
    counts: np.ndarray
    embedded: EmbeddedGraph | None
    settings: ModelSettings
    clustering: ClusterSettings
    on_step: Callable[[float], None]
    checkpoint: Checkpoint

    def of(self, rows: np.ndarray) -> _Lesson:
        """The same of some rows alone."""
        return replace(self, features=self.features[rows], y=self.y[rows], counts=self.counts[rows])


def meta_train(
    X: np.ndarray,
    y: np.ndarray,
    settings: ModelSettings,
    clustering: ClusterSettings,
    on_step: Callable[[float], None],
    checkpoint: Checkpoint | None = None,
) -> Model:
    """Learn from labelled rows how to cluster.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features), or csr_array of shape (n_samples, n_samples)
        Rows, or for "precomputed" their distances.
    y : ndarray of shape (n_samples,), int64
        Classes from 0.
    settings : ModelSettings
    clustering : ClusterSettings
        Of the graphs; its `linkage_threshold` and `min_cluster_size` are not used.
    on_step : callable
        Called with the loss of each epoch or network, those in the checkpoint included.
    checkpoint : Checkpoint, optional
        Of this training: what it has is not done again.

    Returns
    -------
    Model

    Raises
    ------
    MemoryError
        If there is clearly too little for it.
    """
    encoder = settings.architecture.encoder
    on_cpu = encoder == "relational" or clustering.device.type == "cpu"
    if clustering.metric == "precomputed":
        check_sees_graphs(settings.architecture)
    embeddings, _, embedded = embed_rows(X, clustering, by_cells=on_cpu)
    if on_cpu:
        check_training_memory(
            embeddings.features.shape,
            clustering.n_neighbors,
            encoder,
            settings.hidden_dim,
            settings.batch_size,
        )
    lesson = _Lesson(
        embeddings.features,
        y[embeddings.first],
        embeddings.counts,
        embedded,
        settings,
        clustering,
        on_step,
        checkpoint or Checkpoint(),
    )
    if encoder == "relational":
        return _learn_relations(lesson)
    if encoder == "none":
        return _calibrate_alone(lesson)
    return _learn_as_the_paper_does(lesson)


def _learn_relations(lesson: _Lesson) -> Model:
    """Train linkage, judges of clusters and the judge of new rows; thresholds are out of fold."""
    features, y, counts = lesson.features, lesson.y, lesson.counts
    settings, clustering = lesson.settings, lesson.clustering
    build_graph = (
        graph_builder(
            clustering.n_neighbors, device=clustering.device, **clustering.search("cosine")
        )
        if lesson.embedded is None
        else GraphBuilderWithin(lesson.embedded, clustering.n_neighbors)
    )
    rows = on_sphere(features, clustering.metric)
    folds = assign_folds(y, settings.seed)
    data = [LabelledGraph(build_graph(rows), y, counts, folds)]
    if lesson.embedded is None:
        some, moved = crowd(rows, y, settings.seed)
        crowded = (build_graph(moved), y[some], counts[some], folds[some])
        data.append(LabelledGraph(*crowded, to_choose_by=False))
    sizes = PerceptronSettings(settings.hidden_dim, settings.learning_rate, settings.batch_size)
    network, threshold, curve = train_relational(
        data,
        build_graph,
        max_iter=settings.max_iter,
        settings=sizes,
        seed=settings.seed,
        on_network=lesson.on_step,
        start=settings.start,
        checkpoint=lesson.checkpoint,
    )
    row_judge = train_row_judge(
        features,
        np.unique(y, return_inverse=True)[1],
        n_neighbors=clustering.n_neighbors,
        search=clustering.search(),
        settings=sizes,
        seed=settings.seed,
        checkpoint=lesson.checkpoint,
    )
    return Model(settings.architecture, network, threshold, tuple(curve), row_judge)


def _calibrate_alone(lesson: _Lesson) -> Model:
    """Without a network: the threshold is all that there is to learn."""
    model = Model(lesson.settings.architecture)
    if not lesson.settings.calibrate or len(lesson.features) < 2:
        return model
    threshold = calibrate_threshold(
        lesson.features, lesson.y, model, lesson.clustering, lesson.embedded
    )
    return replace(model, linkage_threshold=threshold)


def _learn_as_the_paper_does(lesson: _Lesson) -> Model:
    """Train LANDER on all classes; the threshold comes from one that some were held out of."""
    threshold, checkpoint = DEFAULT_THRESHOLD, lesson.checkpoint
    kept = checkpoint.load("threshold", {"value": (1,)})
    settings = lesson.settings
    held_out = split_classes(lesson.y, settings.seed) if settings.calibrate else None
    if held_out is not None and kept is not None:
        threshold = float(kept["value"][0])
    elif held_out is not None:
        model = _train_lander(lesson.of(~held_out), "without held-out classes")
        others = lesson.of(held_out)
        threshold = calibrate_threshold(others.features, others.y, model, lesson.clustering)
        checkpoint.save(
            "threshold", {"value": np.array([threshold])}, forget="without held-out classes"
        )
    return replace(_train_lander(lesson, "network"), linkage_threshold=threshold)


def _train_lander(lesson: _Lesson, name: str) -> Model:
    """Train a fresh LANDER, kept under this name; its threshold is not calibrated."""
    settings, clustering = lesson.settings, lesson.clustering
    # Weights are drawn from the global generator of torch: borrow it and give it back.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        lander = Lander(
            lesson.features.shape[1],
            hidden_dim=settings.hidden_dim,
            encoder=settings.architecture.encoder,
            mean_features=settings.architecture.mean_features,
        ).to(clustering.device)
    features, y, weights = (
        torch.from_numpy(part).to(clustering.device)
        for part in (lesson.features, lesson.y, lesson.counts)
    )
    levels = build_training_levels(
        features,
        y,
        lander,
        clustering.n_neighbors,
        weights=weights,
        **clustering.search(),
    )
    curve = train_lander(
        lander,
        levels,
        max_iter=settings.max_iter,
        learning_rate=settings.learning_rate,
        batch_size=settings.batch_size,
        generator=torch.Generator().manual_seed(settings.seed),
        on_epoch=lesson.on_step,
        checkpoint=lesson.checkpoint,
        name=name,
    )
    return Model(settings.architecture, lander.requires_grad_(False), loss_curve=tuple(curve))
