"""Approximate nearest rows: within the nearest cells, then among neighbours of neighbours.

Each row is compared with those of its nearest cells (an inverted file: Sivic and Zisserman, "Video
Google", ICCV 2003), by products of matrices of integers. What is missed is found from what is not:
a neighbour of a neighbour is likely to be a neighbour (Dong, Moses, Li, "Efficient k-nearest
neighbor graph construction for generic similarity measures", WWW 2011).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch

from sklearn_hilander._device import even_slices, in_threads, table_slices
from sklearn_hilander._graph._pairs import count_dtype
from sklearn_hilander._ops import drop_self
from sklearn_hilander._search._cells import cell_centroids, nearest_cells
from sklearn_hilander._search._exact_search import search_exact
from sklearn_hilander._search._integer_rows import dtype_of_products, integer_rows, products_of_all
from sklearn_hilander._search._two_hops import search_two_hops

# Cells that each row is compared with, so many more whenever there are twice as many; and the share
# of the neighbours that are looked for there.
_PROBES_A_DOUBLING = 3.4
_FIRST_SHARE, _FEWEST_FIRST = 0.5, 16
# Of a search within two hops: share of the neighbours that its second step takes.
_SECOND_SHARE = 0.33
# It is repeated until so few of the nearest quarter are new, looked at for some of the rows. Once
# is too little: none of the farther ones were known before.
_SETTLED, _NEAREST, _LOOKED_AT = 0.02, 0.25, 4_096
_FEWEST_HOPS, _MOST_HOPS = 2, 6
# Products that are held at once, and those of them that wait to be looked at together.
_BLOCK_CELLS = 500_000
_MOST_WAITING = 500_000
_TABLE_CELLS = 100_000
# Less than any product, of integers or not.
_NO_PRODUCT = -(2**30)
# Rows that one thread searches for, unless that makes too many parts: each goes through all cells.
_PART_ROWS, _MOST_PARTS = 16_384, 16


def search_by_cells(rows: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Find nearest rows by cosine, most of them.

    Parameters
    ----------
    rows : ndarray of shape (n_rows, n_features), float32
        Unit rows.
    k : int
        At most ``n_rows - 1``.

    Returns
    -------
    indices : ndarray of shape (n_rows, k), int32, or int64 where that is too small
        Nearest first, never the row itself.
    similarities : ndarray of shape (n_rows, k), float32
        Cosines clipped to [0, 1].
    """
    few = min(k, max(_FEWEST_FIRST, round(_FIRST_SHARE * k)))
    indices, looked_at = _within_cells(rows, few), None
    for n_hops in range(1, _MOST_HOPS + 1):
        before = indices
        indices, similarities = search_two_hops(
            rows, before, k, share=_SECOND_SHARE, looked_at=looked_at
        )
        looked_at = before
        if n_hops >= _FEWEST_HOPS and _share_of_new(indices, before) < _SETTLED:
            break
    _complete(rows, indices, similarities)
    return indices, similarities


