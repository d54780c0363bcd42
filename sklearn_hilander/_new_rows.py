"""New rows for a fitted clusterer: ``predict``, ``partial_fit`` and ``recluster``."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted, check_scalar

from sklearn_hilander._callbacks import FitTask
from sklearn_hilander._distance_joining import join_by_distances, refuse_distances
from sklearn_hilander._distances import check_distances
from sklearn_hilander._joining import Assignment, assign_rows
from sklearn_hilander._reclustering import recluster
from sklearn_hilander._row_constraints import RowConstraints, check_constraints
from sklearn_hilander._state import unchanged_on_failure
from sklearn_hilander._streaming import keep_rows
from sklearn_hilander._validation import check_rows

if TYPE_CHECKING:
    from typing_extensions import Self


class NewRowsMixin:
    """New rows join known clusters or open new ones."""

    if TYPE_CHECKING:
        # Of the estimator.
        labels_: NDArray[np.int64]
        _known: Any
        _model: Any
        _cluster_settings: Any
        _keep: Any
        fit: Any
        _report_level: Any

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
        if self._known.scaler.metric == "precomputed":
            if any(given is not None for given in (must_link, cannot_link, groups)):
                refuse_distances(self._known, "Constraints on new rows")
            distances = check_distances(self, X, reset=False, square=False)
            return join_by_distances(distances, self._known)
        return self._assign(X, must_link, cannot_link, groups)[1].labels

    def partial_fit(
        self,
        X: ArrayLike,
        y: ArrayLike | None = None,
        *,
        must_link: ArrayLike | None = None,
        cannot_link: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> Self:
        """Do what ``predict`` does, and keep the rows: known rows never change their cluster.

        `labels_` then covers all rows seen since ``fit``, the new ones last; so do the other
        attributes. With `min_cluster_size` above 1, rows labelled -1 get the next free label once
        their cluster is large enough. Before any ``fit`` this is ``fit``.

        No early decision is taken back, which costs much where few rows came first: in a stream,
        ``partial_fit(chunk).recluster(min_growth=1.05)`` keeps to what ``fit`` on all rows
        gives.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,), optional
            Ignored, unless this is ``fit``.
        must_link, cannot_link, groups
            As in ``predict``.

        Returns
        -------
        self
            Unchanged if this raises.

        See Also
        --------
        recluster : Cluster all rows kept so far afresh, with labels that go on.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn_hilander import HiLanderClustering
        >>> from sklearn_hilander.datasets import make_identities
        >>> X, _ = make_identities(200, mean_size=10, random_state=0)
        >>> stream = HiLanderClustering()
        >>> for chunk in np.array_split(X, 4):
        ...     stream = stream.partial_fit(chunk).recluster(min_growth=1.05)
        >>> stream.n_clusters_ == HiLanderClustering().fit(X).n_clusters_
        True
        """
        if not hasattr(self, "labels_"):
            return self.fit(X, y, must_link=must_link, cannot_link=cannot_link, groups=groups)
        refuse_distances(self._known, "partial_fit")
        with unchanged_on_failure(self), self._threads() as n_threads:
            constraints, assignment = self._assign(X, must_link, cannot_link, groups)
            known, model = self._known, self._model
            self._keep(
                keep_rows(
                    known,
                    assignment,
                    model.judged(known.growth),
                    model.join_threshold(known.linkage_threshold),
                    self._cluster_settings(n_threads, model),
                    constraints,
                )
            )
        return self

    def recluster(self, *, min_growth: float = 1.0) -> Self:
        """Cluster all rows seen since ``fit`` afresh; clusters that go on keep their label.

        ``partial_fit`` takes no decision back. This does: clusters may merge and come apart,
        and the result is that of a ``fit`` on all rows at `linkage_threshold_`. Constraints that
        came with the rows hold on. Labels stay contiguous from 0; of all such numberings, the one
        that leaves most rows their label is taken. For numbers that last even where that
        cannot be, see :func:`~sklearn_hilander.metrics.match_labels`.

        Parameters
        ----------
        min_growth : float, default=1.0
            Do nothing while there are fewer than `min_growth` times as many rows as there were
            when all were last clustered together. In a stream,
            ``partial_fit(chunk).recluster(min_growth=g)`` clusters all rows again whenever there
            are g times as many. That takes altogether at most ``g / (g - 1)`` times as long as
            clustering all of them once, where time grows with the number of rows. 1.05 hardly
            loses anything on the way; 1.25 takes a quarter of that, and loses up to .09
            of pairwise F between two times (see "Living with clusters").

        Returns
        -------
        self
            Unchanged if this raises.

        Notes
        -----
        Rows are kept as embeddings: for "euclidean" their scale stays that of ``fit``, and for the
        "paper-" architectures their lengths are taken to be 1.
        """
        check_is_fitted(self, "labels_")
        check_scalar(min_growth, "min_growth", Real, min_val=1)
        refuse_distances(self._known, "recluster")
        known, model = self._known, self._model
        if len(known.nodes) < min_growth * known.n_clustered:
            return self
        with unchanged_on_failure(self), self._threads() as n_threads:
            settings = self._cluster_settings(n_threads, model)
            on_level = partial(self._report_level, FitTask())
            self._keep(recluster(known, model, settings, on_level))
        return self

    def _assign(
        self,
        X: ArrayLike,
        must_link: ArrayLike | None,
        cannot_link: ArrayLike | None,
        groups: ArrayLike | None,
    ) -> tuple[RowConstraints | None, Assignment]:
        """Constraints and assignment of new rows."""
        X = check_rows(self, X, reset=False)
        constraints = check_constraints(len(X), must_link, cannot_link, groups)
        with self._threads() as n_threads:
            settings = replace(
                self._cluster_settings(n_threads, self._model),
                linkage_threshold=self._known.linkage_threshold,
            )
            return constraints, assign_rows(X, self._known, self._model, settings, constraints)
