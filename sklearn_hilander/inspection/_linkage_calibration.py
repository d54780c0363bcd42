"""Whether linkage probabilities mean what they say."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import clone
from sklearn.utils import check_array, check_consistent_length
from sklearn.utils.validation import check_is_fitted, column_or_1d

from sklearn_hilander._labels import as_given, find_none
from sklearn_hilander._members import check_length
from sklearn_hilander.inspection._matplotlib import (
    BLUE,
    GREEN,
    GREY,
    LIGHT_GREY,
    ORANGE,
    VERMILLION,
    axes_to_draw_on,
    fade_spines,
)

_COLORS, _MARKERS = (BLUE, VERMILLION, GREEN, ORANGE), ("o", "s", "^", "D")
_GID = "linkage calibration"  # marks the curves, for the next display to count


class LinkageCalibrationDisplay:
    """Reliability of linkage probabilities: how often pairs of each probability are one class.

    Pairs are binned by probability; where the curve lies under the diagonal, the model links too
    surely. Grey bars show the share of all pairs in each bin, since a bin of few pairs says little.
    Use `from_predictions` or `from_estimator` to make one. The constructor's parameters are stored
    as attributes.

    Parameters
    ----------
    prob_true : ndarray of shape (n_bins,), float64
        Share of same-class pairs in each bin; bins without pairs are left out.
    prob_pred : ndarray of shape (n_bins,), float64
        Mean probability in each bin.
    n_pairs : ndarray of shape (n_bins,), int64
        Pairs in each bin.
    bin_edges : ndarray of shape (n_bins, 2), float64
        Where each bin begins and ends.
    estimator_name : str, optional
        Name in the legend.

    Attributes
    ----------
    expected_calibration_error : float
        Mean over the pairs of the gap between `prob_true` and `prob_pred` of their bin [1]_;
        0 is best.
    line_ : matplotlib.lines.Line2D
        The curve; set by `plot`, as are the others.
    bars_ : matplotlib.container.BarContainer or None
        Share of the pairs in each bin; None where the axes show another display's already.
    ax_ : matplotlib.axes.Axes
    figure_ : matplotlib.figure.Figure

    See Also
    --------
    sklearn.calibration.CalibrationDisplay : The same for classifiers.

    References
    ----------
    .. [1] M. P. Naeini, G. F. Cooper, M. Hauskrecht, "Obtaining Well Calibrated Probabilities
       Using Bayesian Binning", AAAI 2015.

    Examples
    --------
    >>> from sklearn_hilander.inspection import LinkageCalibrationDisplay
    >>> display = LinkageCalibrationDisplay.from_predictions(
    ...     [False, True, True, True], [0.1, 0.6, 0.9, 0.9], n_bins=5
    ... )
    >>> round(display.expected_calibration_error, 3)
    0.175
    """

    def __init__(
        self,
        prob_true: np.ndarray,
        prob_pred: np.ndarray,
        n_pairs: np.ndarray,
        bin_edges: np.ndarray,
        *,
        estimator_name: str | None = None,
    ) -> None:
        self.prob_true = prob_true
        self.prob_pred = prob_pred
        self.n_pairs = n_pairs
        self.bin_edges = bin_edges
        self.estimator_name = estimator_name

    @property
    def expected_calibration_error(self) -> float:
        """Mean gap between probability and truth; see the class."""
        gaps = np.abs(self.prob_true - self.prob_pred)
        return float(np.average(gaps, weights=self.n_pairs))

    @classmethod
    def from_predictions(
        cls,
        y_true_pairs: ArrayLike,
        probabilities: ArrayLike,
        *,
        n_bins: int = 10,
        strategy: str = "uniform",
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> LinkageCalibrationDisplay:
        """Draw the reliability of probabilities of pairs.

        Parameters
        ----------
        y_true_pairs : array-like of shape (n_pairs,), bool
            Whether the two samples of each pair are of one class.
        probabilities : array-like of shape (n_pairs,)
            Linkage probability of each pair, in [0, 1].
        n_bins : int, default=10
        strategy : {"uniform", "quantile"}, default="uniform"
            Bins of equal width, or of about equally many pairs.
        name : str, optional
            Name in the legend.
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure if None. Several displays can share one.
        **kwargs : dict
            Passed to ``Axes.plot`` for the curve.

        Returns
        -------
        LinkageCalibrationDisplay

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If lengths differ, there is no pair, or a value is out of range.
        """
        display = cls(*_bin_pairs(y_true_pairs, probabilities, n_bins, strategy))
        display.estimator_name = name
        return display.plot(ax, **kwargs)

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: ArrayLike | None,
        y: ArrayLike,
        *,
        n_bins: int = 10,
        strategy: str = "uniform",
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> LinkageCalibrationDisplay:
        """Draw the reliability of what a model says of pairs of neighbours.

        Parameters
        ----------
        estimator : HiLanderClustering
            Fitted. It is not changed: `X` is clustered with its model by a copy.
        X : array-like of shape (n_samples, n_features) or None
            Rows of classes that the model was not trained on, or the picture flatters. None for
            the rows that the estimator clustered last.
        y : array-like of shape (n_samples,)
            Their classes; a row labelled with the number -1 is of no class.
        n_bins, strategy, ax, **kwargs
            As in `from_predictions`.
        name : str, optional
            Name in the legend; None for the estimator's class.

        Returns
        -------
        LinkageCalibrationDisplay

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If lengths differ, or there are no neighbours to judge.
        """
        check_is_fitted(estimator)
        if X is not None:
            estimator = clone(estimator).set_params(pretrained=estimator).fit(X)
        classes: np.ndarray = column_or_1d(as_given(y))
        pairs = estimator.linkage_pairs()
        check_length(classes, len(estimator.labels_), "y")
        if not len(pairs):
            raise ValueError("There are no pairs of neighbours: at least two distinct rows.")
        none = find_none(classes)
        same = ~(none[pairs.i] | none[pairs.j])
        same[same] = classes[pairs.i[same]] == classes[pairs.j[same]]
        return cls.from_predictions(
            same,
            pairs.probability,
            n_bins=n_bins,
            strategy=strategy,
            name=type(estimator).__name__ if name is None else name,
            ax=ax,
            **kwargs,
        )

    def plot(
        self, ax: Any = None, *, name: str | None = None, ref_line: bool = True, **kwargs: Any
    ) -> LinkageCalibrationDisplay:
        """Draw.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure if None.
        name : str, optional
            Name in the legend; None for `estimator_name`.
        ref_line : bool, default=True
            Draw the diagonal, on which probabilities mean what they say.
        **kwargs : dict
            Passed to ``Axes.plot`` for the curve.

        Returns
        -------
        LinkageCalibrationDisplay
            Itself.
        """
        ax = axes_to_draw_on(type(self).__name__, ax, (5.0, 5.8))
        name = self.estimator_name if name is None else name
        n_before = sum(line.get_gid() == _GID for line in ax.get_lines())
        if ref_line and not n_before:
            ax.plot([0, 1], [0, 1], ":", color=GREY, label="perfectly calibrated", zorder=2)
        error = f"expected calibration error {self.expected_calibration_error:.3f}"
        options = {
            "color": _COLORS[n_before % len(_COLORS)],
            "marker": _MARKERS[n_before % len(_MARKERS)],
            "markersize": 5,
            "label": error if name is None else f"{name}: {error}",
            "zorder": 3,
            "gid": _GID,
        } | kwargs
        left, right = self.bin_edges.T
        # Of several curves in one picture only the first has bars: they would hide each other.
        self.bars_ = None
        if not n_before:
            self.bars_ = ax.bar(
                left,
                self.n_pairs / self.n_pairs.sum(),
                right - left,
                align="edge",
                color=LIGHT_GREY,
                edgecolor="white",
                zorder=1,
                label=f"share of the {self.n_pairs.sum():,} pairs",
            )
        (self.line_,) = ax.plot(self.prob_pred, self.prob_true, **options)
        ax.set(
            xlabel="Linkage probability",
            ylabel="Share of pairs of one class",
            xlim=(-0.02, 1.02),
            ylim=(-0.02, 1.02),
            aspect="equal",
        )
        fade_spines(ax)
        # Over the axes: curves may run anywhere within.
        ax.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), fontsize=8, frameon=False)
        self.ax_, self.figure_ = ax, ax.figure
        return self


def _bin_pairs(
    y_true_pairs: ArrayLike, probabilities: ArrayLike, n_bins: int, strategy: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Share of true pairs, mean probability, count and edges of each bin that is not empty."""
    if not isinstance(n_bins, Integral) or n_bins < 1:
        raise ValueError(f"n_bins must be an integer of at least 1, got {n_bins!r}.")
    same = check_array(y_true_pairs, ensure_2d=False, dtype=None, input_name="y_true_pairs")
    probabilities = check_array(
        probabilities, ensure_2d=False, dtype=np.float64, input_name="probabilities"
    )
    if same.ndim != 1 or probabilities.ndim != 1:
        raise ValueError("y_true_pairs and probabilities must be 1-d.")
    check_consistent_length(same, probabilities)
    if not np.isin(same, (0, 1)).all():
        raise ValueError("y_true_pairs must be booleans, or 0 and 1.")
    if probabilities.min() < 0 or probabilities.max() > 1:
        raise ValueError("probabilities must be in [0, 1].")
    if strategy == "uniform":
        edges = np.linspace(0, 1, n_bins + 1)
    elif strategy == "quantile":
        edges = np.unique(np.quantile(probabilities, np.linspace(0, 1, n_bins + 1)))
        edges = edges if len(edges) > 1 else np.array([0.0, 1.0])
    else:
        raise ValueError(f"strategy must be 'uniform' or 'quantile', got {strategy!r}.")
    place = np.searchsorted(edges[1:-1], probabilities, side="right")
    n_pairs = np.bincount(place, minlength=len(edges) - 1)
    kept = np.flatnonzero(n_pairs)
    n_pairs = n_pairs[kept]
    prob_true = np.bincount(place, weights=same.astype(float))[kept] / n_pairs
    prob_pred = np.bincount(place, weights=probabilities)[kept] / n_pairs
    return prob_true, prob_pred, n_pairs, np.column_stack([edges[kept], edges[kept + 1]])
