"""Exact nearest rows on the CPU: inner products in blocks, and the largest of them.

Looking for the largest costs as much as the products do if every product is looked at by itself.
The columns are therefore dealt into groups. The k largest of a row lie in the k groups of the
largest maxima, or tie with what does: maxima are quick, and few products are left.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from sklearn_hilander._device import even_slices, in_threads

# Products that a thread holds at once, 32 MB, by blocks whose shape does not depend on the threads.
_BLOCK_ROWS = 256
_PANEL_COLUMNS = 32_768


def search_exact(
    queries: Tensor, features: Tensor, k: int, metric: str, *, skip_self: bool
) -> tuple[Tensor, Tensor]:
    """The k nearest rows of `features` for each row of `queries`, nearest first.

    Of rows that are equally near, those of lower number come first; which of them are found, if not
    all can be, depends on `features` and `k` alone. Blocks are computed by one thread each, as many
    at a time as torch has threads.

    Parameters
    ----------
    queries : Tensor of shape (n_queries, n_features), float32
    features : Tensor of shape (n_nodes, n_features), float32
    k : int
        At most ``n_nodes``, less one for `skip_self`.
    metric : {"cosine", "euclidean"}
    skip_self : bool
        Row i of `features` is row i of `queries`, and not its neighbour.

    Returns
    -------
    closeness : Tensor of shape (n_queries, k), float32
        Inner product, or ``-|x - y|^2``.
    indices : Tensor of shape (n_queries, k), int64
    """
    rows, columns = queries.numpy(), features.numpy()
    closeness = np.empty((len(rows), k), dtype=np.float32)
    indices = np.empty((len(rows), k), dtype=np.int64)
    squared = np.einsum("nd,nd->n", columns, columns) if metric == "euclidean" else None
    panels = even_slices(len(columns), _PANEL_COLUMNS)

    # Rows may lie as far out as float32 goes: infinite distances are as far as any.
    @np.errstate(over="ignore", invalid="ignore")
    def search(start: int) -> None:
        block = slice(start, min(start + _BLOCK_ROWS, len(rows)))
        found = [
            _nearest_in_panel(
                rows[block],
                columns[panel],
                min(k, panel.stop - panel.start),
                None if squared is None else squared[panel],
                start - panel.start if skip_self else None,
            )
            for panel in panels
        ]
        values = np.concatenate([values for values, _ in found], axis=1)
        at = [at + panel.start for (_, at), panel in zip(found, panels, strict=True)]
        closeness[block], indices[block] = _largest(values, np.concatenate(at, axis=1), k)

    in_threads(search, range(0, len(rows), _BLOCK_ROWS))
    if squared is not None:
        with np.errstate(invalid="ignore"):
            closeness -= np.einsum("nd,nd->n", rows, rows)[:, None]
    return torch.from_numpy(closeness), torch.from_numpy(indices)


def _nearest_in_panel(
    rows: np.ndarray, columns: np.ndarray, k: int, squared: np.ndarray | None, own: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Products of the k nearest of these columns, and their numbers; each (n_rows, k).

    Parameters
    ----------
    rows, columns : ndarray of shape (n_rows, n_features), (n_columns, n_features)
    k : int
    squared : ndarray of shape (n_columns,), optional
        Squared lengths, for distances.
    own : int, optional
        Column, if there is such a one, that is the first row itself.
    """
    m, n = len(rows), len(columns)
    # As many groups' maxima to look at as columns of the groups that are left.
    n_slabs = max(1, int((n / k) ** 0.5))
    width = -(-n // n_slabs)
    # Column c is place c % width of slab c // width; a group is one place of all slabs.
    slabs = np.empty((n_slabs, m, width), dtype=np.float32)
    largest = np.full((m, width), -np.inf, dtype=np.float32)
    for number, slab in enumerate(slabs):
        first, stop = number * width, min((number + 1) * width, n)
        part = slab[:, : max(0, stop - first)]
        slab[:, part.shape[1] :] = -np.inf
        if part.shape[1] == 0:
            continue
        np.matmul(rows, columns[first:stop].T, out=part)
        if squared is not None:
            part *= 2
            part -= squared[first:stop]
        if own is not None:
            at = np.arange(max(0, first - own), min(m, stop - own))
            part[at, at + own - first] = -np.inf
        # While the slab is in the processor's cache.
        np.maximum(largest, slab, out=largest)
    groups = np.argpartition(largest, width - k, axis=1)[:, width - k :]
    within = np.arange(m)[:, None] * width + groups
    every = within[:, None, :] + np.arange(n_slabs)[:, None] * (m * width)
    values = slabs.reshape(-1)[every.reshape(m, -1)]
    numbers = (groups[:, None, :] + np.arange(n_slabs)[:, None] * width).reshape(m, -1)
    if n_slabs == 1:
        return values, numbers
    best = np.argpartition(values, values.shape[1] - k, axis=1)[:, -k:]
    return np.take_along_axis(values, best, 1), np.take_along_axis(numbers, best, 1)


def _largest(values: np.ndarray, numbers: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k largest of each row, largest first, and their numbers."""
    take = np.take_along_axis
    if values.shape[1] > k:
        best = np.argpartition(values, values.shape[1] - k, axis=1)[:, -k:]
        values, numbers = take(values, best, 1), take(numbers, best, 1)
    order = np.lexsort((numbers, -values), axis=1)
    return take(values, order, 1), take(numbers, order, 1)
