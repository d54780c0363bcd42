"""What a fitted clusterer can be asked: representatives, strengths, hierarchy, reviews."""

from __future__ import annotations

from contextlib import AbstractContextManager
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted, check_scalar

from sklearn_hilander import _views
from sklearn_hilander._clusters._clustering import decode_again
from sklearn_hilander._clusters._known_clusters import KnownClusters
from sklearn_hilander._clusters._merge_tree import Hierarchy
from sklearn_hilander._incoming._distance_joining import refuse_distances
from sklearn_hilander._rows._validation import check_real, check_rows
from sklearn_hilander._state import unchanged_on_failure

if TYPE_CHECKING:
    from typing_extensions import Self


class InspectionMixin:
    """Attributes and methods that are computed when asked for, from what the fit found.

    Nothing here costs `fit` anything. What was computed is kept with the clustering, and goes with
    it.
    """

    if TYPE_CHECKING:
        # Of the estimator.
        _known: KnownClusters
        _model: Any
        _cluster_settings: Any
        _keep: Any
        _validate_params: Any

        def _threads(self) -> AbstractContextManager[int]: ...

    @property
    def exemplar_indices_(self) -> NDArray[np.int64]:
        """Row of the peak of each cluster, ndarray of shape (`n_clusters_`,), int64."""
        check_is_fitted(self, "labels_")
        return _views.exemplars(self._known)

    @property
    def cluster_centers_(self) -> NDArray[np.float64]:
        """Mean of each cluster's rows, ndarray of shape (`n_clusters_`, n_features), float64.

        For ``metric="cosine"`` the mean of the rows at unit length, not scaled itself. There is
        none for ``metric="precomputed"``: distances have no mean.
        """
        check_is_fitted(self, "labels_")
        if self._known.scaler.metric == "precomputed":
            raise AttributeError(
                "cluster_centers_ needs embeddings, and metric='precomputed' has none: see "
                "exemplar_indices_ for a row of each cluster."
            )
        return _views.centers(self._known)

    @property
    def cluster_sizes_(self) -> NDArray[np.int64]:
        """Number of rows in each cluster, ndarray of shape (`n_clusters_`,), int64."""
        check_is_fitted(self, "labels_")
        return _views.sizes(self._known)

    @property
    def probabilities_(self) -> NDArray[np.float64]:
        """Strength of each row's membership, ndarray of shape (n_samples,), float64 in [0, 1].

        The highest linkage threshold at which the row would still share a cluster with its
        cluster's exemplar. Exemplars have 1, rows labelled -1 have 0. With the same clusters and
        exemplars, raising any linkage probability inside a cluster never lowers it.
        """
        check_is_fitted(self, "labels_")
        return _views.probabilities(self._known, self._model)

    @property
    def outlier_scores_(self) -> NDArray[np.float64]:
        """How little each row is linked, ndarray of shape (n_samples,), float64 in [0, 1].

        1 - the highest linkage probability of the row and any other; 0 for exact copies.
        """
        check_is_fitted(self, "labels_")
        return _views.outlier_scores(self._known)

    @property
    def hierarchy_(self) -> Hierarchy:
        """Labels and peaks of every level, and the tree of merges."""
        check_is_fitted(self, "labels_")
        return _views.hierarchy(self._known, self._model)

    def relabel(
        self, *, min_cluster_size: int | None = None, linkage_threshold: float | None = None
    ) -> Self:
        """Decode again from what ``fit`` found, without scoring anything anew.

        Changes `labels_`, `n_clusters_` and `linkage_threshold_`, and everything that follows from
        them, ``predict`` included; not the parameters. ``hierarchy_.cut`` gives labels without
        changing anything.

        With the relational architecture the clusters at each threshold of
        ``hierarchy_.thresholds`` are those of a fit at that threshold; others, between two, are
        cut from the tree of merges. With the others, the merges of the first level are those of
        such a fit, and higher levels keep the graphs that they were scored on.

        Parameters
        ----------
        min_cluster_size : int, optional
            None leaves it as it is.
        linkage_threshold : float, optional
            In [0, 1). None leaves it as it is.

        Returns
        -------
        self
            Unchanged if this raises.
        """
        check_is_fitted(self, "labels_")
        if min_cluster_size is not None:
            check_scalar(min_cluster_size, "min_cluster_size", Integral, min_val=1)
        if linkage_threshold is not None:
            bounds = dict(min_val=0, max_val=1, include_boundaries="left")
            check_real(linkage_threshold, "linkage_threshold", **bounds)
            linkage_threshold = float(linkage_threshold)
        with unchanged_on_failure(self):
            self._keep(decode_again(self._known, self._model, min_cluster_size, linkage_threshold))
        return self

    def merge_candidates(self, top: int = 50) -> np.recarray:
        """Pairs of clusters by the probability that they are one: what to look at next.

        Parameters
        ----------
        top : int, default=50
            Most pairs.

        Returns
        -------
        recarray of shape (n_pairs,)
            Most probable first: clusters `a` and `b`, `probability`, rows `exemplar_a` and
            `exemplar_b`, and `size_a` and `size_b`. The judge's probability where the clusters are
            those of ``fit``; else what was found on the way, or the mean linkage probability of
            neighbours across.
        """
        check_is_fitted(self, "labels_")
        check_scalar(top, "top", Integral, min_val=1)
        return _views.merges_to_review(self._known, self._model, top)

    def split_candidates(self, top: int = 50) -> np.recarray:
        """Clusters by their weakest inner merge.

        Parameters
        ----------
        top : int, default=50
            Most clusters.

        Returns
        -------
        recarray of shape (n_clusters,)
            Weakest first: `cluster`, the `probability` of its weakest merge, the rows
            `exemplar_a` and `exemplar_b` that are the peaks of the two parts, and `size_a` and
            `size_b`, the larger part first. Clusters of one row, or of copies of one, are left
            out.
        """
        check_is_fitted(self, "labels_")
        check_scalar(top, "top", Integral, min_val=1)
        return _views.splits_to_review(self._known, self._model, top)

    def linkage_pairs(self) -> np.recarray:
        """Linkage probability of every pair of neighbours that was scored.

        Returns
        -------
        recarray of shape (n_pairs,)
            Rows `i` and `j`, and their `probability`.
        """
        check_is_fitted(self, "labels_")
        return _views.linkage_pairs(self._known)

    def soft_membership(self, X: ArrayLike | None = None, *, top: int = 5) -> sp.csr_array:
        """Sparse memberships, at most `top` clusters a row.

        A fitted row's is the share of its linkage probability that goes to each cluster, itself
        counted as one link of probability 1. A new row's is the probability with which ``predict``
        would let it join, scaled where they sum to more than 1.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), optional
            None means the fitted rows.
        top : int, default=5

        Returns
        -------
        csr_array of shape (n_samples, `n_clusters_`), float64
            Rows sum to 1 at most: what is missing belongs elsewhere, or nowhere.
        """
        check_is_fitted(self, "labels_")
        check_scalar(top, "top", Integral, min_val=1)
        if X is None:
            return _views.fitted_membership(self._known, top)
        self._validate_params()
        refuse_distances(self._known, "soft_membership of new rows")
        X = check_rows(self, X, reset=False)
        with self._threads() as n_threads:
            settings = self._cluster_settings(n_threads, self._model, self._known)
            return _views.new_membership(X, self._known, self._model, settings, top)
