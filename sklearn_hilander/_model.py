"""Meta-training as one pure function: labelled rows in, model and threshold out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch

from sklearn_hilander._architectures import UNTRAINED, Architecture
from sklearn_hilander._checkpoint import Checkpoint
from sklearn_hilander._cluster_rounds import judged_pairs, merges_below
from sklearn_hilander._clustering import KnownClusters, embed_distances
from sklearn_hilander._constraints import NodeConstraints
from sklearn_hilander._crowding import crowd
from sklearn_hilander._embeddings import canonical_embeddings, fit_row_scaler
from sklearn_hilander._graph_embedding import EmbeddedGraph, GraphBuilderWithin
from sklearn_hilander._growth import ClusterSettings, grow_by_relations, grow_by_scorer, on_sphere
from sklearn_hilander._joining import Candidates
from sklearn_hilander._lander import Lander
from sklearn_hilander._linkage_model import LabelledGraph, assign_folds
from sklearn_hilander._memory import check_clustering_memory, check_training_memory
from sklearn_hilander._neighborhood import score_neighborhoods
from sklearn_hilander._pairs import logit, sigmoid
from sklearn_hilander._perceptron import Perceptrons, PerceptronSettings
from sklearn_hilander._relational import RelationalModel, graph_builder
from sklearn_hilander._relational_training import train_relational
from sklearn_hilander._row_judge import Known, RowJudge, row_relations
from sklearn_hilander._row_training import train_row_judge
from sklearn_hilander._scoring import LanderScorer, LocalScalingScorer, ReachScorer
from sklearn_hilander._training import build_training_levels, train_lander
from sklearn_hilander._types import Growth, Merges, NeighborGraph, concatenate_merges
from sklearn_hilander.metrics import pairwise_f_score

# Share of the classes that the threshold is chosen on, and how many that must be at least.
HELD_OUT_SHARE = 0.25
MIN_HELD_OUT_CLASSES = 2
THRESHOLD_GRID = tuple(np.round(np.linspace(0.05, 0.95, 19), 2).tolist())
DEFAULT_THRESHOLD = 0.5
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
class Model:
    """What a clustering needs to know from meta-training.

    Attributes
    ----------
    architecture : Architecture
    network : Lander, RelationalModel or None
        None for the scorer that needs no training.
    linkage_threshold : float
        Calibrated on held-out classes, where that was asked for and possible.
    loss_curve : tuple of float
    row_judge : RowJudge or None
        Of new rows against known clusters, for "relational".
    """

    architecture: Architecture = UNTRAINED
    network: Lander | RelationalModel | None = None
    linkage_threshold: float = DEFAULT_THRESHOLD
    loss_curve: tuple[float, ...] = ()
    row_judge: RowJudge | None = None

    @property
    def n_features(self) -> int | None:
        """Number of features that the model is bound to; None if it takes any."""
        return self.network.n_features if isinstance(self.network, Lander) else None

    @property
    def selected(self) -> str | None:
        """The decoder that did best on held-out classes; None where there was no choice."""
        return self.network.decoder.kind if isinstance(self.network, RelationalModel) else None

    @property
    def validation_scores(self) -> dict[str, float]:
        """Best F of each decoder on held-out classes; empty where there was no choice."""
        return self.network.scores if isinstance(self.network, RelationalModel) else {}

    def judge_to_start_from(self, width: int) -> Perceptrons | None:
        """The judges of cluster pairs, if they have hidden layers of this width."""
        if not isinstance(self.network, RelationalModel):
            return None
        return self.network.judges if self.network.judges.width == width else None

    def to(self, device: torch.device) -> None:
        """Move the network to where the rows will be; relations are computed on the CPU."""
        if isinstance(self.network, Lander):
            self.network.to(device)

    def reads_rows_on_cpu(self, device: torch.device) -> bool:
        """Whether the CPU reads neighbours' rows when they are clustered on a device."""
        return device.type == "cpu" or isinstance(self.network, RelationalModel)

    def grow(
        self, features: np.ndarray, settings: ClusterSettings, **options: object
    ) -> tuple[Growth, NeighborGraph | None]:
        """Clusters of embeddings; options as in `grow_by_scorer` and `grow_by_relations`.

        Raises
        ------
        MemoryError
            If there is clearly too little for it.
        """
        if settings.metric == "precomputed":
            check_sees_graphs(self.architecture)
        if self.reads_rows_on_cpu(settings.device):
            check_clustering_memory(
                features.shape,
                settings.n_neighbors,
                "none" if self.network is None else self.architecture.encoder,
                self.network.source.in_features if isinstance(self.network, Lander) else 0,
            )
        if isinstance(self.network, RelationalModel):
            return grow_by_relations(features, self.network, settings, **options)
        return grow_by_scorer(features, self.level_scorer(), settings, **options)

    def level_scorer(self) -> LanderScorer | LocalScalingScorer:
        """What scores the edges of a level."""
        if isinstance(self.network, Lander):
            return LanderScorer(self.network)
        return LocalScalingScorer()

    def candidates(
        self, features: np.ndarray, known: KnownClusters, settings: ClusterSettings
    ) -> Candidates:
        """Parts of known clusters that new rows may join, each row judged by itself."""
        if self.row_judge is not None and known.graph_indices.shape[1] > 0:
            if "row_judge" not in known.views:
                known.views["row_judge"] = Known(
                    known.embeddings.features,
                    known.graph_indices,
                    known.graph_similarities,
                    known.row_parts,
                    settings.metric,
                )
            pairs = row_relations(
                features, known.views["row_judge"], settings.n_neighbors, settings.device
            )
            return Candidates(pairs.row, pairs.part, self.row_judge(pairs), pairs.neighbor)
        scorer = self.level_scorer() if isinstance(self.network, Lander) else ReachScorer()
        return score_neighborhoods(features, known, scorer, settings)

    def merges_below(self, growth: Growth, constraints: NodeConstraints | None) -> Merges:
        """All merges of a growth, those under its last threshold included."""
        more = ()
        if growth.rounds is not None:
            more = merges_below(growth.rounds, self.network, constraints)
        return concatenate_merges([growth.merges, *more])

    def judged(self, growth: Growth) -> Merges | None:
        """Pairs of clusters, by a node of each, and the probability that they are one.

        None where there is no judge, or its rounds are over.
        """
        return None if growth.rounds is None else judged_pairs(growth.rounds, self.network)

    def join_threshold(self, linkage_threshold: float) -> float:
        """Probability above which a new row joins a known cluster.

        The judge of rows has a threshold of its own, which moves as the linkage threshold is moved
        from the calibrated one.
        """
        if self.row_judge is not None:
            odds = logit(
                np.array([self.row_judge.threshold, linkage_threshold, self.linkage_threshold]),
                1e-3,
            )
            return float(sigmoid(odds[0] + odds[1] - odds[2]))
        if isinstance(self.network, RelationalModel):
            return DEFAULT_THRESHOLD
        return linkage_threshold


