"""How many clusters there are of each size."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted

from sklearn_hilander._members import SizeBins, bin_sizes, check_labels
from sklearn_hilander._samples import counted
from sklearn_hilander.inspection._matplotlib import (
    BLUE,
    GREY,
    ORANGE,
    axes_to_draw_on,
    fade_spines,
)

_WIDTH = 0.4


class ClusterSizeDisplay:
    """Distribution of cluster sizes: share of the clusters, and of the samples in them.

    Sizes are counted in bins that double (1, 2, 3 to 4, 5 to 8, ...), so that ten clusters and ten
    thousand take the same room. Use `from_predictions` or `from_estimator` to make one. The
    constructor's parameters are stored as attributes.

    Parameters
    ----------
    lower, upper : ndarray of shape (n_bins,), int64
        Smallest and largest size of each bin, both included.
    n_clusters : ndarray of shape (n_bins,), int64
        Clusters in each bin.
    n_samples : ndarray of shape (n_bins,), int64
        Samples in the clusters of each bin.
    n_noise : int, default=0
        Samples labelled -1.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        Set by `plot`, as are the others.
    figure_ : matplotlib.figure.Figure
    cluster_bars_, sample_bars_ : matplotlib.container.BarContainer
        The bars; those of the samples end with the noise, if there is any.

    Examples
    --------
    >>> from sklearn_hilander.inspection import ClusterSizeDisplay
    >>> display = ClusterSizeDisplay.from_predictions([0, 0, 0, 1, 1, 2, -1])
    >>> display.upper, display.n_clusters, display.n_noise
    (array([1, 2, 4]), array([1, 1, 1]), 1)
    """

    def __init__(
        self,
        lower: np.ndarray,
        upper: np.ndarray,
        n_clusters: np.ndarray,
        n_samples: np.ndarray,
        *,
        n_noise: int = 0,
    ) -> None:
        self.lower = lower
        self.upper = upper
        self.n_clusters = n_clusters
        self.n_samples = n_samples
        self.n_noise = n_noise

    @classmethod
    def from_predictions(cls, labels: ArrayLike, *, ax: Any = None) -> ClusterSizeDisplay:
        """Draw the sizes of labelled clusters.

        Parameters
        ----------
        labels : array-like of shape (n_samples,)
            Cluster of each sample, integers from 0; -1 for noise.
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure if None.

        Returns
        -------
        ClusterSizeDisplay

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If `labels` is not 1-d, empty, or not of integers from -1.
        """
        bins = bin_sizes(check_labels(labels))
        display = cls(bins.lower, bins.upper, bins.n_clusters, bins.n_samples, n_noise=bins.n_noise)
        return display.plot(ax)

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: ArrayLike | None = None, *, ax: Any = None
    ) -> ClusterSizeDisplay:
        """Draw the sizes of the clusters that an estimator found.

        Parameters
        ----------
        estimator : fitted clusterer
            With `labels_`.
        X : array-like of shape (n_samples, n_features), optional
            Samples that ``estimator.predict`` labels; None for those it was fitted on.
        ax : matplotlib.axes.Axes, optional

        Returns
        -------
        ClusterSizeDisplay
        """
        check_is_fitted(estimator)
        labels = estimator.labels_ if X is None else estimator.predict(X)
        return cls.from_predictions(labels, ax=ax)

    def plot(self, ax: Any = None) -> ClusterSizeDisplay:
        """Draw.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure if None.

        Returns
        -------
        ClusterSizeDisplay
            Itself.
        """
        bins = SizeBins(self.lower, self.upper, self.n_clusters, self.n_samples, self.n_noise)
        counts = np.append(self.n_samples, self.n_noise) if self.n_noise else self.n_samples
        names = bins.names + ["noise"] * bool(self.n_noise)
        ax = axes_to_draw_on(type(self).__name__, ax, (max(5.0, 0.8 * len(names) + 1), 4.0))
        total, n_samples = int(self.n_clusters.sum()), int(counts.sum())
        place = np.arange(len(names))
        sample_place = place + _WIDTH / 2
        sample_place[len(bins.names) :] -= _WIDTH / 2  # noise has one bar, in the middle
        self.cluster_bars_ = ax.bar(
            place[: len(bins.names)] - _WIDTH / 2,
            100 * self.n_clusters / max(total, 1),
            _WIDTH,
            color=BLUE,
            label=counted(total, "cluster"),
        )
        self.sample_bars_ = ax.bar(
            sample_place,
            100 * counts / max(n_samples, 1),
            _WIDTH,
            color=[ORANGE] * len(bins.names) + [GREY] * bool(self.n_noise),
            label=counted(n_samples, "sample"),
        )
        for bars, numbers in ((self.cluster_bars_, self.n_clusters), (self.sample_bars_, counts)):
            ax.bar_label(bars, [_number(n) for n in numbers], fontsize=7, padding=2)
        ax.set_xticks(place, names)
        ax.set(xlabel="Cluster size", ylabel="Share in %")
        ax.margins(y=0.12)
        fade_spines(ax)
        _slant_if_crowded(ax)
        ax.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, 1.12), ncols=2)
        self.ax_, self.figure_ = ax, ax.figure
        return self


def _slant_if_crowded(ax: Any) -> None:
    """Slant the names of bins where they would run into each other."""
    ax.figure.draw_without_rendering()  # how wide they are depends on it
    boxes = [label.get_window_extent() for label in ax.get_xticklabels()]
    if any(one.x1 + 2 > other.x0 for one, other in pairwise(boxes)):
        for label in ax.get_xticklabels():
            label.set(rotation=30, ha="right", rotation_mode="anchor")


def _number(number: int) -> str:
    """A count, short enough to stand over its bar beside its neighbour's; nothing for 0."""
    if number < 10_000:
        return f"{number:,}" if number else ""
    power, letter = (3, "k") if number < 1_000_000 else (6, "M")
    return f"{number / 10**power:.3g}{letter}"