def search_wider(rows: np.ndarray, indices: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Find more neighbours than were found before, within two steps along these.

    Parameters
    ----------
    rows : ndarray of shape (n_rows, n_features), float32
        Unit rows.
    indices : ndarray of shape (n_rows, n_before), int64
    k : int
        At most ``n_rows - 1``.

    Returns
    -------
    indices, similarities : ndarray of shape (n_rows, k)
        As of `search_by_cells`.
    """
    wider, similarities = search_two_hops(rows, indices, k, share=1.0)
    _complete(rows, wider, similarities)
    return wider, similarities


def _n_probes(n_cells: int) -> int:
    """Cells that each row is compared with, the nearest ones: 28 of 300, 39 of 3,000."""
    return min(n_cells, max(1, round(_PROBES_A_DOUBLING * math.log2(n_cells))))


def _share_of_new(indices: np.ndarray, before: np.ndarray) -> float:
    """Share of the nearest neighbours that were none before."""
    some = np.linspace(0, len(indices) - 1, min(len(indices), _LOOKED_AT)).astype(np.int64)
    nearest = indices[some, : max(1, round(_NEAREST * indices.shape[1]))]
    known = (nearest[:, :, None] == before[some][:, None, :]).any(axis=2)
    return 1 - float(known.mean())


def _complete(rows: np.ndarray, indices: np.ndarray, similarities: np.ndarray) -> None:
    """Search exactly for rows that had too few others within reach."""
    short = np.flatnonzero((indices == np.arange(len(rows))[:, None]).any(axis=1))
    if len(short) == 0:
        return
    every = torch.from_numpy(rows)
    found = search_exact(every[short], every, indices.shape[1] + 1, "cosine", skip_self=False)
    # Where others are as near, the row itself may not be among the first.
    closeness, others = (part.numpy() for part in drop_self(*found, torch.from_numpy(short)))
    indices[short] = others
    similarities[short] = closeness.clip(0, 1)


def _within_cells(rows: np.ndarray, k: int) -> np.ndarray:
    """The k nearest rows in each row's nearest cells, (n_rows, k); itself where they are fewer."""
    n_rows = len(rows)
    centroids = cell_centroids(rows)
    cells = nearest_cells(rows, centroids, _n_probes(len(centroids)))
    members = _Groups(cells[:, 0], len(centroids))
    rows = integer_rows(rows)
    found = np.empty((n_rows, k), dtype=count_dtype(n_rows))

    def search(part: slice) -> None:
        found[part] = _of_part(rows, part, cells[part], members, k)

    in_threads(search, even_slices(n_rows, _PART_ROWS, _MOST_PARTS))
    return found


def _of_part(
    rows: np.ndarray, part: slice, cells: np.ndarray, members: _Groups, k: int
) -> np.ndarray:
    """The k nearest rows of some rows in their nearest cells, (n_rows, k)."""
    some = rows[part]
    best = _Best(part, k, dtype_of_products(rows))
    own = _Groups(cells[:, 0], members.n_groups)
    for cell in own.filled.tolist():
        inside, seekers = members[cell], own[cell]
        columns = rows[inside]
        # Where each of them is among the members, which ascend.
        itself = np.searchsorted(inside, seekers + part.start)
        for block in _blocks(len(seekers), len(inside)):
            products = products_of_all(some[seekers[block]], columns)
            products[np.arange(len(products)), itself[block]] = _NO_PRODUCT
            best.start(seekers[block], inside, products)
    visits = _Groups(cells[:, 1:].reshape(-1), members.n_groups)
    n_others = max(1, cells.shape[1] - 1)
    for cell in visits.filled.tolist():
        inside, visitors = members[cell], visits[cell] // n_others
        columns = rows[inside]
        for block in _blocks(len(visitors), len(inside)):
            products = products_of_all(some[visitors[block]], columns)
            best.add(visitors[block], inside, products)
    return best.ordered()


class _Groups:
    """Places by their group, ascending within each.

    Parameters
    ----------
    group : ndarray of shape (n_places,), int64
    n_groups : int
    """

    def __init__(self, group: np.ndarray, n_groups: int) -> None:
        self.n_groups = n_groups
        counts = np.bincount(group, minlength=n_groups)
        self.filled = np.flatnonzero(counts)
        self._begin = np.concatenate([[0], np.cumsum(counts)])
        self._places = np.argsort(group, kind="stable")

    def __getitem__(self, group: int) -> np.ndarray:
        return self._places[self._begin[group] : self._begin[group + 1]]


def _blocks(n_rows: int, n_columns: int) -> Iterator[slice]:
    """Slices of rows, of so many products at most."""
    step = max(1, _BLOCK_CELLS // max(1, n_columns))
    for start in range(0, n_rows if n_columns else 0, step):
        yield slice(start, min(start + step, n_rows))


class _Best:
    """The largest products of each row so far.

    Parameters
    ----------
    part : slice
        Of the rows; they are numbered from its start.
    k : int
    dtype : type
        Of the products.
    """

    def __init__(self, part: slice, k: int, dtype: type) -> None:
        n_rows = part.stop - part.start
        self.values = np.full((n_rows, k), _NO_PRODUCT, dtype=dtype)
        itself = np.arange(part.start, part.stop, dtype=count_dtype(part.stop))
        self.indices = np.repeat(itself[:, None], k, axis=1)
        # A product that is no larger is of no use.
        self.least = np.full(n_rows, _NO_PRODUCT, dtype=dtype)
        self.waiting: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self.n_waiting = 0

    def start(self, rows: np.ndarray, columns: np.ndarray, products: np.ndarray) -> None:
        """Take the first products of some rows, (n_rows, n_columns)."""
        k = min(self.values.shape[1], len(columns))
        at = np.argpartition(products, len(columns) - k, axis=1)[:, len(columns) - k :]
        self.values[rows, :k] = np.take_along_axis(products, at, 1)
        self.indices[rows, :k] = columns[at]
        self.least[rows] = self.values[rows].min(axis=1)

    def add(self, rows: np.ndarray, columns: np.ndarray, products: np.ndarray) -> None:
        """Take more products of some rows, of other columns than before."""
        at = np.flatnonzero(products > self.least[rows][:, None])
        row = at // len(columns)
        column = columns[at - row * len(columns)].astype(self.indices.dtype)
        self.waiting.append((rows[row], column, products.reshape(-1)[at]))
        self.n_waiting += len(at)
        if self.n_waiting > _MOST_WAITING:
            self._merge()

    def ordered(self) -> np.ndarray:
        """Indices of each row, largest product first, (n_rows, k)."""
        self._merge()
        order = np.argsort(-self.values, axis=1, kind="stable")
        return np.take_along_axis(self.indices, order, 1)

    def _merge(self) -> None:
        """Keep the largest of what waits and what is kept."""
        if not self.waiting:
            return
        row, column, value = (np.concatenate(parts) for parts in zip(*self.waiting, strict=True))
        self.waiting, self.n_waiting = [], 0
        order = np.argsort(row, kind="stable")
        row, column, value = row[order], column[order], value[order]
        some, first, counts = np.unique(row, return_index=True, return_counts=True)
        k = self.values.shape[1]
        # Rows of about as many in one table: some, in cells of few rows, have thousands.
        by_count = np.argsort(counts, kind="stable")
        for table in table_slices(counts[by_count], _TABLE_CELLS):
            part = by_count[table]
            rows, width = some[part], counts[part[-1]]
            at = first[part][:, None] + np.arange(width)
            beyond = np.arange(width) >= counts[part][:, None]
            at[beyond] = 0
            values = np.hstack([self.values[rows], value[at]])
            # Less than the places of a row that has found too few: there it stands for itself.
            values[:, k:][beyond] = 2 * _NO_PRODUCT
            indices = np.hstack([self.indices[rows], column[at]])
            at = np.argpartition(values, width, axis=1)[:, width:]
            self.values[rows] = np.take_along_axis(values, at, 1)
            self.indices[rows] = np.take_along_axis(indices, at, 1)
        self.least[some] = self.values[some].min(axis=1)
