"""Linkage probabilities of sample pairs, stage by stage from relations alone.

Each stage sees the relations in the neighbour graph and, from the second on, those in the graph
weighted by the probabilities of the stage before. Stages run on two graphs: that of the embeddings
as given, then that of embeddings whitened by the probabilities found there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sklearn_hilander._pairs import logit, sigmoid
from sklearn_hilander._perceptron import Perceptrons, PerceptronSettings, fit_perceptrons
from sklearn_hilander._relations import (
    PairGraph,
    cosine_relations,
    graph_relations,
    probability_relations,
    smooth_by_links,
    whiten_by_links,
)

N_FOLDS = 3
STAGES = (2, 3)
SHRINKAGE = 0.3

# (graph, features of its pairs, number of the stage) -> log-odds of each pair.
_Stage = Callable[[PairGraph, np.ndarray, int], np.ndarray]


@dataclass(frozen=True)
class Links:
    """What the stages leave to the judge.

    Attributes
    ----------
    graph : PairGraph
        Of the whitened embeddings.
    probability : ndarray of shape (n_pairs,), float32
    views : tuple of ndarray of shape (n_nodes, n_features), float32
        Unit rows: embeddings smoothed along the probabilities, whitened ones, centred ones.
    """

    graph: PairGraph
    probability: np.ndarray
    views: tuple[np.ndarray, ...]


@dataclass(frozen=True)
class LinkageModel:
    """One network a stage and fold; a pair's log-odds are their mean.

    Attributes
    ----------
    stages : tuple of Perceptrons
    """

    stages: tuple[Perceptrons, ...]

    def __call__(self, graph: PairGraph, build_graph: Callable[[np.ndarray], PairGraph]) -> Links:
        """Linkage probabilities of unseen samples."""

        def stage(graph: PairGraph, features: np.ndarray, number: int) -> np.ndarray:
            return self.stages[number].log_odds(features).mean(axis=0)

        return run_stages(graph, build_graph, stage)


def run_stages(
    graph: PairGraph, build_graph: Callable[[np.ndarray], PairGraph], stage: _Stage
) -> Links:
    """Run the stages on the graph as given, whiten, and run them on the new graph.

    Parameters
    ----------
    graph : PairGraph
    build_graph : callable
        Unit rows -> PairGraph.
    stage : callable
        (graph, features of its pairs, number of the stage) -> log-odds.

    Returns
    -------
    Links
    """
    p = _run_on(graph, graph_relations(graph), stage, range(STAGES[0]))
    whitened = build_graph(whiten_by_links(graph, p, SHRINKAGE))
    if len(whitened.i) == 0:
        # A few rows around their own mean may have no neighbour at all.
        whitened = graph
    relations = np.hstack(
        [graph_relations(whitened), cosine_relations(graph, whitened.i, whitened.j)]
    )
    p = _run_on(whitened, relations, stage, range(STAGES[0], sum(STAGES)))
    centred = graph.features - graph.features.mean(axis=0)
    return Links(whitened, p, (smooth_by_links(whitened, p), whitened.features, centred))


def train_linkage(
    graph: PairGraph,
    build_graph: Callable[[np.ndarray], PairGraph],
    y: np.ndarray,
    fold_of: np.ndarray,
    *,
    settings: PerceptronSettings,
    seed: int,
    on_network: Callable[[float], None],
) -> tuple[LinkageModel, Links]:
    """Train every stage on probabilities that networks of other classes gave.

    Parameters
    ----------
    graph : PairGraph
    build_graph : callable
    y : ndarray of shape (n_nodes,), int64
    fold_of : ndarray of shape (n_nodes,), int64
        Fold of each sample's class, in [0, N_FOLDS).
    settings : PerceptronSettings
    seed : int
    on_network : callable
        Called with the loss of each network.

    Returns
    -------
    model : LinkageModel
    links : Links
        Of the training samples, each pair scored out of fold (`out_of_fold`).
    """
    stages = []

    def stage(current: PairGraph, features: np.ndarray, number: int) -> np.ndarray:
        same = y[current.i] == y[current.j]
        fold_i, fold_j = fold_of[current.i], fold_of[current.j]
        networks, losses = fit_perceptrons(
            features,
            same,
            [outside_fold(fold, fold_i, fold_j) for fold in range(N_FOLDS)],
            settings=settings,
            seed=seed + number,
        )
        stages.append(networks)
        for loss in losses:
            on_network(loss)
        return out_of_fold(networks, features, fold_i, fold_j)

    links = run_stages(graph, build_graph, stage)
    return LinkageModel(tuple(stages)), links


def assign_folds(y: np.ndarray, seed: int) -> np.ndarray:
    """Fold of each sample, whole classes together; (n_samples,), int64."""
    classes, codes = np.unique(y, return_inverse=True)
    return (np.random.RandomState(seed).permutation(len(classes)) % N_FOLDS)[codes]


def outside_fold(fold: int, fold_i: np.ndarray, fold_j: np.ndarray) -> np.ndarray:
    """Pairs with neither end in the fold; all pairs where there is none such."""
    rows = np.flatnonzero((fold_i != fold) & (fold_j != fold))
    return rows if len(rows) else np.arange(len(fold_i))


def out_of_fold(
    networks: Perceptrons, features: np.ndarray, fold_i: np.ndarray, fold_j: np.ndarray
) -> np.ndarray:
    """Mean log-odds of two networks: one that did not see the class of i, one not that of j."""
    every = networks.log_odds(features)
    pairs = np.arange(features.shape[0])
    return (every[fold_i, pairs] + every[fold_j, pairs]) / 2


def _run_on(graph: PairGraph, relations: np.ndarray, stage: _Stage, numbers: range) -> np.ndarray:
    """Probability of each pair after some stages: their log-odds averaged."""
    features, log_odds = relations, []
    for number in numbers:
        log_odds.append(stage(graph, features, number))
        if number < numbers[-1]:
            more, _ = probability_relations(graph, sigmoid(log_odds[-1]))
            features = np.hstack([relations, more])
    p = sigmoid(np.mean([logit(sigmoid(z), 1e-5) for z in log_odds], axis=0))
    return p
