"""LANDER, the model: encoder, linkage head, density (Hi-LANDER, section 3.2)."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from sklearn_hilander._levels._affine import BLOCK_ROWS, Affine, Linear, in_blocks
from sklearn_hilander._levels._layers import GATLayer, GCNLayer
from sklearn_hilander._ops import normalize_weights
from sklearn_hilander._types import EdgeScores, NeighborGraph

# Edges that go through the linkage head at once when predicting: on the CPU, and on a device.
_CPU_EDGES, _EDGES = BLOCK_ROWS, 200_000


class Lander(nn.Module):
    r"""Joint prediction of linkage and density over a neighbour graph.

    Linkage of edge (i, j), with A and B applied once a node before the edge sum:

    .. math::
        \hat r_{ij} = \mathrm{softmax}(\mathrm{MLP}(A h_j + b_A + B h_i + b_B))_1

    Parameters
    ----------
    n_features : int
        Dimension d of the embeddings.
    hidden_dim : int, default=512
    encoder : {"gcn", "gat"}, default="gcn"
    mean_features : bool, default=True
        Node input is [peak feature ; mean feature] rather than the peak feature alone.
    n_layers : int, default=1
    """

    def __init__(
        self,
        n_features: int,
        *,
        hidden_dim: int = 512,
        encoder: str = "gcn",
        mean_features: bool = True,
        n_layers: int = 1,
    ) -> None:
        super().__init__()
        self.mean_features = mean_features
        self.n_features = n_features
        layer = {"gcn": GCNLayer, "gat": GATLayer}[encoder]
        in_dim = 2 * n_features if mean_features else n_features
        dims = [in_dim] + [hidden_dim] * n_layers
        self.layers = nn.ModuleList(layer(a, b) for a, b in pairwise(dims))
        edge_dim = max(1, hidden_dim // 2)
        self.source = Linear(hidden_dim, edge_dim)
        self.target = Linear(hidden_dim, edge_dim)
        self.head = nn.Sequential(
            nn.PReLU(edge_dim), Linear(edge_dim, edge_dim), nn.PReLU(edge_dim)
        )
        self.logits = nn.Linear(edge_dim, 2)

    def __getstate__(self) -> dict[str, Any]:
        """Options, and weights as arrays: for any device, and for skops, which knows no tensors."""
        return {
            "options": {
                "n_features": self.n_features,
                "hidden_dim": self.source.in_features,
                "encoder": "gat" if isinstance(self.layers[0], GATLayer) else "gcn",
                "mean_features": self.mean_features,
                "n_layers": len(self.layers),
            },
            "weights": {name: w.cpu().numpy() for name, w in self.state_dict().items()},
            "training": self.training,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        # Without memory or random numbers for weights that are replaced.
        with torch.device("meta"):
            Lander.__init__(self, **state["options"])
        weights = {name: torch.tensor(w, device="cpu") for name, w in state["weights"].items()}
        self.load_state_dict(weights, assign=True)
        self.train(state["training"])

    def node_input(self, peak_features: Tensor, mean_features: Tensor) -> Tensor:
        """Input of each node, of shape (n_nodes, n_features or 2 * n_features).

        Where mean and peak features are the very same array, as among the samples themselves,
        one copy is enough: the layers fold their weights to it.
        """
        if self.mean_features and mean_features is not peak_features:
            return torch.cat([peak_features, mean_features], dim=1)
        return peak_features

    def encode(self, x: Tensor, graph: NeighborGraph, nodes: Tensor | None = None) -> Tensor:
        """Hidden state h of `nodes`, from just the part of the graph that they see.

        Parameters
        ----------
        x : Tensor of shape (n_nodes, in_dim)
            As `node_input` gives it.
        graph : NeighborGraph
        nodes : Tensor of shape (n,), int64, optional
            Ascending; all nodes by default.

        Returns
        -------
        Tensor of shape (n, hidden_dim)
        """
        if nodes is None:
            weights = normalize_weights(graph.similarities)
            every = torch.arange(graph.n_nodes, device=x.device)
            for layer in self.layers:
                x = layer(x, every, graph.indices, weights)
            return x
        # Inside out: the last layer needs `nodes`, the one before also their neighbours, ...
        reached = [nodes]
        for _ in self.layers:
            reached.append(with_neighbors(graph.indices, reached[-1]))
        sources = reached.pop()
        x = x[sources]
        for layer in self.layers:
            targets = reached.pop()
            weights = normalize_weights(graph.similarities[targets])
            indices = torch.searchsorted(sources, graph.indices[targets])
            x = layer(x, torch.searchsorted(sources, targets), indices, weights)
            sources = targets
        return x

    def edge_logits(self, from_source: Tensor, to_target: Tensor, indices: Tensor) -> Tensor:
        """Two logits an edge, "not linked" and "linked".

        Parameters
        ----------
        from_source : Tensor of shape (n_sources, edge_dim)
            ``A h + b_A`` of the neighbours.
        to_target : Tensor of shape (n_nodes, edge_dim)
            ``B h + b_B`` of the nodes.
        indices : Tensor of shape (n_nodes, n_neighbors)
            Rows of `from_source`.

        Returns
        -------
        Tensor of shape (n_nodes, n_neighbors, 2)
        """
        n_nodes, n_neighbors = indices.shape
        q = (from_source[indices] + to_target[:, None]).view(n_nodes * n_neighbors, -1)
        # Memory of blocks is used again, that of all would be new to the process each time.
        logits = in_blocks(lambda part: self.logits(self.head(part)), q)
        return logits.view(n_nodes, n_neighbors, 2)

    def _edge_logits_in_blocks(
        self, from_source: Tensor, to_target: Tensor, indices: Tensor
    ) -> Tensor:
        """As `edge_logits`, without gradients and with little memory.

        On the CPU blocks are so small that they stay in the cache, and in memory that is there
        already: twice as quick.
        """
        (n_nodes, k), dim = indices.shape, from_source.shape[1]
        block = max(1, (_CPU_EDGES if from_source.device.type == "cpu" else _EDGES) // max(1, k))
        first, weight, bias, second = self.head.parameters()
        inner = Affine(weight, bias, block_rows=block * k)
        logits = from_source.new_empty((n_nodes * k, 2))
        two = from_source.new_empty((2, min(block, n_nodes) * k, dim))
        for start in range(0, n_nodes, block):
            of_block = indices[start : start + block]
            n_edges = of_block.numel()
            q, other = two[:, :n_edges]
            torch.index_select(from_source, 0, of_block.reshape(-1), out=q)
            q.view(len(of_block), k, dim).add_(to_target[start : start + block, None])
            _prelu_(q, first, other)
            other = inner(q)
            _prelu_(other, second, q)
            of_edges = logits[start * k : start * k + n_edges]
            torch.addmm(self.logits.bias, other, self.logits.weight.T, out=of_edges)
        return logits.view(n_nodes, k, 2)

    def forward(
        self, x: Tensor, graph: NeighborGraph, nodes: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Linkage logits and densities of some nodes.

        Parameters
        ----------
        x : Tensor of shape (n_nodes, in_dim)
            As `node_input` gives it.
        graph : NeighborGraph
        nodes : Tensor of shape (n,), int64, optional
            Ascending; all nodes by default.

        Returns
        -------
        logits : Tensor of shape (n, n_neighbors, 2)
        density : Tensor of shape (n,)
        """
        indices, similarities = graph.indices, graph.similarities
        if nodes is None:
            h = own = self.encode(x, graph)
        else:
            sources = with_neighbors(indices, nodes)
            h = self.encode(x, graph, sources)
            own = h[torch.searchsorted(sources, nodes)]
            indices = torch.searchsorted(sources, indices[nodes])
            similarities = similarities[nodes]
        from_source, to_target = self.source(h), self.target(own)
        if torch.is_grad_enabled():
            logits = self.edge_logits(from_source, to_target, indices)
        else:
            logits = self._edge_logits_in_blocks(from_source, to_target, indices)
        return logits, density_from_linkage(linkage_from_logits(logits), similarities)

    @torch.inference_mode()
    def score(self, x: Tensor, graph: NeighborGraph, nodes: Tensor | None = None) -> EdgeScores:
        """Linkage probabilities and densities, for prediction."""
        logits, density = self(x, graph, nodes)
        return EdgeScores(linkage_from_logits(logits), density)


def _prelu_(x: Tensor, weight: Tensor, spare: Tensor) -> None:
    """Parametric ReLU in place, with the memory of `spare`."""
    torch.clamp(x, max=0, out=spare).mul_(weight)
    x.clamp_(min=0).add_(spare)


def with_neighbors(indices: Tensor, nodes: Tensor) -> Tensor:
    """Ascending union of `nodes` and their neighbours."""
    return torch.unique(torch.cat([nodes, indices[nodes].reshape(-1)]))


def linkage_from_logits(logits: Tensor) -> Tensor:
    """Probability of the class "linked": softmax over two logits, as one sigmoid."""
    return torch.sigmoid(logits[..., 1] - logits[..., 0])


def density_from_linkage(linkage: Tensor, similarities: Tensor) -> Tensor:
    r"""Density of each node, :math:`\hat d_i = \mathrm{mean}_j s_{ij} (2 \hat r_{ij} - 1)`.

    The mean is over the edges there are: similarity 0 means no edge. A node without any has
    density 0.
    """
    n_edges = (similarities > 0).sum(dim=1).clamp_min(1)
    return (similarities * (2 * linkage - 1)).sum(dim=1) / n_edges
