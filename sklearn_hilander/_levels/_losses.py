"""Losses of the paper's network, and the edges that they are taken over."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from sklearn_hilander._types import NeighborGraph


def linkage_mask(graph: NeighborGraph, density: Tensor) -> Tensor:
    """Edges that the linkage loss is taken over: those whose neighbour is truly denser.

    Parameters
    ----------
    graph : NeighborGraph
    density : Tensor of shape (n_nodes,)
        True densities.

    Returns
    -------
    Tensor of shape (n_nodes, n_neighbors), bool
    """
    return (density[graph.indices] > density[:, None]) & (graph.similarities > 0)


def lander_losses(
    logits: Tensor, density: Tensor, same_class: Tensor, true_density: Tensor, mask: Tensor
) -> tuple[Tensor, Tensor]:
    """Loss of linkage and of density (Hi-LANDER, equations 6 to 8).

    Parameters
    ----------
    logits : Tensor of shape (n_nodes, n_neighbors, 2)
    density : Tensor of shape (n_nodes,)
    same_class : Tensor of shape (n_nodes, n_neighbors), bool
    true_density : Tensor of shape (n_nodes,)
    mask : Tensor of shape (n_nodes, n_neighbors), bool
        Edges that count.

    Returns
    -------
    linkage_loss : Tensor, scalar
        Mean cross-entropy over the masked edges; 0 where there is none.
    density_loss : Tensor, scalar
        Mean squared error over the nodes.
    """
    density_loss = F.mse_loss(density, true_density)
    if not mask.any():
        return logits.sum() * 0, density_loss
    return F.cross_entropy(logits[mask], same_class[mask].long()), density_loss


def balance_mask(mask: Tensor, same_class: Tensor, generator: torch.Generator) -> Tensor:
    """Subsample the larger class of the masked edges to the size of the smaller.

    Where one class has no edge at all, every edge is kept.
    """
    positive = torch.nonzero((mask & same_class).view(-1))[:, 0]
    negative = torch.nonzero((mask & ~same_class).view(-1))[:, 0]
    n = min(len(positive), len(negative))
    if n == 0:
        return mask
    balanced = torch.zeros(mask.numel(), dtype=torch.bool, device=mask.device)
    for edges in (positive, negative):
        chosen = torch.randperm(len(edges), generator=generator)[:n]
        balanced[edges[chosen.to(edges.device)]] = True
    return balanced.view_as(mask)
