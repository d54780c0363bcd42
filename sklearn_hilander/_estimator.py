"""The scikit-learn contract."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from copy import copy
from dataclasses import replace
from functools import partial
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.utils import Tags, check_random_state
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, check_memory

from sklearn_hilander._callbacks import CallbackSupportMixin, FitTask, fit_task, with_callbacks
from sklearn_hilander._clusters._clustering import cluster_rows
from sklearn_hilander._clusters._growth import ClusterSettings
from sklearn_hilander._clusters._known_clusters import KnownClusters
from sklearn_hilander._constraints._row_constraints import check_constraints
from sklearn_hilander._device import resolve_device, thread_limit
from sklearn_hilander._documentation import DocumentationLinkMixin
from sklearn_hilander._files._checkpoint import Checkpoint, open_checkpoint
from sklearn_hilander._inspection import InspectionMixin
from sklearn_hilander._labels import find_none
from sklearn_hilander._models._architectures import ARCHITECTURES, UNTRAINED, Architecture
from sklearn_hilander._models._meta_training import PASSES_FROM_START, ModelSettings, meta_train
from sklearn_hilander._models._model import Model, check_sees_graphs
from sklearn_hilander._new_rows import NewRowsMixin
from sklearn_hilander._rows._distances import check_distances
from sklearn_hilander._rows._validation import check_rows
from sklearn_hilander._saved._saving import SavingMixin, pretrained_model
from sklearn_hilander._search._neighbors import check_search
from sklearn_hilander._state import unchanged_on_failure
from sklearn_hilander.metrics import pairwise_f_score

if TYPE_CHECKING:
    from typing_extensions import Self


class HiLanderClustering(
    SavingMixin,
    CallbackSupportMixin,
    DocumentationLinkMixin,
    InspectionMixin,
    NewRowsMixin,
    ClusterMixin,
    BaseEstimator,
):
    """Cluster with a model that learned from other classes how to cluster (Hi-LANDER).

    ``fit(X, y)`` meta-trains on labelled rows; ``fit_predict(X)`` then clusters rows of other
    classes, without a number of clusters. A network over the neighbour graph predicts which
    neighbours belong together; linked rows merge into supernodes; supernodes are judged and
    merged in turn, level after level, until no more are linked [1]_.

    Without labels, the model that comes with the package clusters. Without that, by
    ``pretrained=None`` or ``architecture="untrained"``, edges are scored by locally scaled
    similarity, which needs no training.

    Parameters
    ----------
    n_neighbors : int, optional
        Neighbours of each sample, itself not counted. None means what suits the architecture:
        40 for "relational", which looks at several scales up to this one, and without labels
        links the nearest 16 or more alone where there are many rows in small clusters; 9 for
        the others and without a model.
    linkage_threshold : float or "auto", default="auto"
        Pairs at or under this linkage probability are not joined. "auto" calibrates it on classes
        held out of meta-training: for "relational" near half of the best F, for the others where F
        is best. The model that comes with the package brings its own; without a model, or where
        there are too few classes, it is 0.5. Where `selected_` is not "judge", clusters at the
        calibrated threshold are that decoder's: pairs above it are joined within them alone.
    max_levels : int, optional
        Most levels of the hierarchy. None means 10; for "relational", no limit.
    min_cluster_size : int, default=1
        Smaller clusters get the label -1.
    metric : {"cosine", "euclidean", "precomputed"}, default="cosine"
        Similarity of two rows: their cosine, or a Gaussian of their distance whose width is the
        median distance to the `n_neighbors`-th neighbour. "precomputed" takes distances of any
        kind instead of embeddings, as ``KNeighborsTransformer(mode="distance")`` gives them, on
        any scale; of each row the `n_neighbors` least ones count (see the user guide). The
        paper's networks cannot do with it.
    algorithm : {"auto", "brute", "ivf", "hnsw"}, default="auto"
        Neighbour search: exact; within the nearest cells of an inverted file and then among
        neighbours of neighbours; or with hnswlib. "auto" is exact up to 20,000 rows, 300,000 on
        a GPU, and "ivf" beyond. "ivf" is not for ``metric="euclidean"``: with the paper's
        networks "auto" then is exact up to 50,000 rows, or on a GPU, and "hnsw" beyond.
    architecture : {"relational", "gcn", "gat", "paper-gcn", "paper-gat", "untrained"} or \
            Architecture, default="relational"
        The model that labels train; without labels the one of `pretrained` clusters, whatever it
        is, but for "untrained". "relational" sees only how rows stand to each other, so its weights
        fit embeddings of any dimension. The others are the paper's network: "gcn" sees peak and
        mean features, "gat" peak features alone; "paper-gcn" and "paper-gat" also cluster just
        as the authors' scripts do (see the user guide). "untrained" has no network: locally
        scaled similarity stands in for it.
    pretrained : HiLanderClustering, str, os.PathLike or None, default="default"
        What clusters when ``fit`` gets no labels and this object has not learned from any: a
        meta-trained estimator, the path of a file that ``save`` wrote, or "default", the model
        that comes with the package; None is no model. An estimator is not changed, and ``clone``
        keeps it. Given labels, "relational" goes on from its judge of cluster pairs where that
        has the width `hidden_dim`: training takes less time, and ends as well (see the user
        guide). None trains from scratch.
    max_iter : int, optional
        Of meta-training. For "relational", passes over the merges that the model itself makes
        (None means 3, or 2 where it goes on from `pretrained`); for the others, epochs (None
        means 250).
    learning_rate : float, optional
        None means 0.003 for "relational", 0.01 for the others.
    batch_size : int, optional
        Pairs (None means 1024), or nodes (None means 4096), a training step.
    hidden_dim : int, optional
        Width of the model. None means 64 for "relational", 512 for the others.
    device : str, default="auto"
        A torch device; "auto" is CUDA if there is one, else the CPU. "relational" searches for
        neighbours there, or with a warning on the CPU where memory does not do, and computes
        its relations on the CPU.
    n_jobs : int, optional
        Threads; None leaves them to torch, -1 means all cores, or their share in a worker of
        joblib, as searches over parameters have them. Given a `random_state`, an "hnsw" index
        is built by one thread, and numpy's linear algebra has one: otherwise they would
        differ from run to run.
    memory : str or joblib.Memory, optional
        Keeps trained models, so that a search over `linkage_threshold` trains once a fold.
    checkpoint : str or os.PathLike, optional
        File that keeps the state of a meta-training until the fit is done: after every epoch, for
        "relational" after every trained network. The same call after a kill or an interrupt goes
        on from there, and ends with the same bits (see the user guide). One file serves one fit
        at a time.
    random_state : int, RandomState or None, default=None
        Seeds the weights, the batches and the held-out classes. An integer makes runs on the CPU
        repeatable bit for bit, at the cost of some speed; over different numbers of threads,
        weights are the same bits only with ``n_jobs=1``.
    verbose : int, default=0
        Print the loss of each step of training, and each stage and level of clustering.

    Attributes
    ----------
    labels_ : ndarray of shape (n_samples,), int64
        Cluster of each row from 0, in the order of their first rows; -1 only for clusters under
        `min_cluster_size`.
    n_clusters_ : int
        Number of clusters, -1 left out.
    hierarchy_ : Hierarchy
        Labels and peaks of every level, and the tree of merges.
    probabilities_ : ndarray of shape (n_samples,), float64
        Strength of each row's membership, in [0, 1].
    outlier_scores_ : ndarray of shape (n_samples,), float64
        How little each row is linked to any other, in [0, 1].
    exemplar_indices_ : ndarray of shape (`n_clusters_`,), int64
        Row of the peak of each cluster.
    cluster_centers_ : ndarray of shape (`n_clusters_`, n_features), float64
        Mean of each cluster's rows; for "cosine", of the rows at unit length. Not for
        "precomputed".
    cluster_sizes_ : ndarray of shape (`n_clusters_`,), int64
        Number of rows in each cluster.
    linkage_threshold_ : float
        The threshold that was used.
    lander_ : Lander, RelationalModel or None
        The model that clusters: meta-trained here, or that of `pretrained`. None where none does.
    selected_ : {"judge", "average", "flow", "stable"} or None
        Which decoder makes the clusters: "judge" (a network that looks at pairs of clusters),
        "average" (average linkage) or "flow" (map equation of a walk along the linkage
        probabilities), the first of them within a standard error of the best on classes held out
        of meta-training; "stable" (average linkage, cut where a walk along the embeddings has its
        most stable clusters) for the model that comes with the package. None for the paper's
        networks and without a model.
    validation_scores_ : dict of str to float
        F of each of these ways on classes held out of meta-training, mean of pairwise and BCubed F
        at its best threshold. Near 1 the held-out classes tell little: many more classes than were
        learned from will stand nearer to each other. From .85 on clusters of three times as
        many samples or more are cut where a flow along the embeddings divides many of them.
        Empty where `selected_` was not chosen so.
    loss_curve_ : list of float
        Mean loss of each epoch or pass of the training of `lander_`; empty where that is None.
    n_iter_ : int
        Epochs or passes of that training.
    n_features_in_ : int
        Number of features seen by ``fit``.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, where ``fit`` was given a data frame with string names.

    See Also
    --------
    sklearn.cluster.DBSCAN : Density-based, one radius for all clusters.
    sklearn.cluster.HDBSCAN : Density-based, without a radius; leaves rows unclustered.

    References
    ----------
    .. [1] Xing, He, Xiao, Wang, Xiong, Xia, Wipf, Zhang, Soatto, "Learning Hierarchical Graph
       Neural Networks for Image Clustering", ICCV 2021, arXiv:2107.01319.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_hilander import HiLanderClustering
    >>> X, y = load_digits(return_X_y=True)
    >>> X, y = X[::4], y[::4]
    >>> seen = y < 5
    >>> clusterer = HiLanderClustering(max_iter=1, random_state=0)
    >>> labels = clusterer.fit(X[seen], y[seen]).fit_predict(X[~seen])
    >>> labels.shape == (np.sum(~seen),)
    True
    """

    _parameter_constraints: dict = {  # noqa: RUF012 (scikit-learn's own form)
        "n_neighbors": [None, Interval(Integral, 1, None, closed="left")],
        "linkage_threshold": [Interval(Real, 0, 1, closed="left"), StrOptions({"auto"})],
        "max_levels": [None, Interval(Integral, 1, None, closed="left")],
        "min_cluster_size": [Interval(Integral, 1, None, closed="left")],
        "metric": [StrOptions({"cosine", "euclidean", "precomputed"})],
        "algorithm": [StrOptions({"auto", "brute", "ivf", "hnsw"})],
        "architecture": [StrOptions(set(ARCHITECTURES)), Architecture],
        "pretrained": [None, str, os.PathLike, BaseEstimator],
        "max_iter": [None, Interval(Integral, 1, None, closed="left")],
        "learning_rate": [None, Interval(Real, 0, None, closed="neither")],
        "batch_size": [None, Interval(Integral, 1, None, closed="left")],
        "hidden_dim": [None, Interval(Integral, 1, None, closed="left")],
        "device": [str],
        "n_jobs": [None, Integral],
        "memory": [None, str, HasMethods("cache")],
        "checkpoint": [None, str, os.PathLike],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        n_neighbors: int | None = None,
        *,
        linkage_threshold: float | Literal["auto"] = "auto",
        max_levels: int | None = None,
        min_cluster_size: int = 1,
        metric: Literal["cosine", "euclidean", "precomputed"] = "cosine",
        algorithm: Literal["auto", "brute", "ivf", "hnsw"] = "auto",
        architecture: str | Architecture = "relational",
        pretrained: str | os.PathLike[str] | BaseEstimator | None = "default",
        max_iter: int | None = None,
        learning_rate: float | None = None,
        batch_size: int | None = None,
        hidden_dim: int | None = None,
        device: str = "auto",
        n_jobs: int | None = None,
        memory: Any = None,
        checkpoint: str | os.PathLike[str] | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        self.n_neighbors = n_neighbors
        self.linkage_threshold = linkage_threshold
        self.max_levels = max_levels
        self.min_cluster_size = min_cluster_size
        self.metric = metric
        self.algorithm = algorithm
        self.architecture = architecture
        self.pretrained = pretrained
        self.max_iter = max_iter
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.hidden_dim = hidden_dim
        self.device = device
        self.n_jobs = n_jobs
        self.memory = memory
        self.checkpoint = checkpoint
        self.random_state = random_state
        self.verbose = verbose

    @with_callbacks
    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike | None = None,
        *,
        must_link: ArrayLike | None = None,
        cannot_link: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> Self:
        """Meta-train if there are labels, then cluster the rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Embeddings. For ``metric="precomputed"`` distances of the rows to each other, a sparse
            matrix or an array-like of shape (n_samples, n_samples).
        y : array-like of shape (n_samples,), optional
            Classes. A row labelled with the number -1 is taught as one that is alike to no other;
            that is not what *unlabelled* means: leave rows out whose class you do not know.
            If given, everything learned earlier is forgotten. If not, the rows are clustered with
            the model that this object was trained to before, else with `pretrained`.
        must_link : array-like of shape (n_pairs, 2), optional
            Pairs of rows that share a cluster, on every level. Constraints are of the clustering:
            meta-training does not see them.
        cannot_link : array-like of shape (n_pairs, 2), optional
            Pairs of rows that share no cluster, on any level.
        groups : array-like of shape (n_samples,), optional
            Two rows of one group share no cluster, on any level. None, NaN and the number -1 are
            no group.

        Returns
        -------
        self
            Unchanged if this raises.

        Raises
        ------
        ValueError
            For NaN and infinity, with the rows that hold them, masked or 1-d input, or another
            number of features than the model was trained on; for constraints that contradict
            each other, naming the rows; for ``algorithm="ivf"`` with ``metric="euclidean"``.
        TypeError
            For generators, and for sparse input unless ``metric="precomputed"``.
        """
        self._validate_params()
        with (
            # The task first: what callbacks keep on the estimator is theirs to clear.
            fit_task(self, n_subtasks=1 if y is None else 2, X=X, y=y) as task,
            unchanged_on_failure(self),
            self._threads() as n_threads,
        ):
            X, y = self._check_training_input(X, y)
            constraints = check_constraints(X.shape[0], must_link, cannot_link, groups)
            checkpoint = Checkpoint()
            if y is None:
                model = self._model_at_hand()
            else:
                model, checkpoint = self._meta_train(X, y, n_threads, task)
            self._check_model_width(model)
            settings = self._cluster_settings(n_threads, model)
            with task.subtask("cluster", n_subtasks=None) as clustering:
                known = cluster_rows(
                    X,
                    model,
                    settings,
                    partial(self._report_level, clustering),
                    constraints,
                    self._report_stage,
                )
            self._set_model(model)
            self._learned = y is not None or getattr(self, "_learned", False)
            self._keep(known)
        checkpoint.remove()
        return self

    def fit_predict(
        self,
        X: ArrayLike,
        y: ArrayLike | None = None,
        *,
        must_link: ArrayLike | None = None,
        cannot_link: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> NDArray[np.int64]:
        """``fit(X, y).labels_``: unlike in scikit-learn's clusterers, `y` is not dropped.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,), optional
        must_link, cannot_link, groups
            As in ``fit``.

        Returns
        -------
        labels : ndarray of shape (n_samples,), int64
        """
        return self.fit(X, y, must_link=must_link, cannot_link=cannot_link, groups=groups).labels_

    def score(self, X: ArrayLike, y: ArrayLike) -> float:
        """Pairwise F of clustering `X` afresh with the model at hand. Changes nothing.

        With ``GridSearchCV(..., cv=GroupKFold())`` and ``groups=y`` this is a class-disjoint
        search.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
            True classes.

        Returns
        -------
        float
            In [0, 1].
        """
        check_is_fitted(self)
        self._validate_params()
        # A copy: the number of other distances is none of the fitted ones.
        precomputed = self.metric == "precomputed"
        rows = copy(self)._check_rows_to_cluster(X, reset=precomputed)
        with self._threads() as n_threads:
            settings = self._cluster_settings(n_threads, self._model)
            known = cluster_rows(rows, self._model, settings)
        return pairwise_f_score(y, known.labels)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.pairwise = tags.input_tags.sparse = self.metric == "precomputed"
        return tags

    def __sklearn_clone__(self) -> Self:
        clone = super().__sklearn_clone__()
        # A meta-trained model is a parameter like bundled weights: cloning must not empty it.
        clone.pretrained = self.pretrained
        return clone

    def _keep(self, known: KnownClusters) -> None:
        """Take clusters as the fitted ones."""
        self._known = known
        self.labels_, self.n_clusters_ = known.labels, known.n_clusters
        self.linkage_threshold_ = known.linkage_threshold

    def _check_training_input(
        self, X: ArrayLike, y: ArrayLike | None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Validated rows, and classes from 0 or None."""
        if y is None:
            return self._check_rows_to_cluster(X), None
        rows, labels = self._check_rows_to_cluster(X, y)
        alone = find_none(labels)
        classes, code = np.unique(labels[~alone], return_inverse=True)
        codes = np.empty(len(labels), dtype=np.int64)
        codes[~alone] = code
        codes[alone] = len(classes) + np.arange(np.count_nonzero(alone))
        return rows, codes

    def _check_rows_to_cluster(self, X: ArrayLike, y: ArrayLike | None = None, **how: bool) -> Any:
        """Validated rows or, for "precomputed", distances; with y, that too."""
        check_search(self.algorithm, self.metric)
        if self.metric == "precomputed":
            return check_distances(self, X, y, **how)
        return check_rows(self, X, y, **how)

    def _threads(self) -> AbstractContextManager[int]:
        repeatable = self.random_state is not None and resolve_device(self.device).type == "cpu"
        return thread_limit(self.n_jobs, repeatable=repeatable)

    def _architecture(self) -> Architecture:
        if isinstance(self.architecture, Architecture):
            return self.architecture
        return ARCHITECTURES[self.architecture]

    def _parameter(self, name: str, architecture: Architecture) -> Any:
        """A parameter as given, or what the architecture takes None to be."""
        value = getattr(self, name)
        return getattr(architecture, name) if value is None else value

    def _cluster_settings(
        self, n_threads: int, model: Model, known: KnownClusters | None = None
    ) -> ClusterSettings:
        """How to cluster afresh, or how to go on from known clusters."""
        threshold, device = self.linkage_threshold, resolve_device(self.device)
        model.to(device)
        return ClusterSettings(
            # True is an Integral, too.
            n_neighbors=int(self._parameter("n_neighbors", model.architecture)),
            linkage_threshold=float(model.linkage_threshold if threshold == "auto" else threshold),
            max_levels=self._parameter("max_levels", model.architecture),
            min_cluster_size=self.min_cluster_size,
            # Known rows are embeddings of the metric that they were fitted with.
            metric=self.metric if known is None else known.scaler.metric,
            algorithm=self.algorithm,
            n_threads=n_threads if self.random_state is None else 1,
            device=device,
            faithful=model.architecture.faithful,
        )

    def _meta_train(
        self, X: np.ndarray, y: np.ndarray, n_threads: int, task: FitTask
    ) -> tuple[Model, Checkpoint]:
        """Train, or take a model that `memory` keeps."""
        architecture = self._architecture()
        hidden_dim = self._parameter("hidden_dim", architecture)
        relational = architecture.encoder == "relational"
        start = self._pretrained_model().judge_to_start_from(hidden_dim) if relational else None
        max_iter = self._parameter("max_iter", architecture)
        if start is not None and self.max_iter is None:
            max_iter = PASSES_FROM_START
        settings = ModelSettings(
            architecture=architecture,
            hidden_dim=hidden_dim,
            max_iter=max_iter,
            learning_rate=self._parameter("learning_rate", architecture),
            batch_size=self._parameter("batch_size", architecture),
            calibrate=self.linkage_threshold == "auto",
            seed=int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max)),
            start=start,
        )
        train = check_memory(self.memory).cache(meta_train, ignore=["on_step", "checkpoint"])
        # Without what only decides later: a search over it must find the same model.
        clustering = replace(
            self._cluster_settings(n_threads, Model(architecture)),
            linkage_threshold=0.0,
            min_cluster_size=1,
        )
        seeded = isinstance(self.random_state, Integral)
        checkpoint = open_checkpoint(self.checkpoint, X, y, settings, clustering, seeded=seeded)
        settings = replace(settings, seed=checkpoint.seed)
        with task.subtask("meta-train", n_subtasks=None) as training:
            report = partial(self._report_step, training)
            model = train(X, y, settings, clustering, report, checkpoint)
        if self.verbose:
            selected = "" if model.selected is None else f", selected: {model.selected}"
            print(f"[HiLanderClustering] linkage threshold {model.linkage_threshold:.2f}{selected}")
            of_each = ", ".join(f"{way} {f:.3f}" for way, f in model.validation_scores.items())
            if of_each:
                print(f"[HiLanderClustering] F on held-out classes: {of_each}")
        return model, checkpoint

    def _model_at_hand(self) -> Model:
        """The model trained by this object, else the pretrained one, else none at all."""
        return self._model if getattr(self, "_learned", False) else self._pretrained_model()

    def _pretrained_model(self) -> Model:
        """The model that `pretrained` names."""
        if self.pretrained is None or self._architecture() == UNTRAINED:
            return Model()
        if isinstance(self.pretrained, (str, os.PathLike)):
            return pretrained_model(self.pretrained)
        pretrained = getattr(self.pretrained, "estimator", self.pretrained)
        if not isinstance(pretrained, HiLanderClustering):
            raise ValueError(
                "pretrained must be a HiLanderClustering, or a FrozenEstimator around one; "
                f"got {type(pretrained).__name__}."
            )
        check_is_fitted(pretrained, msg="pretrained is not fitted: call its fit(X, y) first.")
        return pretrained._model

    def _check_model_width(self, model: Model) -> None:
        if self.metric == "precomputed":
            check_sees_graphs(model.architecture)
        if model.n_features not in (None, self.n_features_in_):
            raise ValueError(
                f"X has {self.n_features_in_} features, but the model was meta-trained on "
                f"{model.n_features}: give rows of the same encoder, or labels to train on."
            )

    def _report_step(self, task: FitTask, loss: float) -> None:
        with task.subtask("step"):
            pass
        if self.verbose:
            print(f"[HiLanderClustering] meta-training: loss {loss:.4f}")

    def _report_stage(self, what: str) -> None:
        if self.verbose:
            print(f"[HiLanderClustering] {what}")

    def _report_level(self, task: FitTask, depth: int, before: int, after: int) -> None:
        with task.subtask("level"):
            pass
        if self.verbose:
            print(f"[HiLanderClustering] level {depth}: {before} nodes merged to {after}")