def check_sees_graphs(architecture: Architecture) -> None:
    """Refuse distances for the paper's networks.

    Raises
    ------
    ValueError
    """
    if architecture.encoder in ("gcn", "gat"):
        raise ValueError(
            "metric='precomputed': the paper's networks see embeddings, and distances have none. "
            "Use architecture='relational' or 'untrained', or give embeddings."
        )


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
    embedded = None
    if clustering.metric == "precomputed":
        check_sees_graphs(settings.architecture)
        embeddings, _, embedded = embed_distances(X, clustering.n_neighbors)
    else:
        scaler = fit_row_scaler(X, clustering.metric, clustering.n_neighbors)
        embeddings = canonical_embeddings(X, scaler, by_cells=on_cpu)
    # Copies with different labels: the first one counts.
    features, y, counts = embeddings.features, y[embeddings.first], embeddings.counts
    if on_cpu:
        check_training_memory(
            features.shape,
            clustering.n_neighbors,
            encoder,
            settings.hidden_dim,
            settings.batch_size,
        )
    if settings.architecture.encoder == "relational":
        build_graph = (
            graph_builder(
                clustering.n_neighbors, device=clustering.device, **clustering.search("cosine")
            )
            if embedded is None
            else GraphBuilderWithin(embedded, clustering.n_neighbors)
        )
        rows = on_sphere(features, clustering.metric)
        folds = assign_folds(y, settings.seed)
        data = [LabelledGraph(build_graph(rows), y, counts, folds)]
        if embedded is None:
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
            on_network=on_step,
            start=settings.start,
            checkpoint=checkpoint,
        )
        row_judge = train_row_judge(
            features,
            np.unique(y, return_inverse=True)[1],
            n_neighbors=clustering.n_neighbors,
            search=clustering.search(),
            settings=sizes,
            seed=settings.seed,
            checkpoint=checkpoint,
        )
        return Model(settings.architecture, network, threshold, tuple(curve), row_judge)
    if settings.architecture.encoder == "none":
        model = Model(settings.architecture)
        if not settings.calibrate or len(features) < 2:
            return model
        threshold = calibrate_threshold(features, y, model, clustering, embedded)
        return replace(model, linkage_threshold=threshold)
    checkpoint = checkpoint or Checkpoint()
    train = partial(
        _train_lander,
        settings=settings,
        clustering=clustering,
        on_step=on_step,
        checkpoint=checkpoint,
    )
    threshold = DEFAULT_THRESHOLD
    kept = checkpoint.load("threshold", {"value": (1,)})
    held_out = split_classes(y, settings.seed) if settings.calibrate else None
    if held_out is not None and kept is not None:
        threshold = float(kept["value"][0])
    elif held_out is not None:
        rest = ~held_out
        model = train(features[rest], y[rest], counts[rest], name="without held-out classes")
        threshold = calibrate_threshold(features[held_out], y[held_out], model, clustering)
        checkpoint.save(
            "threshold", {"value": np.array([threshold])}, forget="without held-out classes"
        )
    model = train(features, y, counts, name="network")
    return replace(model, linkage_threshold=threshold)


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
    more = {} if embedded is None else {"embedded": embedded}
    for threshold in THRESHOLD_GRID:
        growth, _ = model.grow(features, replace(clustering, linkage_threshold=threshold), **more)
        scores.append(pairwise_f_score(y, growth.labels[-1]))
    best = np.flatnonzero(np.isclose(scores, np.max(scores)))
    return THRESHOLD_GRID[best[len(best) // 2]]


def _train_lander(
    features: np.ndarray,
    y: np.ndarray,
    counts: np.ndarray,
    *,
    settings: ModelSettings,
    clustering: ClusterSettings,
    on_step: Callable[[float], None],
    checkpoint: Checkpoint,
    name: str,
) -> Model:
    """Train a fresh LANDER; its threshold is not calibrated."""
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
        on_epoch=on_step,
        checkpoint=checkpoint,
        name=name,
    )
    return Model(settings.architecture, lander.requires_grad_(False), loss_curve=tuple(curve))
