"""A sheet of clusters: their exemplars and members, as images or texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted, check_scalar

from sklearn_hilander._members import (
    check_labels,
    check_length,
    check_numbers,
    choose_members,
    cluster_sizes,
    largest_clusters,
    unit_rows,
)
from sklearn_hilander._samples import check_samples
from sklearn_hilander.inspection._matplotlib import axes_to_draw_on
from sklearn_hilander.inspection._sheet_drawing import (
    draw_image_sheet,
    draw_text_sheet,
    image_sheet_size,
    text_sheet_size,
)

# How many clusters, and members of each, fit on a page.
_IMAGE_SHEET, _TEXT_SHEET = (20, 12), (10, 5)


class ContactSheetDisplay:
    """Clusters as rows of images, or as paragraphs of texts, the exemplar first.

    After the exemplar come the members most like it. Members whose probability is low are framed,
    with a dashed line in a strong colour, in texts with a question mark. Use `from_predictions` or
    `from_estimator` to make one. The constructor's parameters are stored as attributes.

    Parameters
    ----------
    samples : ndarray of shape (n_samples, height, width[, channels]) or list of str
        Image or text of each sample.
    clusters : ndarray of shape (n_shown,), int64
        The clusters shown.
    members : list of ndarray of shape (n_members,), int64
        Rows of the members shown of each cluster.
    sizes : ndarray of shape (n_shown,), int64
        Number of all members of each cluster.
    framed : ndarray of shape (n_samples,), bool
        Samples to frame.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        Set by `plot`, as is the other.
    figure_ : matplotlib.figure.Figure

    Examples
    --------
    >>> from sklearn_hilander.inspection import ContactSheetDisplay
    >>> texts = ["where is my card", "card not here", "change my PIN", "forgot the PIN"]
    >>> display = ContactSheetDisplay.from_predictions(texts, [0, 0, 1, 1])
    >>> [rows.tolist() for rows in display.members]
    [[0, 1], [2, 3]]
    """

    def __init__(
        self,
        samples: np.ndarray | Sequence[str],
        clusters: np.ndarray,
        members: Sequence[np.ndarray],
        sizes: np.ndarray,
        framed: np.ndarray,
    ) -> None:
        self.samples = samples
        self.clusters = clusters
        self.members = members
        self.sizes = sizes
        self.framed = framed

    @classmethod
    def from_predictions(
        cls,
        samples: ArrayLike,
        labels: ArrayLike,
        *,
        X: ArrayLike | None = None,
        exemplar_indices: ArrayLike | None = None,
        probabilities: ArrayLike | None = None,
        min_probability: float = 0.5,
        framed: ArrayLike | None = None,
        framed_first: bool = False,
        clusters: ArrayLike | None = None,
        n_clusters: int | None = None,
        n_members: int | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> ContactSheetDisplay:
        """Draw labelled samples.

        Parameters
        ----------
        samples : array-like of shape (n_samples, height, width[, channels]) or of str
            Images, grey or with 3 or 4 channels, of integers from 0 to 255 or of floats; or texts.
        labels : array-like of shape (n_samples,)
            Cluster of each sample, integers from 0; -1 for noise, which is not shown.
        X : array-like of shape (n_samples, n_features), optional
            Embeddings, by whose cosine members are ordered. Without them the order is that of
            `probabilities`, else that of the rows.
        exemplar_indices : array-like of shape (n_clusters,), optional
            Row of the exemplar of cluster c at c. None: the member nearest to the cluster's mean
            where `X` is given, else the first of the order.
        probabilities : array-like of shape (n_samples,), optional
            How surely each sample is in its cluster.
        min_probability : float, default=0.5
            Members under this probability are framed.
        framed : array-like of shape (n_samples,), bool, optional
            Samples to frame, whatever their probability.
        framed_first : bool, default=False
            Show framed members right after the exemplar, even if others are nearer to it.
        clusters : array-like of shape (n_shown,), optional
            Clusters to show, in this order. None for the largest.
        n_clusters, n_members : int, optional
            Most clusters, and members of each. None for 20 and 12 of images, 10 and 5 of texts.
            `n_clusters` has no effect on `clusters` that are given.
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure of fitting size if None.
        **kwargs : dict
            Passed to ``Axes.imshow`` for images, such as ``cmap="gray_r"``; to ``Axes.text`` for
            texts, such as ``fontsize=10``.

        Returns
        -------
        ContactSheetDisplay

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If lengths differ, or samples are neither images nor texts.
        """
        for name, given in (("n_clusters", n_clusters), ("n_members", n_members)):
            if given is not None:
                check_scalar(given, name, Integral, min_val=1)
        labels = check_labels(labels)
        samples = check_samples(samples, len(labels))
        known, counts = cluster_sizes(labels)
        if exemplar_indices is not None:
            exemplar_indices = _check_exemplars(exemplar_indices, labels, known)
        if probabilities is not None:
            probabilities = check_numbers(probabilities, len(labels), "probabilities")
        if framed is not None:
            framed = check_numbers(framed, len(labels), "framed").astype(bool)
        elif probabilities is not None:
            framed = probabilities < min_probability
        else:
            framed = np.zeros(len(labels), dtype=bool)
        if X is not None:
            X = unit_rows(X)
            check_length(X, len(labels), "X")
        most_clusters, most_members = _TEXT_SHEET if isinstance(samples, list) else _IMAGE_SHEET
        if clusters is None:
            clusters = largest_clusters(labels, n_clusters or most_clusters)
        else:
            clusters = np.asarray(clusters, dtype=np.int64).ravel()
            missing = clusters[~np.isin(clusters, known)]
            if len(missing):
                raise ValueError(f"clusters names {missing[0]}, but labels has no such cluster.")
        members = choose_members(
            labels,
            clusters,
            n_members or most_members,
            rows=X,
            exemplars=exemplar_indices,
            probabilities=probabilities,
            first=framed if framed_first else None,
        )
        sizes = counts[np.searchsorted(known, clusters)]
        return cls(samples, clusters, members, sizes, framed).plot(ax, **kwargs)

    @classmethod
    def from_estimator(
        cls, estimator: Any, samples: ArrayLike, X: ArrayLike | None = None, **kwargs: Any
    ) -> ContactSheetDisplay:
        """Draw the clusters that an estimator found in the samples it was fitted on.

        Parameters
        ----------
        estimator : fitted clusterer
            With `labels_`; `exemplar_indices_` and `probabilities_` are used if it has them.
        samples : array-like of shape (n_samples, height, width[, channels]) or of str
            Image or text of each fitted row.
        X : array-like of shape (n_samples, n_features), optional
            The fitted rows, by whose cosine to the exemplar members are ordered.
        **kwargs : dict
            As in `from_predictions`.

        Returns
        -------
        ContactSheetDisplay
        """
        check_is_fitted(estimator)
        found: dict[str, Any] = {
            "exemplar_indices": getattr(estimator, "exemplar_indices_", None),
            "probabilities": getattr(estimator, "probabilities_", None),
        }
        return cls.from_predictions(samples, estimator.labels_, X=X, **(found | kwargs))

    def plot(self, ax: Any = None, **kwargs: Any) -> ContactSheetDisplay:
        """Draw.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure of fitting size if None.
        **kwargs : dict
            Passed to ``Axes.imshow`` for images, to ``Axes.text`` for texts.

        Returns
        -------
        ContactSheetDisplay
            Itself.
        """
        is_text = isinstance(self.samples, list)
        samples: Any = self.samples
        sheet_size = (text_sheet_size if is_text else image_sheet_size)(samples, self.members)
        ax = axes_to_draw_on(type(self).__name__, ax, sheet_size)
        draw: Callable[..., None] = draw_text_sheet if is_text else draw_image_sheet
        draw(ax, samples, self.clusters, self.members, self.sizes, self.framed, kwargs)
        self.ax_, self.figure_ = ax, ax.figure
        return self


def _check_exemplars(
    exemplar_indices: ArrayLike, labels: np.ndarray, known: np.ndarray
) -> np.ndarray:
    """Exemplars that lie in their clusters, int64 of shape (n_clusters,)."""
    exemplars = np.asarray(exemplar_indices)
    if exemplars.ndim != 1 or exemplars.dtype.kind not in "iu":
        raise ValueError("exemplar_indices must be a 1-d array of integers.")
    in_range = known < len(exemplars)
    rows = exemplars[known[in_range]]
    if not in_range.all() or (rows < 0).any() or (rows >= len(labels)).any():
        raise ValueError("exemplar_indices must give a row of labels for every cluster.")
    strangers = known[in_range][labels[rows] != known]
    if len(strangers):
        raise ValueError(f"exemplar_indices[{strangers[0]}] is a row of another cluster.")
    return exemplars.astype(np.int64)
