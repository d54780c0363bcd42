"""The dimension-free architecture: linkage of sample pairs, then a judge of cluster pairs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch

from sklearn_hilander._cluster_pairs import ClusterPairs
from sklearn_hilander._decoders import Decoder
from sklearn_hilander._linkage_model import LinkageModel
from sklearn_hilander._neighbors import build_neighbor_graph
from sklearn_hilander._pair_graph import PairGraph
from sklearn_hilander._pairs import sigmoid
from sklearn_hilander._perceptron import Perceptrons
from sklearn_hilander._two_hops import search_two_hops

# Up to so many rows an exact search costs nothing to speak of.
_FEW_ROWS = 2_000


@dataclass(frozen=True)
class RelationalModel:
    """What meta-training leaves.

    Attributes
    ----------
    linkage : LinkageModel
    judges : Perceptrons
        One, or several, whose mean counts.
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
        return sigmoid(self.judges.mean_log_odds(relations))


def graph_builder(
    n_neighbors: int, *, algorithm: str = "auto", **search: object
) -> Callable[..., PairGraph]:
    """Embeddings -> PairGraph, with these settings of the search.

    Given the graph of the same rows before they were whitened, too, the search goes no further
    than two steps in it, but for ``algorithm="brute"``.
    """

    def build(features: np.ndarray, before: PairGraph | None = None) -> PairGraph:
        if before is not None and algorithm != "brute" and len(features) > _FEW_ROWS:
            return PairGraph(features, *search_two_hops(features, before.indices))
        graph = build_neighbor_graph(
            torch.from_numpy(features), n_neighbors, algorithm=algorithm, **search
        )
        return PairGraph(features, graph.indices.numpy(), graph.similarities.numpy())

    return build
