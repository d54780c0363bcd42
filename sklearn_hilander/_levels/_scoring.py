"""Scorers: a level to linkage probabilities and densities."""

from __future__ import annotations

import torch
from torch import Tensor

from sklearn_hilander._levels._lander import Lander, density_from_linkage
from sklearn_hilander._types import EdgeScores, Level

# Squared distances under this are noise of float32.
_MIN_SQUARED_DISTANCE = 1e-6
# A new row joins a sample that it is nearer to than that sample's neighbour of this rank.
_REACH = 3


class OracleScorer:
    """Scores by ground truth: it grows the hierarchies that the model is trained on.

    Linkage of an edge is its similarity; density comes from labels (Hi-LANDER, equation 4). As in
    the authors' code, the mean is over all `n_neighbors` places here, while the model's own
    density averages the edges there are.

    Parameters
    ----------
    y : Tensor of shape (n_samples,), int64
        Class of each sample; a supernode has the class of its peak.
    """

    def __init__(self, y: Tensor) -> None:
        self.y = y

    def same_class(self, level: Level) -> Tensor:
        """Whether each edge joins two nodes of one class, (n_nodes, n_neighbors) bool."""
        y = self.y[level.peaks]
        return y[level.graph.indices] == y[:, None]

    def __call__(self, level: Level) -> EdgeScores:
        """Score one level."""
        similarities = level.graph.similarities
        signed = torch.where(self.same_class(level), similarities, -similarities)
        density = signed.sum(dim=1) / max(1, level.graph.n_neighbors)
        return EdgeScores(similarities, density)


class LanderScorer:
    """Scores by a meta-trained model.

    Parameters
    ----------
    lander : Lander
    """

    def __init__(self, lander: Lander) -> None:
        self.lander = lander
        # Rings of neighbours that decide a node's scores: its own, and one a layer.
        self.n_hops = 1 + len(lander.layers)
        self.max_neighbors = None

    def __call__(self, level: Level, nodes: Tensor | None = None) -> EdgeScores:
        """Score one level, or some ascending `nodes` of it."""
        self.lander.eval()
        x = self.lander.node_input(level.peak_features, level.mean_features)
        return self.lander.score(x, level.graph, nodes)


class LocalScalingScorer:
    r"""Scores without any training: locally scaled similarity (Zelnik-Manor & Perona, 2004).

    .. math:: \hat r_{ij} = 2^{-\delta_{ij}^2 / (\sigma_i \sigma_j)}

    with :math:`\delta^2 = 1 - s` and :math:`\sigma_i` the :math:`\delta` of sample i's last
    neighbour at level 0. Supernodes keep the scale of their peaks, so that higher levels stop
    where peaks stand further apart than samples do.
    """

    n_hops = 2
    # More neighbours would make the scale that of other clusters too.
    max_neighbors = 9

    def __init__(self) -> None:
        self.scales_ = torch.empty(0)

    def __call__(self, level: Level, nodes: Tensor | None = None) -> EdgeScores:
        """Score one level, or some ascending `nodes` of it."""
        squared = (1 - level.graph.similarities).clamp_min(_MIN_SQUARED_DISTANCE)
        if level.graph.n_neighbors == 0:
            return EdgeScores(squared, density_from_linkage(squared, squared))
        if level.depth == 0:
            self.scales_ = squared.sqrt().max(dim=1).values
        scales = self.scales_[level.peaks]
        if nodes is None:
            nodes = torch.arange(level.graph.n_nodes, device=squared.device)
        indices = level.graph.indices[nodes]
        linkage = torch.exp2(-squared[nodes] / (scales[nodes][:, None] * scales[indices]))
        return EdgeScores(linkage, density_from_linkage(linkage, level.graph.similarities[nodes]))


class ReachScorer:
    r"""Scores of new rows against known ones, without any training.

    .. math:: \hat r_{ij} = 2^{-\delta_{ij}^2 / \rho_j^2}

    with :math:`\delta^2 = 1 - s` and :math:`\rho_j` the :math:`\delta` of known sample j's third
    neighbour. The scale of the new row is left out: a row of no known cluster is far from all
    samples, and by its own scale its nearest ones are near.
    """

    n_hops = 2
    max_neighbors = 9

    def __call__(self, level: Level, nodes: Tensor) -> EdgeScores:
        """Score the edges of new rows, `nodes`, to the known ones of a level."""
        squared = (1 - level.graph.similarities).clamp_min(0)
        # A new row that no cosine tells from a known one is within its reach.
        reach = squared[:, :_REACH].max(dim=1).values.clamp_min(_MIN_SQUARED_DISTANCE)
        linkage = torch.exp2(-squared[nodes] / reach[level.graph.indices[nodes]])
        return EdgeScores(linkage, density_from_linkage(linkage, level.graph.similarities[nodes]))
