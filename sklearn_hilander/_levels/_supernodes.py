"""Clusters of one level to the nodes of the next."""

from __future__ import annotations

from torch import Tensor

from sklearn_hilander._ops import segment_mean, segment_sum


def supernode_means(
    features: Tensor, labels: Tensor, n_nodes: int, weights: Tensor
) -> tuple[Tensor, Tensor]:
    """Mean embedding and size of each supernode, over all its members at depth 0.

    Parameters
    ----------
    features : Tensor of shape (n_samples, n_features)
        Level-0 embeddings.
    labels : Tensor of shape (n_samples,), int64
        Supernode of each sample.
    n_nodes : int
    weights : Tensor of shape (n_samples,)
        How many rows each sample stands for.

    Returns
    -------
    mean_features : Tensor of shape (n_nodes, n_features)
        Not renormalised (Hi-LANDER, section 3.2).
    sizes : Tensor of shape (n_nodes,)
    """
    sizes = segment_sum(weights, labels, n_nodes)
    return segment_mean(features, labels, n_nodes, weights), sizes
