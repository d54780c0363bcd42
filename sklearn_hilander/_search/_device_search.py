"""Nearest rows on a device: every product in blocks, or those within the nearest cells.

As in `_exact_search` and `_cell_search`, in few large steps instead of cached small ones: a device
computes products faster than it looks for the largest of them.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sklearn_hilander._ops import drop_self, sparse_neighbor_sum

# Products, and numbers of gathered rows, that are held at once.
_PRODUCTS = 128_000_000
# Cells as in `_cells`; more of them are looked into, since that costs less here than more steps.
_CELL_ROWS, _SAMPLED_ROWS, _ROUNDS = 330, 40, 4
_PROBES_A_DOUBLING = 6.0
# Share of the neighbours that a second step takes, and how often two steps are taken.
_SECOND_SHARE, _HOPS = 0.33, 2


def search_exact_on_device(
    queries: Tensor, features: Tensor, k: int, metric: str, *, skip_self: bool
) -> tuple[Tensor, Tensor]:
    """The k nearest rows of `features` for each row of `queries`, nearest first.

    Parameters and results as of `search_exact`; of rows that are equally near, any come first.
    """
    n_queries, n_nodes = len(queries), len(features)
    closeness = queries.new_empty((n_queries, k))
    indices = torch.empty((n_queries, k), dtype=torch.int64, device=queries.device)
    # A group is a place of all slabs: the k largest lie in the k groups of the largest maxima.
    n_slabs = max(1, int((n_nodes / max(k, 1)) ** 0.5))
    width = -(-n_nodes // n_slabs)
    block = max(1, min(n_queries, _PRODUCTS // (n_slabs * width)))
    # One block for all: torch's allocator would hold on to several of them.
    whole = queries.new_full((block, n_slabs * width), -torch.inf)
    slabs = torch.arange(n_slabs, device=queries.device)[:, None] * width
    squared = (features * features).sum(dim=1) if metric == "euclidean" else None
    for start in range(0, n_queries, block):
        rows = queries[start : start + block]
        scores = whole[: len(rows), :n_nodes]
        torch.mm(rows, features.T, out=scores)
        if squared is not None:
            scores.mul_(2).sub_(squared).sub_((rows * rows).sum(dim=1)[:, None])
        if skip_self:
            own = torch.arange(len(rows), device=queries.device)
            scores[own, own + start] = -torch.inf
        largest = whole[: len(rows)].view(len(rows), n_slabs, width).amax(dim=1)
        groups = torch.topk(largest, k, dim=1, sorted=False).indices
        columns = (groups[:, None, :] + slabs).view(len(rows), -1)
        values = whole[: len(rows)].gather(1, columns)
        closeness[start : start + block], at = torch.topk(values, k, dim=1)
        indices[start : start + block] = columns.gather(1, at)
    return closeness, indices


def search_cells_on_device(rows: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Find nearest rows by cosine, most of them.

    Parameters
    ----------
    rows : Tensor of shape (n_rows, n_features), float32
        Unit rows.
    k : int
        At most ``n_rows - 1``.

    Returns
    -------
    closeness : Tensor of shape (n_rows, k), float32
        Cosines, nearest first.
    indices : Tensor of shape (n_rows, k), int64
        Never the row itself.
    """
    centroids = _centroids(rows)
    n_probes = min(len(centroids), max(1, round(_PROBES_A_DOUBLING * math.log2(len(centroids)))))
    closeness, indices = _within_cells(rows, _nearest_cells(rows, centroids, n_probes), k)
    for _ in range(_HOPS):
        closeness, indices = _within_two_steps(rows, indices, k)
    return _completed(rows, closeness, indices)


