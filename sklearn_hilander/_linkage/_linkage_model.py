"""Linkage probabilities of sample pairs, stage by stage from relations alone.

Each stage sees the relations in the neighbour graph and, from the second on, those in the graph
weighted by the probabilities of the stage before. Stages run on two graphs: that of the embeddings
as given, then that of embeddings whitened by the probabilities found there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sklearn_hilander._graph._pair_graph import PairGraph
from sklearn_hilander._graph._pair_table import PairTable
from sklearn_hilander._graph._pairs import in_blocks, logit, main_axes, sigmoid
from sklearn_hilander._linkage._closeness import closeness_relations
from sklearn_hilander._linkage._perceptron import Perceptrons
from sklearn_hilander._linkage._relations import (
    graph_relations,
    probability_relations,
    smooth_by_links,
)
from sklearn_hilander._linkage._whitening import whiten_by_links
from sklearn_hilander._memory import give_back_memory
from sklearn_hilander._rows._row_source import RowSource

# Stages on the graph as given, and on that of whitened embeddings.
STAGES = (2, 3)
SHRINKAGE = 0.3

# (graphs, features of their pairs, number of the stage) -> log-odds of each graph's pairs.
_Stage = Callable[[list[PairGraph], list[PairTable], int], list[np.ndarray]]


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
    """One network a stage, or several, whose mean counts.

    Attributes
    ----------
    before, after : tuple of Perceptrons
        Stages on the graph as given, and on that of whitened embeddings.
    """

    before: tuple[Perceptrons, ...]
    after: tuple[Perceptrons, ...]

    @property
    def stages(self) -> tuple[Perceptrons, ...]:
        """All of them."""
        return self.before + self.after

    def __call__(
        self,
        graph: PairGraph,
        build_graph: Callable[..., PairGraph],
        source: RowSource | None = None,
    ) -> Links:
        """Linkage probabilities of unseen samples.

        With the source of the graph's rows, they are let go of wherever they are not read, what is
        no longer needed of the graph is freed, and the graph that is left has pairs and their ranks
        alone.
        """

        def stage(
            graphs: list[PairGraph], features: list[PairTable], number: int
        ) -> list[np.ndarray]:
            return [self.stages[number].mean_log_odds(rows) for rows in features]

        n_stages = len(self.before), len(self.after)
        return run_stages([graph], build_graph, stage, n_stages, source)[0]


def run_stages(
    graphs: list[PairGraph],
    build_graph: Callable[..., PairGraph],
    stage: _Stage,
    n_stages: tuple[int, int] = STAGES,
    source: RowSource | None = None,
) -> list[Links]:
    """Run the stages on graphs as given, whiten, and run them on the new graphs.

    Parameters
    ----------
    graphs : list of PairGraph
    build_graph : callable
        Unit rows, and their graph before they were whitened -> PairGraph.
    stage : callable
        (graphs, features of their pairs, number of the stage) -> log-odds of each graph's pairs.
    n_stages : tuple of int, default=STAGES
        On the graph as given, and on that of whitened embeddings.
    source : RowSource, optional
        As in `LinkageModel`, of a single graph.

    Returns
    -------
    list of Links
        One a graph.
    """
    n_before, n_after = n_stages
    if source is not None:
        graphs[0].keep_main_features()
        source.let_go()
    give_back_memory()
    relations = [graph_relations(graph, compact=True) for graph in graphs]
    give_back_memory()
    probabilities = _run_on(graphs, relations, stage, range(n_before))
    del relations
    whitened, relations, centred = [], [], []
    for graph, p in zip(graphs, probabilities, strict=True):
        # What is near nothing as given is moved near something only by the centring.
        near = np.diff(graph.adjacency.pointers) > 0
        graph.forget("adjacency")
        give_back_memory()
        if source is not None:
            graph.take_back(source())
        features = whiten_by_links(graph, p, SHRINKAGE)
        # Averages of many rows are taken along the main axes.
        centred.append(main_axes(graph.features, centred=True))
        graph.forget()
        if source is not None:
            _let_go(graph, source)
        new = build_graph(features, graph).without_pairs_of(~near)
        del features
        if len(new.i) == 0:
            # A few rows around their own mean may have no neighbour at all.
            new = graph
        whitened.append(new)
        if new is not graph:
            new.keep_main_features()
        if source is not None:
            graph.take_back(source())
        of_given = closeness_relations(graph, new.i, new.j, compact=True)
        if source is not None and new is not graph:
            graph.give_up("indices", "similarities", "pairs")
            _let_go(graph, source)
        give_back_memory()
        relations.append(graph_relations(new, compact=True) + of_given)
        if source is not None:
            new.give_up("indices", "similarities")
            give_back_memory()
    del probabilities, p
    probabilities = _run_on(whitened, relations, stage, range(n_before, n_before + n_after))
    del relations
    give_back_memory()
    links = []
    for new, seen_from_mean, p in zip(whitened, centred, probabilities, strict=True):
        new.forget("adjacency", "main_features", "ranks")
        smooth = smooth_by_links(new, p)
        new.forget("main_features", "ranks")
        links.append(Links(new, p, (smooth, new.main_features, seen_from_mean)))
        new.forget("ranks")
        if source is not None:
            new.give_up("features")
    return links


def _let_go(graph: PairGraph, source: RowSource) -> None:
    """Free the rows of a graph; what was derived of them stays."""
    graph.give_up("features")
    source.let_go()
    give_back_memory()


def _run_on(
    graphs: list[PairGraph], relations: list[PairTable], stage: _Stage, numbers: range
) -> list[np.ndarray]:
    """Probability of each pair after some stages: their log-odds averaged."""
    features, log_odds = relations, []
    for number in numbers:
        log_odds.append(stage(graphs, features, number))
        if number < numbers[-1]:
            del features
            give_back_memory()
            features = [
                rows + probability_relations(graph, sigmoid(z), compact=True)
                for graph, rows, z in zip(graphs, relations, log_odds[-1], strict=True)
            ]
    del features
    return [_mean_probability(of_stages) for of_stages in zip(*log_odds, strict=True)]


def _mean_probability(log_odds: tuple[np.ndarray, ...]) -> np.ndarray:
    """Of each pair the probability at the mean of the stages' log-odds, held within bounds."""

    def block(rows: slice) -> np.ndarray:
        return sigmoid(np.mean([logit(sigmoid(z[rows]), 1e-5) for z in log_odds], axis=0))

    return in_blocks(len(log_odds[0]), block)
