"""Scores of a level to a forest: who merges with whom."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from sklearn_hilander._constraints._node_constraints import NodeConstraints
from sklearn_hilander._types import EdgeScores, Forest, NeighborGraph


def decode_forest(
    graph: NeighborGraph,
    scores: EdgeScores,
    linkage_threshold: float,
    *,
    strict: bool = False,
    allowed: Tensor | None = None,
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
    allowed : Tensor of shape (n_nodes, n_neighbors), bool, optional
        Edges that may be kept; all by default.

    Returns
    -------
    Forest
    """
    keep = leads_up(graph, scores, strict=strict) & (scores.linkage > linkage_threshold)
    if allowed is not None:
        keep &= allowed
    return best_parents(graph.indices, scores.linkage, keep)


def leads_up(graph: NeighborGraph, scores: EdgeScores, *, strict: bool = False) -> Tensor:
    """Whether each edge leads to a denser node, (n_nodes, n_neighbors) bool."""
    indices, density = graph.indices, scores.density
    own = density[:, None]
    other = density[indices]
    denser = other > own
    if not strict:
        nodes = torch.arange(graph.n_nodes, device=indices.device)[:, None]
        denser |= (other == own) & (indices < nodes)
    return denser & (graph.similarities > 0)


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


def constrain_forest(
    forest: Forest, density: Tensor, constraints: NodeConstraints, labels: np.ndarray, *, join: bool
) -> Forest:
    """Cut edges that break a constraint, through a chain too, and join what must be together.

    Parameters
    ----------
    forest : Forest
    density : Tensor of shape (n_nodes,)
        Of trees that must be together, the densest root becomes the root of all.
    constraints : NodeConstraints
        On the samples.
    labels : ndarray of shape (n_samples,), int64
        Node of each sample.
    join : bool
        Whether there may be nodes that must be together and are not yet.

    Returns
    -------
    Forest
    """
    parents, linkage = forest.parents.cpu().numpy(), forest.parent_linkage.cpu().numpy()
    n_nodes = len(parents)
    nodes = np.arange(n_nodes)
    child = np.flatnonzero(parents != nodes)
    must = labels[constraints.must] if join else np.zeros((0, 2), dtype=np.int64)
    a, b = np.r_[must[:, 0], child], np.r_[must[:, 1], parents[child]]
    priority = np.r_[np.full(len(must), 2.0), linkage[child]]
    admitted = constraints.admit(labels, n_nodes, a, b, priority)
    cut = child[~admitted[len(must) :]]
    parents, linkage = parents.copy(), linkage.copy()
    parents[cut], linkage[cut] = cut, 1.0
    graph = sp.coo_array((np.ones(admitted.sum()), (a[admitted], b[admitted])), (n_nodes, n_nodes))
    _, component = connected_components(graph, directed=False)
    roots = np.flatnonzero(parents == nodes)
    order = roots[np.lexsort((roots, -density.cpu().numpy()[roots], component[roots]))]
    first = np.r_[True, component[order][1:] != component[order][:-1]]
    parents[order] = order[first][np.cumsum(first) - 1]
    device = forest.parents.device
    return forest_from_parents(
        torch.from_numpy(parents).to(device), torch.from_numpy(linkage).to(device)
    )
