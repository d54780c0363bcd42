"""What a report is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class MergeCandidate:
    """Two clusters that may be one.

    Attributes
    ----------
    clusters : tuple of two int
    exemplars : tuple of two int
        Rows of their exemplars.
    probability : float
        That they are one, in [0, 1].
    """

    clusters: tuple[int, int]
    exemplars: tuple[int, int]
    probability: float


@dataclass(frozen=True)
class ReportContent:
    """What a report shows; everything but the labels may be left out.

    Attributes
    ----------
    labels : ndarray of shape (n_samples,), int64
    title : str
    facts : sequence of (str, str)
        Name and value of what else the summary says.
    names : sequence of str or None
        What to call each row; None for its number, from 0.
    samples : ndarray of shape (n_samples, height, width[, channels]), list of str or None
        Images or texts, as of `check_samples`.
    X : ndarray of shape (n_samples, n_features) or None
        Embeddings, by which members are ordered.
    exemplars : ndarray of shape (n_clusters,), int64, or None
        Row of the exemplar of each cluster.
    probabilities : ndarray of shape (n_samples,) or None
        How surely each row is in its cluster; members under `min_probability` are framed.
    min_probability : float
    merge_candidates : sequence of MergeCandidate
        Best first.
    n_clusters, n_members : int
        Most clusters shown, the largest, and most members of each.
    """

    labels: np.ndarray
    title: str = "Clusters"
    facts: Sequence[tuple[str, str]] = ()
    names: Sequence[str] | None = None
    samples: np.ndarray | Sequence[str] | None = field(default=None, repr=False)
    X: np.ndarray | None = field(default=None, repr=False)
    exemplars: np.ndarray | None = None
    probabilities: np.ndarray | None = None
    min_probability: float = 0.5
    merge_candidates: Sequence[MergeCandidate] = ()
    n_clusters: int = 50
    n_members: int = 12

    def name(self, row: int) -> str:
        """What to call a row."""
        return f"row {row}" if self.names is None else str(self.names[row])

    @property
    def has_images(self) -> bool:
        """Whether the samples are images."""
        return isinstance(self.samples, np.ndarray)
