"""The dimension-free architecture: linkage of sample pairs, then a judge of cluster pairs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch

from sklearn_hilander._decoders import Decoder
from sklearn_hilander._judge import ClusterPairs
from sklearn_hilander._linkage_model import LinkageModel
from sklearn_hilander._neighbors import build_neighbor_graph
from sklearn_hilander._pair_graph import PairGraph, pair_graph
from sklearn_hilander._pairs import sigmoid
from sklearn_hilander._perceptron import Perceptrons


@dataclass(frozen=True)
class RelationalModel:
    """What meta-training leaves.

    Attributes
    ----------
    linkage : LinkageModel
    judges : Perceptrons
        One a fold; a pair's log-odds are their mean.
    linkage_threshold : float
        Calibrated on held-out classes.
    decoder : Decoder
    """

    linkage: LinkageModel
    judges: Perceptrons
    linkage_threshold: float = 0.5
    decoder: Decoder = field(default_factory=Decoder)

    def judge(self, clusters: ClusterPairs, relations: np.ndarray) -> np.ndarray:
        """Probability of each cluster pair to be one class."""
        return sigmoid(self.judges.log_odds(relations).mean(axis=0))


def graph_builder(n_neighbors: int, **search: object) -> Callable[[np.ndarray], PairGraph]:
    """Embeddings -> PairGraph, with these settings of the search."""

    def build(features: np.ndarray) -> PairGraph:
        graph = build_neighbor_graph(torch.from_numpy(features), n_neighbors, **search)
        return pair_graph(features, graph.indices.numpy(), graph.similarities.numpy())

    return build
