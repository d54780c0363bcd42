"""The levels of a hierarchy as an icicle of its largest clusters."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted, check_scalar

from sklearn_hilander._clusters._merge_tree import components
from sklearn_hilander._members import NOISE, check_labels
from sklearn_hilander._samples import counted
from sklearn_hilander._types import Merges
from sklearn_hilander.inspection._icicle import Icicle, lay_out_icicle
from sklearn_hilander.inspection._matplotlib import (
    BLUE,
    GREEN,
    GREY,
    LIGHT_GREY,
    ORANGE,
    PURPLE,
    VERMILLION,
    axes_to_draw_on,
)

_HUES = (BLUE, ORANGE, GREEN, PURPLE, VERMILLION)
_STRONG, _WEAK, _PALE = 0.8, 0.5, 0.18  # opacity of neighbours in turn, and of those too narrow
_ROW_HEIGHT, _INCHES, _FONT_SIZE = 0.92, 10.0, 7


class HierarchyDisplay:
    """How clusters came about, level by level, as an icicle.

    Each column is a cluster of the last level, the largest first, as wide as it has samples. Below
    are the clusters of the finer levels that it was merged from, down to the first level. Only
    the largest are drawn: what else there is stands in one grey block at the right and in the
    numbers at the left, so that ten thousand clusters are as legible as thirty. Pale areas hold
    clusters that would be too narrow to see. Use `from_predictions` or `from_estimator` to make
    one. The constructor's parameters are stored as attributes.

    Parameters
    ----------
    level_labels : sequence of ndarray of shape (n_samples,), int64
        Cluster of each sample at each level, finest first; every cluster lies within one of the
        next level.
    thresholds : sequence of float, optional
        Linkage threshold of each level.
    names : sequence of str, optional
        What to write on cluster c of the last level, at c; None for its number.

    Attributes
    ----------
    collection_ : matplotlib.collections.PolyCollection
        The blocks; set by `plot`, as are the others.
    ax_ : matplotlib.axes.Axes
    figure_ : matplotlib.figure.Figure

    Examples
    --------
    >>> from sklearn_hilander.inspection import HierarchyDisplay
    >>> levels = [[0, 1, 2, 3, 3], [0, 0, 1, 2, 2], [0, 0, 0, 1, 1]]
    >>> display = HierarchyDisplay.from_predictions(levels, thresholds=[0.9, 0.7, 0.5])
    >>> [text.get_text() for text in display.ax_.get_yticklabels()]
    ['2 clusters, p > 0.50', '3 clusters, p > 0.70', '4 clusters, p > 0.90']
    """

    def __init__(
        self,
        level_labels: Sequence[np.ndarray],
        thresholds: Sequence[float] | None = None,
        names: Sequence[str] | None = None,
    ) -> None:
        self.level_labels = level_labels
        self.thresholds = thresholds
        self.names = names

    @classmethod
    def from_predictions(
        cls,
        level_labels: Sequence[ArrayLike],
        *,
        thresholds: Sequence[float] | None = None,
        n_clusters: int = 30,
        max_levels: int = 12,
        ax: Any = None,
    ) -> HierarchyDisplay:
        """Draw the labels of several levels.

        Parameters
        ----------
        level_labels : sequence of array-like of shape (n_samples,)
            Cluster of each sample at each level, integers from 0, finest first.
        thresholds : sequence of float, optional
            Linkage threshold of each level.
        n_clusters : int, default=30
            Most clusters of the last level to draw, the largest.
        max_levels : int, default=12
            Most levels to draw. Of more, those are taken whose numbers of clusters fall evenly.
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure if None.

        Returns
        -------
        HierarchyDisplay

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If levels differ in length, or a cluster lies in two of the next level.
        """
        levels = [check_labels(labels, "level_labels") for labels in level_labels]
        _check_levels(levels, thresholds)
        return cls(levels, thresholds).plot(ax, n_clusters=n_clusters, max_levels=max_levels)

    @classmethod
    def from_estimator(
        cls, estimator: Any, *, n_clusters: int = 30, max_levels: int = 12, ax: Any = None
    ) -> HierarchyDisplay:
        """Draw the hierarchy that an estimator found.

        Parameters
        ----------
        estimator : HiLanderClustering
            Fitted. The coarsest level is that of its `linkage_threshold_`. Clusters bear the
            numbers of its `labels_`; one that is smaller than `min_cluster_size` bears none.
        n_clusters, max_levels, ax
            As in `from_predictions`.

        Returns
        -------
        HierarchyDisplay
        """
        check_is_fitted(estimator)
        hierarchy, threshold = estimator.hierarchy_, estimator.linkage_threshold_
        last = hierarchy.cut(linkage_threshold=threshold)
        level_labels, thresholds = [], []
        for labels, at in zip(hierarchy.labels, hierarchy.thresholds, strict=True):
            # The levels were run at the thresholds of `fit`; `relabel` may have set another since.
            if at <= threshold:
                labels = _merged_within(labels, hierarchy.recorded, threshold)
                if labels.max() == last.max():
                    break
            level_labels.append(labels)
            thresholds.append(max(at, threshold))
        level_labels.append(last)
        thresholds.append(threshold)
        first = np.unique(level_labels[-1], return_index=True)[1]
        labels = estimator.labels_[first].tolist()
        names = ["" if label == NOISE else str(label) for label in labels]
        display = cls(level_labels, thresholds, names)
        return display.plot(ax, n_clusters=n_clusters, max_levels=max_levels)

    def plot(
        self, ax: Any = None, *, n_clusters: int = 30, max_levels: int = 12
    ) -> HierarchyDisplay:
        """Draw.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure if None.
        n_clusters : int, default=30
            Most clusters of the last level to draw, the largest.
        max_levels : int, default=12
            Most levels to draw.

        Returns
        -------
        HierarchyDisplay
            Itself.
        """
        check_scalar(n_clusters, "n_clusters", Integral, min_val=1)
        check_scalar(max_levels, "max_levels", Integral, min_val=1)
        icicle = lay_out_icicle(self.level_labels, n_clusters, max_levels)
        n_rows = len(icicle.levels)
        ax = axes_to_draw_on(type(self).__name__, ax, (_INCHES, 0.42 * n_rows + 1.3))
        ax.set(xlim=(0, 1), ylim=(n_rows, 0))
        self.collection_ = _draw_blocks(ax, icicle)
        if icicle.n_others:
            _draw_others(ax, icicle)
        ax.figure.draw_without_rendering()  # the layout: what fits depends on it
        points = 72 * ax.get_window_extent().width / ax.figure.dpi
        names = [self._name(cluster) for cluster, _, _ in icicle.columns]
        widths = [points * (right - left) for _, left, right in icicle.columns]
        upright = any(
            0.65 * _FONT_SIZE * (len(name) + 1) > width
            for name, width in zip(names, widths, strict=True)
        )
        for name, width, (_, left, right) in zip(names, widths, icicle.columns, strict=True):
            if width > _FONT_SIZE:
                ax.text(
                    (left + right) / 2,
                    -0.08,
                    name,
                    ha="center",
                    va="bottom",
                    rotation=90 if upright else 0,
                    fontsize=_FONT_SIZE,
                )
        ax.set_yticks(
            np.arange(n_rows) + _ROW_HEIGHT / 2,
            [self._describe(level) for level in icicle.levels],
            fontsize=8,
        )
        ax.set_xticks([])
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
        shown = f"The {len(icicle.columns):,} largest of" if icicle.n_others else "All"
        # Two lines: one would be wider than the figure where the numbers are long.
        ax.set_xlabel(
            f"{shown} {counted(icicle.n_clusters, 'cluster')}, {icicle.n_drawn:,} of "
            f"{icicle.n_samples:,} samples\nwidth is number of samples"
            + ("; pale: clusters too narrow to draw" if icicle.is_run.any() else ""),
            fontsize=8,
        )
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _name(self, cluster: int) -> str:
        """What to write on a cluster of the last level."""
        return str(cluster) if self.names is None else self.names[cluster]

    def _describe(self, level: int) -> str:
        """Number of clusters and threshold of a level."""
        text = counted(len(np.unique(self.level_labels[level])), "cluster")
        return text if self.thresholds is None else f"{text}, p > {self.thresholds[level]:.2f}"


def _merged_within(labels: np.ndarray, merges: Merges, threshold: float) -> np.ndarray:
    """Clusters of the merges above a threshold that were made by the level with these labels."""
    made = labels[merges.a] == labels[merges.b]
    within = Merges(merges.a[made], merges.b[made], merges.probability[made])
    return components(within, len(labels), threshold)


def _draw_blocks(ax: Any, icicle: Icicle) -> Any:
    """All blocks as one collection: one draw call, however many there are."""
    from matplotlib.collections import PolyCollection
    from matplotlib.colors import to_rgba

    corners = np.empty((len(icicle.left), 4, 2))
    corners[:, [0, 3], 0], corners[:, [1, 2], 0] = icicle.left[:, None], icicle.right[:, None]
    corners[:, [0, 1], 1] = icicle.row[:, None]
    corners[:, [2, 3], 1] = icicle.row[:, None] + _ROW_HEIGHT
    hues = np.array([to_rgba(hue) for hue in _HUES])
    colors = hues[icicle.column % len(_HUES)]
    colors[:, 3] = np.where(icicle.is_even, _STRONG, _WEAK)
    colors[icicle.is_run, 3] = _PALE
    blocks = PolyCollection(list(corners), facecolors=colors, edgecolors="white", linewidths=0.6)
    return ax.add_collection(blocks, autolim=False)


def _draw_others(ax: Any, icicle: Icicle) -> None:
    """One block for all clusters that are not drawn."""
    from matplotlib.patches import Rectangle

    left, height = icicle.others_left, len(icicle.levels) - 1 + _ROW_HEIGHT
    ax.add_patch(Rectangle((left, 0), 1 - left, height, color=LIGHT_GREY, linewidth=0))
    ax.text(
        (left + 1) / 2,
        height / 2,
        f"{icicle.n_others:,} smaller",
        rotation=90,
        ha="center",
        va="center",
        color=GREY if height < 2 else "black",
        fontsize=8,
    )


def _check_levels(levels: Sequence[np.ndarray], thresholds: Sequence[float] | None) -> None:
    """Raise ValueError unless the levels are of the same samples and nested."""
    if not levels:
        raise ValueError("level_labels is empty: at least one level is needed.")
    if thresholds is not None and len(thresholds) != len(levels):
        raise ValueError(f"There are {len(thresholds)} thresholds, but {len(levels)} levels.")
    for depth, labels in enumerate(levels):
        if len(labels) != len(levels[0]):
            raise ValueError(f"Level {depth} has {len(labels)} samples, level 0 {len(levels[0])}.")
        if labels.min() < 0:
            raise ValueError(f"Level {depth} has the label -1: noise has no place in a hierarchy.")
    for depth, (fine, coarse) in enumerate(pairwise(levels)):
        width = int(coarse.max()) + 1
        cluster = np.unique(fine * width + coarse) // width
        if (cluster[1:] == cluster[:-1]).any():
            twice = cluster[1:][cluster[1:] == cluster[:-1]][0]
            raise ValueError(f"Cluster {twice} of level {depth} lies in two clusters of the next.")
