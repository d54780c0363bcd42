"""Sums, means and softmax over neighbourhoods and clusters; neighbours but for the row itself."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def neighbor_sum(features: Tensor, indices: Tensor, weights: Tensor) -> Tensor:
    """Weighted sum over each node's neighbours, ``out[i] = sum_j weights[i, j] x[indices[i, j]]``.

    The fused form never holds an array of (edges, features).

    Parameters
    ----------
    features : Tensor of shape (n_sources, n_features)
    indices : Tensor of shape (n_nodes, n_neighbors), int64
    weights : Tensor of shape (n_nodes, n_neighbors)

    Returns
    -------
    Tensor of shape (n_nodes, n_features)
    """
    return F.embedding_bag(indices, features, per_sample_weights=weights, mode="sum")


def sparse_neighbor_sum(
    features: Tensor, pointers: Tensor, columns: Tensor, weights: Tensor
) -> Tensor:
    """Weighted sum over any number of neighbours of each node; `neighbor_sum` of a sparse matrix.

    Parameters
    ----------
    features : Tensor of shape (n_sources, n_features)
    pointers : Tensor of shape (n_nodes + 1,), int64 or int32
        Node i has the neighbours ``columns[pointers[i]:pointers[i + 1]]``.
    columns : Tensor of shape (n_edges,), of the same type
    weights : Tensor of shape (n_edges,)

    Returns
    -------
    Tensor of shape (n_nodes, n_features)
    """
    return F.embedding_bag(
        columns,
        features,
        pointers,
        per_sample_weights=weights,
        mode="sum",
        include_last_offset=True,
    )


def normalize_weights(weights: Tensor) -> Tensor:
    """Scale each row of non-negative weights to sum 1; an all-zero row stays zero."""
    return weights / weights.sum(dim=1, keepdim=True).clamp_min(torch.finfo(weights.dtype).tiny)


def drop_self(closeness: Tensor, indices: Tensor, own: Tensor) -> tuple[Tensor, Tensor]:
    """Neighbours without each row itself, or without the last one where it is not among them.

    Parameters
    ----------
    closeness : Tensor of shape (n_rows, n_neighbors)
    indices : Tensor of shape (n_rows, n_neighbors), int64
    own : Tensor of shape (n_rows,), int64
        Number of each row.

    Returns
    -------
    closeness, indices : Tensor of shape (n_rows, n_neighbors - 1)
    """
    is_own = indices == own[:, None]
    is_own[:, -1] |= ~is_own.any(dim=1)
    shape = (len(own), indices.shape[1] - 1)
    return closeness[~is_own].view(shape), indices[~is_own].view(shape)


def segment_sum(values: Tensor, labels: Tensor, n_segments: int) -> Tensor:
    """Sum of the rows of each label.

    Parameters
    ----------
    values : Tensor of shape (n, ...)
    labels : Tensor of shape (n,), int64
        Segment of each row, in [0, n_segments).
    n_segments : int

    Returns
    -------
    Tensor of shape (n_segments, ...)
    """
    out = values.new_zeros((n_segments, *values.shape[1:]))
    return out.index_add_(0, labels, values)


def segment_mean(values: Tensor, labels: Tensor, n_segments: int, weights: Tensor) -> Tensor:
    """Weighted mean of the rows of each label.

    Parameters
    ----------
    values : Tensor of shape (n, n_features)
    labels : Tensor of shape (n,), int64
    n_segments : int
        Every segment must hold a row.
    weights : Tensor of shape (n,)

    Returns
    -------
    Tensor of shape (n_segments, n_features)
    """
    total = segment_sum(values * weights[:, None], labels, n_segments)
    return total / segment_sum(weights, labels, n_segments)[:, None]
