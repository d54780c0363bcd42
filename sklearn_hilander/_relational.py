"""The dimension-free architecture: linkage of sample pairs, then a judge of cluster pairs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch

from sklearn_hilander._judge import ClusterPairs, run_rounds, single_samples
from sklearn_hilander._linkage_model import LinkageModel
from sklearn_hilander._neighbors import build_neighbor_graph
from sklearn_hilander._pairs import pair_sum, sigmoid
from sklearn_hilander._perceptron import Perceptrons
from sklearn_hilander._relations import PairGraph, pair_graph


@dataclass(frozen=True)
class RelationalModel:
    """What meta-training leaves.

    Attributes
    ----------
    linkage : LinkageModel
    judges : Perceptrons
        One a fold; a pair's log-odds are their mean.
    """

    linkage: LinkageModel
    judges: Perceptrons

    def judge(self, clusters: ClusterPairs, relations: np.ndarray) -> np.ndarray:
        """Probability of each cluster pair to be one class."""
        return sigmoid(self.judges.log_odds(relations).mean(axis=0))


def graph_builder(n_neighbors: int, **search: object) -> Callable[[np.ndarray], PairGraph]:
    """Embeddings -> PairGraph, with these settings of the search."""

    def build(features: np.ndarray) -> PairGraph:
        graph = build_neighbor_graph(torch.from_numpy(features), n_neighbors, **search)
        return pair_graph(features, graph.indices.numpy(), graph.similarities.numpy())

    return build


def cluster_by_relations(
    features: np.ndarray,
    weights: np.ndarray,
    model: RelationalModel,
    build_graph: Callable[[np.ndarray], PairGraph],
    linkage_threshold: float,
    max_levels: int | None = None,
) -> tuple[list[np.ndarray], np.ndarray, PairGraph | None]:
    """Cluster embeddings.

    Parameters
    ----------
    features : ndarray of shape (n_samples, n_features), float32
    weights : ndarray of shape (n_samples,)
        How many rows each sample stands for.
    model : RelationalModel
    build_graph : callable
        Of `graph_builder`.
    linkage_threshold : float
    max_levels : int, optional

    Returns
    -------
    levels : list of ndarray of shape (n_samples,), int64
        Labels after each threshold.
    density : ndarray of shape (n_samples,)
        Sum of each sample's linkage probabilities.
    graph : PairGraph or None
        Of the embeddings as given; None for one sample.
    """
    n_samples = len(features)
    graph = build_graph(features) if n_samples > 1 else None
    if graph is None or len(graph.i) == 0:
        return [np.arange(n_samples)], np.zeros(n_samples), graph
    links = model.linkage(graph, build_graph)
    density = pair_sum(links.probability, links.graph.i, links.graph.j, n_samples)
    rounds = run_rounds(single_samples(links, weights), model.judge, lowest=linkage_threshold)
    levels = [clusters.labels for _, clusters in islice(rounds, max_levels)]
    return levels, density, graph
