"""Cells of rows that point the same way: what lies near in space lies near in memory, too."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sklearn_hilander._device import in_threads

# Rows of a cell on average, and rows of each that its centroid is found from.
CELL_ROWS = 330
_SAMPLED_ROWS = 40
_ROUNDS = 4
_BLOCK_ROWS = 2_048
# More cells than this are looked for in groups of them, the nearest ones.
_MOST_CELLS = 600
_GROUP_SHARE, _FEWEST_GROUPS = 0.125, 6
# Towards the axis along which centroids differ most.
_POWER_STEPS = 8
_TINY = 1e-30

# Unit rows -> their cosines with some centroids, and the numbers of these; None if they are all.
_Cosines = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray | None]]


def cell_centroids(rows: np.ndarray) -> np.ndarray:
    """Centroids of a few rounds of spherical k-means on some of the rows.

    Parameters
    ----------
    rows : ndarray of shape (n_rows, n_features), float32
        One at least. Their lengths do not matter.

    Returns
    -------
    ndarray of shape (n_cells, n_features), float32
        Unit rows, one for `CELL_ROWS` rows.
    """
    n_rows = len(rows)
    n_cells = max(1, n_rows // CELL_ROWS)
    generator = np.random.default_rng(0)
    n_sampled = min(n_rows, _SAMPLED_ROWS * n_cells)
    sample = _directions(rows[np.sort(generator.choice(n_rows, n_sampled, replace=False))])
    centroids = sample[generator.choice(n_sampled, n_cells, replace=False)]
    for _ in range(_ROUNDS):
        cell = nearest_cells(sample, centroids, 1)[:, 0]
        sizes = np.bincount(cell, minlength=n_cells)
        some = sizes > 0
        first = (np.cumsum(sizes) - sizes)[some]
        sums = np.add.reduceat(sample[np.argsort(cell, kind="stable")], first, axis=0)
        centroids[some] = _directions(sums)
    return centroids


def nearest_cells(rows: np.ndarray, centroids: np.ndarray, n_nearest: int) -> np.ndarray:
    """Numbers of the nearest centroids of each row, nearest first; (n_rows, n_nearest), int32.

    Of very many centroids, those in the nearest of their groups.
    """
    out = np.empty((len(rows), n_nearest), dtype=np.int32)
    grouped = len(centroids) > _MOST_CELLS
    cosines = _cosines_in_groups(centroids) if grouped else _cosines(centroids)

    def block(start: int) -> None:
        part = slice(start, start + _BLOCK_ROWS)
        near, numbers = cosines(_directions(rows[part]))
        if n_nearest == 1:
            best = near.argmax(axis=1)[:, None]
        else:
            best = np.argpartition(near, near.shape[1] - n_nearest, axis=1)[:, -n_nearest:]
            order = np.argsort(-np.take_along_axis(near, best, 1), axis=1, kind="stable")
            best = np.take_along_axis(best, order, 1)
        out[part] = best if numbers is None else np.take_along_axis(numbers, best, 1)

    in_threads(block, range(0, len(rows), _BLOCK_ROWS))
    return out


def order_by_cells(rows: np.ndarray) -> np.ndarray:
    """An order of the rows, cell by cell, near cells near each other.

    Whatever reads the neighbours of one row after the other then finds most of them in the
    processor's cache.

    Parameters
    ----------
    rows : ndarray of shape (n_rows, n_features), float32

    Returns
    -------
    ndarray of shape (n_rows,), int64
    """
    centroids = cell_centroids(rows)
    rank = np.empty(len(centroids), dtype=np.int64)
    rank[_by_halves(centroids, np.arange(len(centroids)))] = np.arange(len(centroids))
    cells = nearest_cells(rows, centroids, 1)[:, 0]
    return np.argsort(rank[cells], kind="stable")


def _by_halves(centroids: np.ndarray, which: np.ndarray) -> np.ndarray:
    """These centroids, halved again and again across the axis along which they differ most."""
    if len(which) <= 2:
        return which
    away = centroids[which] - centroids[which].mean(axis=0)
    axis = away[np.einsum("ij,ij->i", away, away).argmax()]
    for _ in range(_POWER_STEPS):
        axis = (away @ axis) @ away
        axis /= max(float(np.linalg.norm(axis)), _TINY)
    which = which[np.argsort(away @ axis, kind="stable")]
    half = len(which) // 2
    return np.concatenate([_by_halves(centroids, part) for part in (which[:half], which[half:])])


def _cosines(centroids: np.ndarray) -> _Cosines:
    """With all centroids."""
    return lambda directions: (directions @ centroids.T, None)


def _cosines_in_groups(centroids: np.ndarray) -> _Cosines:
    """With the centroids in the nearest groups."""
    n_groups = int(len(centroids) ** 0.5)
    width = -(-len(centroids) // n_groups)
    # Of equal sizes; places left over, in the last ones, are -1.
    padded = np.full(n_groups * width, -1)
    padded[: len(centroids)] = _by_halves(centroids, np.arange(len(centroids)))
    members = padded.reshape(n_groups, width)
    members = members[members[:, 0] >= 0]
    middles = _directions(np.stack([centroids[of[of >= 0]].mean(axis=0) for of in members]))
    n_groups = len(members)
    n_near = min(n_groups, max(_FEWEST_GROUPS, round(_GROUP_SHARE * n_groups)))

    def cosines(directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        groups = np.argpartition(directions @ middles.T, n_groups - n_near, axis=1)[:, -n_near:]
        near = np.empty((len(directions), n_near, width), dtype=np.float32)
        for group in range(n_groups):
            row, place = np.nonzero(groups == group)
            near[row, place] = directions[row] @ centroids[members[group]].T
        numbers = members[groups]
        near[numbers < 0] = -np.inf
        n_rows = len(directions)
        return near.reshape(n_rows, -1), numbers.reshape(n_rows, -1)

    return cosines


def _directions(rows: np.ndarray) -> np.ndarray:
    """Unit rows, however long they were; rows of zeros stay."""
    largest = np.abs(rows).max(axis=1, keepdims=True)
    rows = np.divide(rows, largest, out=np.zeros_like(rows), where=largest > 0)
    norms = np.sqrt(np.einsum("ij,ij->i", rows, rows))[:, None]
    return np.divide(rows, norms, out=rows, where=norms > 0)