def _centroids(rows: Tensor) -> Tensor:
    """Unit centroids of a few rounds of spherical k-means on some of the rows."""
    n_cells = max(1, len(rows) // _CELL_ROWS)
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(len(rows), generator=generator)[: _SAMPLED_ROWS * n_cells]
    sample = rows[order.to(rows.device)]
    centroids = sample[:n_cells].clone()
    ones = sample.new_ones(len(sample))
    for _ in range(_ROUNDS):
        cell = _nearest_cells(sample, centroids, 1)[:, 0]
        members, begin = _grouped(cell, n_cells)
        sums = sparse_neighbor_sum(sample, begin, members, ones)
        some = begin[1:] > begin[:-1]
        centroids[some] = torch.nn.functional.normalize(sums[some])
    return centroids


def _nearest_cells(rows: Tensor, centroids: Tensor, n_nearest: int) -> Tensor:
    """Numbers of the nearest centroids of each row, nearest first; (n_rows, n_nearest), int32."""
    out = torch.empty((len(rows), n_nearest), dtype=torch.int32, device=rows.device)
    block = max(1, _PRODUCTS // len(centroids))
    for start in range(0, len(rows), block):
        near = rows[start : start + block] @ centroids.T
        out[start : start + block] = torch.topk(near, n_nearest, dim=1).indices
    return out


def _grouped(group: Tensor, n_groups: int) -> tuple[Tensor, Tensor]:
    """Places by their group, ascending within each, and where each group begins."""
    ascending, places = torch.sort(group, stable=True)
    numbers = torch.arange(n_groups + 1, device=group.device, dtype=group.dtype)
    return places, torch.searchsorted(ascending, numbers)


def _within_cells(rows: Tensor, cells: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k nearest rows in each row's cells, nearest first; -1, of closeness -inf, where fewer."""
    n_rows, n_probes = cells.shape
    n_cells = int(cells.max()) + 1
    members, begin = _grouped(cells[:, 0], n_cells)
    visits, first = _grouped(cells.reshape(-1), n_cells)
    visits = torch.div(visits, n_probes, rounding_mode="floor")
    closeness = rows.new_full((n_rows, k), -torch.inf)
    indices = torch.full((n_rows, k), -1, dtype=torch.int64, device=rows.device)
    # Known here, so that the device need not be waited for.
    starts, firsts = begin.tolist(), first.tolist()
    for cell in range(n_cells):
        own = members[starts[cell] : starts[cell + 1]]
        if len(own) == 0:
            continue
        columns = rows[own].T
        for visitors in visits[firsts[cell] : firsts[cell + 1]].split(
            max(1, _PRODUCTS // (len(own) + k))
        ):
            products = rows[visitors] @ columns
            products.masked_fill_(own == visitors[:, None], -torch.inf)
            both = torch.cat([closeness[visitors], products], dim=1)
            closeness[visitors], at = torch.topk(both, k, dim=1, sorted=False)
            is_new = at >= k
            kept = indices[visitors].gather(1, at.clamp(max=k - 1))
            indices[visitors] = torch.where(is_new, own[(at - k).clamp(min=0)], kept)
    closeness, order = torch.sort(closeness, dim=1, descending=True)
    indices = indices.gather(1, order)
    return closeness, torch.where(closeness == -torch.inf, -1, indices)


def _within_two_steps(rows: Tensor, indices: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k nearest rows within two steps, nearest first; -1, of closeness -inf, where fewer."""
    n_second = max(1, round(_SECOND_SHARE * k))
    closeness = rows.new_empty((len(rows), k))
    found = torch.empty_like(indices)
    block = max(1, _PRODUCTS // ((k + k * n_second) * rows.shape[1]))
    for start in range(0, len(rows), block):
        near = indices[start : start + block]
        # Where a row has no more neighbours, it stands in for them, and is none.
        number = torch.arange(start, start + len(near), device=rows.device)[:, None]
        first = torch.where(near < 0, number, near)
        second = indices[first, :n_second].view(len(near), -1)
        candidates = torch.cat([first, torch.where(second < 0, number, second)], dim=1)
        candidates = torch.sort(candidates, dim=1).values
        products = torch.bmm(rows[candidates], rows[start : start + block, :, None])[:, :, 0]
        again = candidates[:, 1:] == candidates[:, :-1]
        products[:, 1:].masked_fill_(again, -torch.inf)
        products.masked_fill_(candidates == number, -torch.inf)
        best, at = torch.topk(products, k, dim=1)
        closeness[start : start + block] = best
        found[start : start + block] = torch.where(best == -torch.inf, -1, candidates.gather(1, at))
    return closeness, found


def _completed(rows: Tensor, closeness: Tensor, indices: Tensor) -> tuple[Tensor, Tensor]:
    """Search exactly for rows that had too few others within reach."""
    short = (indices[:, -1] < 0).nonzero()[:, 0]
    if len(short):
        k = indices.shape[1]
        found = search_exact_on_device(rows[short], rows, k + 1, "cosine", skip_self=False)
        closeness[short], indices[short] = drop_self(*found, short)
    return closeness, indices
