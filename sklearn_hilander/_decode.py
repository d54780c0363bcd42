"""Scores of a level to a forest: who merges with whom."""

from __future__ import annotations

import torch
from torch import Tensor

from sklearn_hilander._types import EdgeScores, Forest, NeighborGraph


def decode_forest(
    graph: NeighborGraph,
    scores: EdgeScores,
    linkage_threshold: float,
    *,
    strict: bool = False,
) -> Forest:
    """Join each node to its most probably linked denser neighbour.

    Edge (i, j) is kept if j is denser than i and the linkage probability is above the threshold
    (Hi-LANDER, section 3.3). Each node keeps its one best edge. Density is a total order, so
    no cycle can form.

    Parameters
    ----------
    graph : NeighborGraph
    scores : EdgeScores
    linkage_threshold : float
        Edges at or under this probability are dropped.
    strict : bool, default=False
        If True, nodes of equal density are never linked, as in the authors' code. If False, of
        two nodes of equal density the one that comes first counts as denser.

    Returns
    -------
    Forest
    """
    indices, density = graph.indices, scores.density
    own = density[:, None]
    other = density[indices]
    denser = other > own
    if not strict:
        nodes = torch.arange(graph.n_nodes, device=indices.device)[:, None]
        denser |= (other == own) & (indices < nodes)
    keep = denser & (scores.linkage > linkage_threshold) & (graph.similarities > 0)
    return best_parents(indices, scores.linkage, keep)


def best_parents(indices: Tensor, linkage: Tensor, keep: Tensor) -> Forest:
    """Forest of each node's kept edge of highest linkage probability.

    Parameters
    ----------
    indices : Tensor of shape (n_nodes, n_neighbors), int64
    linkage : Tensor of shape (n_nodes, n_neighbors)
    keep : Tensor of shape (n_nodes, n_neighbors), bool
        Must not hold a cycle.

    Returns
    -------
    Forest
    """
    n_nodes = indices.shape[0]
    nodes = torch.arange(n_nodes, device=indices.device)
    if indices.shape[1] == 0:
        return forest_from_parents(nodes, torch.ones(n_nodes, device=indices.device))
    best, column = linkage.masked_fill(~keep, -1.0).max(dim=1)
    linked = best >= 0
    parents = torch.where(linked, indices.gather(1, column[:, None])[:, 0], nodes)
    return forest_from_parents(parents, torch.where(linked, best, torch.ones_like(best)))


def forest_from_parents(parents: Tensor, parent_linkage: Tensor) -> Forest:
    """Find every node's root by pointer jumping, and number the trees.

    Parameters
    ----------
    parents : Tensor of shape (n_nodes,), int64
        A root is its own parent; no cycles.
    parent_linkage : Tensor of shape (n_nodes,)

    Returns
    -------
    Forest
    """
    root_of = parents
    while True:
        jumped = root_of[root_of]
        if torch.equal(jumped, root_of):
            break
        root_of = jumped
    roots, labels = torch.unique(root_of, return_inverse=True)
    return Forest(parents, labels, roots, parent_linkage)
