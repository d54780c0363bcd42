"""Where the blocks of an icicle stand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

OTHERS_WIDTH = 0.06  # of all clusters that are not drawn, as a share of the width
MIN_WIDTH = 0.0025  # blocks under this share of the width are drawn as one, those side by side


@dataclass(frozen=True)
class Icicle:
    """Blocks of an icicle, x from 0 to 1, row 0 at the top.

    Attributes
    ----------
    left, right : ndarray of shape (n_blocks,), float64
    row, column : ndarray of shape (n_blocks,), int64
        Level from the coarsest, and cluster of the coarsest level, counted from the left.
    is_even : ndarray of shape (n_blocks,), bool
        True for every second block of a column's row, the first included.
    is_run : ndarray of shape (n_blocks,), bool
        Whether the block stands for several, each too narrow to be drawn.
    columns : list of (int, float, float)
        Cluster of the coarsest level, and where it begins and ends.
    levels : list of int
        Level of each row.
    n_samples, n_drawn, n_clusters : int
        Of the coarsest level; `n_drawn` samples are in the columns.
    """

    left: np.ndarray
    right: np.ndarray
    row: np.ndarray
    column: np.ndarray
    is_even: np.ndarray
    is_run: np.ndarray
    columns: list[tuple[int, float, float]]
    levels: list[int]
    n_samples: int
    n_drawn: int
    n_clusters: int

    @property
    def n_others(self) -> int:
        """Clusters of the coarsest level that have no column."""
        return self.n_clusters - len(self.columns)

    @property
    def others_left(self) -> float:
        """Where the columns end and the block of all others begins."""
        return 1 - OTHERS_WIDTH * 0.9 if self.n_others else 1.0


def lay_out_icicle(level_labels: Sequence[np.ndarray], n_clusters: int, max_levels: int) -> Icicle:
    """Lay out the largest clusters of the coarsest level and what they were merged from.

    Parameters
    ----------
    level_labels : sequence of ndarray of shape (n_samples,), int64
        Nested, finest first.
    n_clusters, max_levels : int
        Most columns and rows.

    Returns
    -------
    Icicle
    """
    levels = choose_levels([len(np.unique(labels)) for labels in level_labels], max_levels)
    coarsest, sizes = np.unique(level_labels[levels[0]], return_counts=True)
    largest = coarsest[np.argsort(-sizes, kind="stable")[:n_clusters]]
    rows = np.flatnonzero(np.isin(level_labels[levels[0]], largest))
    ranks = [_rank_by_size(level_labels[level][rows]) for level in levels]
    order = np.lexsort(ranks[::-1])
    column = ranks[0][order]
    # Neither all columns nor the rest may vanish beside the other.
    width = 1 - OTHERS_WIDTH * (len(largest) < len(coarsest))
    blocks = [_blocks_of(rank[order], column, width / len(rows)) for rank in ranks]
    at = [np.full(len(block[0]), k) for k, block in enumerate(blocks)]
    left, right, columns, is_even, is_run = (
        np.concatenate(parts) for parts in zip(*blocks, strict=True)
    )
    ends = np.cumsum(np.bincount(column)) * (width / len(rows))
    starts = np.append(0, ends[:-1])
    return Icicle(
        left, right, np.concatenate(at), columns, is_even, is_run,
        columns=list(zip(largest.tolist(), starts.tolist(), ends.tolist(), strict=True)),
        levels=levels, n_samples=len(level_labels[0]), n_drawn=len(rows),
        n_clusters=len(coarsest),
    )  # fmt: skip


def choose_levels(n_clusters: Sequence[int], max_levels: int) -> list[int]:
    """Levels to draw, the coarsest first; none twice that says the same.

    Parameters
    ----------
    n_clusters : sequence of int
        Number of clusters of each level, finest first.
    max_levels : int

    Returns
    -------
    list of int
    """
    counts = np.asarray(n_clusters)
    differing = np.flatnonzero(np.append(counts[:-1] != counts[1:], True))
    if len(differing) > max_levels:
        logs = np.log(counts[differing])
        wanted = np.linspace(logs[-1], logs[0], max_levels)
        nearest = np.abs(logs[:, None] - wanted).argmin(axis=0)
        differing = differing[np.unique(nearest)]
    return differing[::-1].tolist()


def _rank_by_size(labels: np.ndarray) -> np.ndarray:
    """Rank of each sample's cluster, the largest 0, (n_samples,), int64."""
    _, inverse, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    rank = np.empty(len(sizes), dtype=np.int64)
    rank[np.argsort(-sizes, kind="stable")] = np.arange(len(sizes))
    return rank[inverse]


def _blocks_of(cluster: np.ndarray, column: np.ndarray, width: float) -> tuple[np.ndarray, ...]:
    """Blocks of one row: left, right, column, every second, and whether it is of several.

    Parameters
    ----------
    cluster, column : ndarray of shape (n_drawn,), int64
        Of each sample, from left to right.
    width : float
        Of one sample.
    """
    starts = np.flatnonzero(np.append(True, cluster[1:] != cluster[:-1]))
    ends = np.append(starts[1:], len(cluster))
    narrow = (ends - starts) * width < MIN_WIDTH
    # Narrow blocks side by side, in one column, become one.
    opens = np.append(True, ~(narrow[1:] & narrow[:-1]) | np.diff(column[starts]).astype(bool))
    first = np.flatnonzero(opens)
    last = np.append(first[1:], len(starts)) - 1
    in_column = np.arange(len(first)) - np.searchsorted(
        column[starts[first]], column[starts[first]]
    )
    return (
        starts[first] * width,
        ends[last] * width,
        column[starts[first]],
        in_column % 2 == 0,
        last > first,
    )
