"""New rows for a fitted clusterer: ``predict``, ``partial_fit`` and ``recluster``."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.metadata_routing import UNUSED
from sklearn.utils.validation import check_is_fitted

from sklearn_hilander._callbacks import FitTask, fit_task, with_callbacks
from sklearn_hilander._clusters._clustering import with_merges_that_made_it
from sklearn_hilander._clusters._growth import ClusterSettings
from sklearn_hilander._clusters._known_clusters import KnownClusters
from sklearn_hilander._constraints._row_constraints import RowConstraints, check_constraints
from sklearn_hilander._incoming._distance_joining import join_by_distances, refuse_distances
from sklearn_hilander._incoming._joining import KnownClustersError, assign_rows
from sklearn_hilander._incoming._kept_rows import KeptRows, known_rows, with_new_rows
from sklearn_hilander._incoming._reclustering import recluster
from sklearn_hilander._incoming._streaming import keep_rows
from sklearn_hilander._rows._distances import check_distances
from sklearn_hilander._rows._validation import check_real, check_rows
from sklearn_hilander._state import unchanged_on_failure

if TYPE_CHECKING:
    from typing_extensions import Self


class NewRowsMixin:
    """New rows join known clusters or open new ones."""

    # It says how to cluster, not what the rows are: nothing to be routed.
    __metadata_request__partial_fit: ClassVar = {"min_growth": UNUSED}

    if TYPE_CHECKING:
        # Of the estimator.
        labels_: NDArray[np.int64]
        _known: Any
        _model: Any
        _cluster_settings: Any
        _keep: Any
        fit: Any
        _report_level: Any
        _report_stage: Any
        _validate_params: Any

        def _threads(self) -> AbstractContextManager[int]: ...

    def predict(
        self,
        X: ArrayLike,
        *,
        must_link: ArrayLike | None = None,
        cannot_link: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> NDArray[np.int64]:
        """Join rows to the known clusters, or open new ones. Changes nothing.

        An exact copy of a known row gets its label. A row that the model links to a known cluster
        joins it. All other rows are clustered among themselves and get the labels
        ``n_clusters_``, ``n_clusters_ + 1``, ...; known clusters never merge.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        must_link, cannot_link : array-like of shape (n_pairs, 2), optional
            Pairs of rows of this `X`.
        groups : array-like of shape (n_samples,), optional
            A row joins no cluster that has a known row of its group.

        Returns
        -------
        labels : ndarray of shape (n_samples,), int64

        Notes
        -----
        For ``metric="precomputed"`` `X` has the distances of the new rows to the fitted ones, of
        shape (n_samples, n_fitted), as ``KNeighborsTransformer.transform`` gives them; a distance
        of 0 makes a row a copy. A row joins a known one that it is nearer to than that one's third
        neighbour. How rows that join none lie to each other is not known: each is a cluster of
        its own. Constraints cannot be given.

        Raises
        ------
        ValueError
            Also for constraints that known clusters contradict.
        """
        check_is_fitted(self, "labels_")
        self._validate_params()
        known, model = self._known, self._model
        if known.scaler.metric == "precomputed":
            if any(given is not None for given in (must_link, cannot_link, groups)):
                refuse_distances(known, "Constraints on new rows")
            distances = check_distances(self, X, reset=False, square=False)
            return join_by_distances(distances, known)
        X = check_rows(self, X, reset=False)
        constraints = check_constraints(len(X), must_link, cannot_link, groups)
        with self._threads() as n_threads:
            settings = replace(
                self._cluster_settings(n_threads, model, known),
                linkage_threshold=known.linkage_threshold,
            )
            return assign_rows(X, known, model, settings, constraints).labels

    def partial_fit(
        self,
        X: ArrayLike,
        y: ArrayLike | None = None,
        *,
        must_link: ArrayLike | None = None,
        cannot_link: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        min_growth: float | None = 1.05,
    ) -> Self:
        """Keep rows as they come, in clusters that go on.

        `labels_` then covers all rows seen since ``fit``, the new ones last; so do the other
        attributes. Before any ``fit`` this is ``fit``.

        Few rows at a time are given what ``predict`` gives them, and known rows keep their
        labels. Early decisions were made on few rows, though: once there are `min_growth` times as
        many rows as when all were last clustered together, all are clustered afresh, as by
        ``recluster``. Clusters may then merge and come apart, and those that go on keep their
        label. So the clusters are those of a ``fit`` on all rows, but for what joined since.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,), optional
            Ignored, unless this is ``fit``.
        must_link, cannot_link : array-like of shape (n_pairs, 2), optional
            Pairs of rows of this `X`.
        groups : array-like of shape (n_samples,), optional
            Two rows of one group share no cluster, known rows included.
        min_growth : float or None, default=1.05
            At least 1. All clusterings of a stream take together at most
            ``min_growth / (min_growth - 1)`` times as long as clustering all rows once, where
            time grows with the number of rows, however small the calls. 1 clusters all rows
            in every call. None never does: no known row ever changes its cluster, which loses
            much where few rows came first (see "Living with clusters").

        Returns
        -------
        self
            Unchanged if this raises.

        Raises
        ------
        ValueError
            Also for constraints that those of earlier calls contradict. Where only known clusters
            contradict them, as by `must_link` of copies of known rows, all rows are clustered
            afresh; with ``min_growth=None`` this raises.

        See Also
        --------
        recluster : Cluster all rows kept so far afresh, with labels that go on.

        Notes
        -----
        With ``min_growth=None`` and `min_cluster_size` above 1, rows labelled -1 get the next free
        label once their cluster is large enough.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn_hilander import HiLanderClustering
        >>> from sklearn_hilander.datasets import make_identities
        >>> X, _ = make_identities(200, mean_size=10, random_state=0)
        >>> stream = HiLanderClustering()
        >>> for chunk in np.array_split(X, 4):
        ...     stream = stream.partial_fit(chunk)
        >>> stream.n_clusters_ == HiLanderClustering().fit(X).n_clusters_
        True
        """
        if min_growth is not None:
            check_real(min_growth, "min_growth", min_val=1)
        said = dict(must_link=must_link, cannot_link=cannot_link, groups=groups)
        if not hasattr(self, "labels_"):
            return self.fit(X, y, **said)
        self._validate_params()
        refuse_distances(self._known, "partial_fit")
        return self._keep_more(X, said, np.inf if min_growth is None else min_growth)

    @with_callbacks
    def _keep_more(self, X: ArrayLike, said: dict[str, Any], min_growth: float) -> Self:
        """``partial_fit`` where there are known rows."""
        with (
            fit_task(self, name="partial_fit", n_subtasks=None, X=X) as task,
            unchanged_on_failure(self),
            self._threads() as n_threads,
        ):
            X = check_rows(self, X, reset=False)
            constraints = check_constraints(len(X), **said)
            known, model = self._known, self._model
            settings = self._cluster_settings(n_threads, model, known)
            if len(known.nodes) + len(X) < min_growth * known.n_clustered:
                try:
                    self._keep(_joined(X, known, model, settings, constraints))
                    return self
                except KnownClustersError:
                    if min_growth == np.inf:
                        raise
            self._recluster(with_new_rows(known, X, constraints), settings, task)
        return self

    @with_callbacks
    def recluster(self, *, min_growth: float = 1.0) -> Self:
        """Cluster all rows seen since ``fit`` afresh; clusters that go on keep their label.

        Clusters may merge and come apart, and the result is that of a ``fit`` on all rows at
        `linkage_threshold_`. Constraints that came with the rows hold on. Labels stay contiguous
        from 0; of all such numberings, the one that leaves most rows their label is taken. For
        numbers that last even where that cannot be, see
        :func:`~sklearn_hilander.metrics.match_labels`.

        ``partial_fit`` does this by itself when rows have grown in number. This is for the end of a
        stream, for streams with ``partial_fit(..., min_growth=None)``, and after ``relabel``.

        Parameters
        ----------
        min_growth : float, default=1.0
            Do nothing while there are fewer than `min_growth` times as many rows as there were
            when all were last clustered together.

        Returns
        -------
        self
            Unchanged if this raises.

        Notes
        -----
        Rows are kept as embeddings: for "euclidean" their scale is that of the first ``fit`` times
        a power of two, within a factor of 1.42 of what a fit on all rows would take, and for the
        "paper-" architectures their lengths are taken to be 1.
        """
        check_is_fitted(self, "labels_")
        self._validate_params()
        check_real(min_growth, "min_growth", min_val=1)
        known = self._known
        refuse_distances(known, "recluster")
        if len(known.nodes) < min_growth * known.n_clustered:
            return self
        with (
            fit_task(self, name="recluster", n_subtasks=None) as task,
            unchanged_on_failure(self),
            self._threads() as n_threads,
        ):
            settings = self._cluster_settings(n_threads, self._model, known)
            self._recluster(known_rows(known), settings, task)
        return self

    def _recluster(self, rows: KeptRows, settings: ClusterSettings, task: FitTask) -> None:
        with task.subtask("cluster", n_subtasks=None) as clustering:
            known = recluster(
                self._known,
                rows,
                self._model,
                settings,
                partial(self._report_level, clustering),
                self._report_stage,
            )
        self._keep(known)


def _joined(
    X: np.ndarray,
    known: KnownClusters,
    model: Any,
    settings: ClusterSettings,
    constraints: RowConstraints | None,
) -> KnownClusters:
    """Known clusters with rows that joined them or opened new ones."""
    at = replace(settings, linkage_threshold=known.linkage_threshold)
    return keep_rows(
        with_merges_that_made_it(known, model),
        assign_rows(X, known, model, at, constraints),
        model.judged(known.growth),
        model.join_threshold(known.linkage_threshold),
        settings,
        constraints,
    )
