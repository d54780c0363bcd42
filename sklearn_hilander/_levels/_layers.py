"""Layers over the neighbour graph: graph convolution and graph attention."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sklearn_hilander._levels._affine import Affine, Linear, in_blocks, linear
from sklearn_hilander._ops import neighbor_sum

_GAT_SLOPE = 0.2


class GCNLayer(nn.Module):
    r"""Graph convolution over each node and its weighted neighbours.

    .. math:: h_i = \mathrm{ReLU}(W [x_i ; \textstyle\sum_j a_{ij} x_j] + b)

    Shapes: features (n_sources, in_dim), indices (n_nodes, n_neighbors), weights likewise;
    output (n_nodes, out_dim).
    """

    def __init__(self, in_dim: int, out_dim: int) -> None:
        super().__init__()
        self.linear = Linear(2 * in_dim, out_dim)

    def forward(self, features: Tensor, nodes: Tensor, indices: Tensor, weights: Tensor) -> Tensor:
        """Encode `nodes`, rows of `features`, from their neighbours."""
        around = neighbor_sum(features, indices, weights)
        width = features.shape[1]
        # Two products: rows side by side would have to be copied.
        of_own, of_around = folded(self.linear.weight, 2, width).split(width, dim=1)
        # As many ascending rows as there are are all.
        own = features if len(nodes) == len(features) else features[nodes]
        if torch.is_grad_enabled():
            return F.relu(linear(own, of_own, self.linear.bias) + linear(around, of_around))
        own_part, around_part = Affine(of_own, self.linear.bias), Affine(of_around)
        return in_blocks(
            lambda own, around: own_part(own).add_(around_part(around)).relu_(), own, around
        )


class GATLayer(nn.Module):
    r"""Graph attention, one head, no self-loop (Velickovic et al., 2018).

    .. math::
        z = W x, \quad
        \alpha_{ij} = \mathrm{softmax}_j\,\mathrm{LeakyReLU}_{0.2}(u \cdot z_j + v \cdot z_i),
        \quad h_i = \mathrm{ReLU}(\textstyle\sum_j \alpha_{ij} z_j + b)

    Shapes as in `GCNLayer`; of `weights` only counts where they are 0: no edge.
    """

    def __init__(self, in_dim: int, out_dim: int) -> None:
        super().__init__()
        self.linear = Linear(in_dim, out_dim, bias=False)
        self.source = nn.Parameter(torch.empty(out_dim))
        self.target = nn.Parameter(torch.empty(out_dim))
        self.bias = nn.Parameter(torch.zeros(out_dim))
        gain = nn.init.calculate_gain("relu")
        nn.init.xavier_normal_(self.linear.weight, gain=gain)
        nn.init.xavier_normal_(self.source[None], gain=gain)
        nn.init.xavier_normal_(self.target[None], gain=gain)

    def forward(self, features: Tensor, nodes: Tensor, indices: Tensor, weights: Tensor) -> Tensor:
        """Encode `nodes`, rows of `features`, from their neighbours."""
        z = linear(features, folded(self.linear.weight, 1, features.shape[1]))
        attention = (z @ self.source)[indices] + (z @ self.target)[nodes][:, None]
        attention = F.leaky_relu(attention, _GAT_SLOPE).masked_fill(weights == 0, -torch.inf)
        # A node without edges attends to nothing: softmax of -inf alone is NaN.
        attention = torch.softmax(attention, dim=1).nan_to_num(0.0)
        return F.relu(neighbor_sum(z, indices, attention) + self.bias)


def folded(weight: Tensor, n_blocks: int, width: int) -> Tensor:
    """Weights for inputs whose peak and mean half are equal, and given once.

    Parameters
    ----------
    weight : Tensor of shape (out_dim, n_blocks * in_dim)
    n_blocks : int
        Blocks of input side by side.
    width : int
        Width of each block as given: in_dim, or its half.

    Returns
    -------
    Tensor of shape (out_dim, n_blocks * width)
    """
    out_dim, in_dim = weight.shape
    if n_blocks * width == in_dim:
        return weight
    return weight.view(out_dim, n_blocks, -1, width).sum(dim=2).view(out_dim, -1)
